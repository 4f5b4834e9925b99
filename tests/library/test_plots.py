"""Figures show what they were given, and leave no style behind."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text

from dlapps import plots
from dlapps.core.images import from_pixels

GREY = np.zeros((6, 8))
COLOUR = np.zeros((6, 8, 3))
CLASSES = ["cat", "dog"]
SEEDS = [[0.1, 0.2], [0.3, 0.3]]
PIXELS = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
FIGURES = {
    "grid": lambda: plots.plot_grid([GREY, COLOUR, GREY], ["a", "b", "c"], columns=2),
    "curves": lambda: plots.plot_curves({"a": ([1, 10], SEEDS)}, "x", "y"),
    "saliency": lambda: plots.plot_saliency(
        [COLOUR] * 2, {"map": np.zeros((2, 4, 4))}, CLASSES
    ),
}


def written(artist):
    """All that can be read in a figure or on an axis, from the first text on."""
    words = [text.get_text() for text in artist.findobj(Text) if text.get_visible()]
    return [word for word in words if word]


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def dots(line):
    return list(zip(*line.get_data(), strict=True))


def assert_can_be_drawn(plot, folder):
    """A figure as wide as the text, which leaves matplotlib's style as it was."""
    before = dict(mpl.rcParams)
    figure = plot()
    assert isinstance(figure, Figure)
    assert figure.get_figwidth() == plots.WIDTH
    figure.savefig(folder / "figure.pdf")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_as_wide_as_the_text_and_can_be_drawn(name, tmp_path):
    assert_can_be_drawn(FIGURES[name], tmp_path)


def test_pixels_are_drawn_as_the_pictures_that_they_are():
    figure = plots.plot_grid(PIXELS, columns=2)
    for ax, picture in zip(figure.axes, from_pixels(PIXELS), strict=True):
        assert np.array_equal(ax.images[0].get_array(), picture)


def test_a_grid_has_a_title_over_each_picture_and_leaves_the_rest_empty():
    figure = FIGURES["grid"]()
    assert titles(figure) == ["a", "b", "c", ""]
    *_, rest = figure.axes
    assert not rest.images
    assert not rest.axison


def test_a_curve_of_several_seeds_is_their_mean_among_them():
    mean, *seeds = FIGURES["curves"]().axes[0].lines
    assert mean.get_ydata() == pytest.approx([0.2, 0.25])
    assert [list(line.get_ydata()) for line in seeds] == SEEDS


def test_curves_differ_in_colour_marker_and_line():
    curves = {name: ([0, 0.5], [0, 1]) for name in "abc"}
    ax = plots.plot_curves(curves, "ε", "accuracy").axes[0]
    lines = ax.lines
    assert len({line.get_color() for line in lines}) == 3
    assert len({line.get_marker() for line in lines}) == 3
    assert len({line.get_linestyle() for line in lines}) == 3
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ε", "accuracy")
    assert written(ax.get_legend()) == ["a", "b", "c"]


def test_a_signed_map_is_drawn_around_0_and_one_that_is_not_from_0():
    ramp = np.linspace(-2, 1, 16).reshape(1, 4, 4)
    maps = {"signed": torch.from_numpy(ramp), "not": np.abs(ramp)}
    figure = plots.plot_saliency([GREY], maps, ["cat"])
    signed, plain = (ax.images[0] for ax in figure.axes[1:])
    highest = np.percentile(np.abs(ramp), 99)
    assert signed.get_clim() == pytest.approx((-highest, highest))
    assert signed.cmap(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.04)
    assert plain.get_clim() == pytest.approx((0, highest))
    assert plain.get_cmap().name == "inferno"


def test_maps_stand_below_their_pictures_beside_their_method():
    maps = {"gradient": np.zeros((2, 4, 4)), "changed": PIXELS}
    figure = plots.plot_saliency(PIXELS, maps, CLASSES)
    axes = np.reshape(figure.axes, (3, 2))
    assert titles(figure) == CLASSES + [""] * 4
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["", "gradient", "changed"]
    for ax, pixels in zip(axes[2], PIXELS, strict=True):
        assert np.array_equal(ax.images[0].get_array(), pixels.permute(1, 2, 0))
