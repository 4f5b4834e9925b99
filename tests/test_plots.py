"""Figures hold what they were given, and leave no style behind."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from dlapps import plots

GREY, COLOUR = np.zeros((6, 8)), np.zeros((6, 8, 3))
MISREAD = (["a", "b"], [[("x", 1.0), ("y", 0.5), ("z", -0.1)]] * 2, ["y", "x"])
FIGURES = {
    "predictions": lambda: plots.plot_predictions([COLOUR], [np.linspace(0, 1, 12).reshape(2, 2, 3)], [[("cat", 0.9)]]),
    "grid": lambda: plots.plot_grid([GREY, COLOUR, GREY], ["a", "b", "c"], columns=2),
    "curves": lambda: plots.plot_curves({"a": ([1, 10], [0.1, 0.2])}, "x", "y", {"a": [0.01, 0.02]}, log=True),
    "pair": lambda: plots.plot_pair([1, 2], {"left": [1, 2]}, {"right": [3, 4]}, "x", reference=1.5),
    "confusion": lambda: plots.plot_confusion(np.array([[5, 1], [0, 6]]), ["a", "b"]),
    "saliency": lambda: plots.plot_saliency([COLOUR] * 2, {"gradient": np.zeros((2, 4, 4))}, ["cat", "dog"]),
    "deletion": lambda: plots.plot_deletion_insertion([0, 0.5, 1], {"random": ([1, 0.4, 0], [0, 0.4, 1])}),
    "score card": lambda: plots.plot_score_card({"net": {"map": (0.5, 0.1), "random": (0.3, 0.1)}}, "random", "area"),
    "misread": lambda: plots.plot_misread(*MISREAD),
    "misread with pictures": lambda: plots.plot_misread(*MISREAD, pictures=[GREY, COLOUR]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_as_wide_as_the_text_and_can_be_drawn(name, tmp_path):
    before = dict(mpl.rcParams)
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    assert figure.get_figwidth() == plots.WIDTH
    figure.savefig(tmp_path / "figure.pdf")
    assert dict(mpl.rcParams) == before


def test_confusion_counts_are_written_out():
    texts = [text.get_text() for text in FIGURES["confusion"]().axes[0].texts]
    assert sorted(texts) == ["1", "5", "6"]


def test_true_class_is_told_apart_without_colour():
    bars = FIGURES["misread"]().axes[0].patches
    assert [bool(bar.get_hatch()) for bar in bars] == [False, True, False]


def test_spread_is_written_where_there_is_one():
    assert plots.mean_and_spread([0.9, 0.92]) == "0.910 ± 0.010"
    assert plots.mean_and_spread([0.9]) == "0.900"
