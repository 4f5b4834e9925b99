"""Figures hold what they were given, and leave no style behind."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from dlapps.core.images import from_pixels
from dlapps.plots import dann, gan, general, transfer, visualizing
from dlapps.plots.general import WIDTH
from labreport.intervals import Interval

GREY, COLOUR = np.zeros((6, 8)), np.zeros((6, 8, 3))
IMAGES = np.zeros((3, 8, 8), np.uint8)
POINTS = np.random.default_rng(0).normal(size=(20, 2))
CLASSES, SEEDS = ["cat", "dog"], [[0.1, 0.2], [0.3, 0.3]]
ANSWERS = {"a": [[("cat", 0.9)]] * 2, "b": [[("dog", 0.7)]] * 2}
HITS = {"net": {"map": (0.75, 0.5, 1.1), "random": (0.25, -0.1, 0.6)}}
TRAININGS = {"small": {"plain": [50, 60], "black": [40]}, "large": {"black": [70]}}
FIGURES = {
    "answers": lambda: transfer.plot_answers([COLOUR] * 2, CLASSES, ANSWERS, ["dog"]),
    "grid": lambda: general.plot_grid([GREY, COLOUR, GREY], ["a", "b", "c"], columns=2),
    "curves": lambda: general.plot_curves({"a": ([1, 10], SEEDS)}, "x", "y", log=True),
    "saliency": lambda: visualizing.plot_saliency(
        [COLOUR] * 2, {"map": np.zeros((2, 4, 4))}, CLASSES
    ),
    "score card": lambda: visualizing.plot_score_card(
        {"hits": HITS, "gap": HITS}, (0.25, 0.5)
    ),
    "changes": lambda: visualizing.plot_changes(
        *torch.arange(2.0).expand(2, 3, 4, 4, 2).unbind(4), CLASSES
    ),
    "mosaic": lambda: gan.plot_mosaic({"a": IMAGES, "b": IMAGES}, "xyz"),
    "panels": lambda: general.plot_panels(
        [0, 9], {"a": {"D": [1, 2]}, "b": {"G": [1]}}, "x"
    ),
    "losses": gan.plot_losses,
    "points": lambda: gan.plot_points(np.eye(2), {"a": np.eye(2)}, {"a": (0.5, 1.0)}),
    "networks": gan.plot_networks,
    "grey": lambda: gan.plot_grey(
        {"a": IMAGES, "b": IMAGES}, [1, 2, 3], [0, 9], {"one": [1, 90], "other": [1, 2]}
    ),
    "factors": lambda: gan.plot_factors(
        {"a": IMAGES, "b": IMAGES}, {"b": Interval(2.0, 1.0, 4.0)}, [0.8, 0.7]
    ),
    "rows": lambda: dann.plot_rows(
        {"digit": np.zeros((2, 8, 8)), "patch": torch.zeros(2, 3, 8, 8)}
    ),
    "parts": dann.plot_parts,
    "embeddings": lambda: dann.plot_embeddings(
        {"x": POINTS}, np.arange(20) % 10, np.arange(20) // 10
    ),
    "sweep": lambda: dann.plot_sweep(
        {"accuracy": {"fixed 1": [0.5, 0.7], "slope 2": [0.6]}}
    ),
    "trainings": lambda: dann.plot_trainings(TRAININGS, (60, 90)),
    "confusions": lambda: dann.plot_confusions(
        {"all": np.eye(3), "few": np.zeros((3, 3))}
    ),
    "pipeline": transfer.plot_pipeline,
    "steps": lambda: transfer.plot_steps({"a → b": (70, 75, Interval(5, 3, 7))}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_as_wide_as_the_text_and_can_be_drawn(name, tmp_path):
    before = dict(mpl.rcParams)
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    assert figure.get_figwidth() == WIDTH
    figure.savefig(tmp_path / "figure.pdf")
    assert dict(mpl.rcParams) == before


def test_pixels_are_drawn_as_the_pictures_that_they_are():
    pixels = torch.rand(2, 3, 6, 8)
    maps = visualizing.plot_saliency(pixels, {"no map, but pixels": pixels}, CLASSES)
    for figure in (general.plot_grid(pixels, columns=2), maps):
        shown = [ax.images[0].get_array() for ax in figure.axes]
        assert np.array_equal(shown[:2], from_pixels(pixels))
    assert np.array_equal(shown[2:], pixels.permute(0, 2, 3, 1))


def test_a_curve_of_several_seeds_is_their_mean_with_its_deviation():
    bars = FIGURES["curves"]().axes[0].containers[0]
    assert bars.lines[0].get_ydata() == pytest.approx([0.2, 0.25])
    ends = np.array([segment[:, 1] for segment in bars.lines[2][0].get_segments()])
    assert np.diff(ends)[:, 0] / 2 == pytest.approx(np.std(SEEDS, axis=0, ddof=1))


def test_a_signed_map_is_drawn_around_0_and_one_that_is_not_from_0():
    ramp = np.linspace(-2, 1, 16).reshape(1, 4, 4)
    maps = {"signed": torch.from_numpy(ramp), "not": np.abs(ramp)}
    figure = visualizing.plot_saliency([GREY], maps, ["cat"])
    signed, plain = (ax.images[0] for ax in figure.axes[1:])
    most = np.percentile(np.abs(ramp), 99)
    assert signed.get_clim() == pytest.approx((-most, most))
    assert signed.cmap(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.04)
    assert plain.get_clim() == pytest.approx((0, most))
    assert plain.get_cmap().name == "inferno"


def test_an_interval_of_shares_ends_at_1_and_is_exact_where_each_is_won_or_not():
    figure = visualizing.plot_score_card(
        {"won": {"net": {"map": (0.5, 0.4, 1.2)}}}, (0.5,)
    )
    [segment] = figure.axes[0].containers[0].lines[2][0].get_segments()
    assert segment[:, 0] == pytest.approx([0.4, 1])  # no share is above 1


def test_a_mosaic_holds_every_image_once():
    images = np.arange(1, 7, dtype=np.uint8).reshape(2, 3, 1, 1) * np.ones(
        (4, 4), np.uint8
    )
    drawn = (
        gan.plot_mosaic({"a": images[0], "b": torch.tensor(images[1])})
        .axes[0]
        .images[0]
        .get_array()
    )
    assert drawn.shape == (12, 18)
    for value in range(1, 7):
        assert (drawn == value).sum() == 16
    assert (drawn == 255).sum() == 12 * 18 - 6 * 16
    # Several rows under one title are the same picture.
    together = gan.plot_mosaic({"both": images}).axes[0]
    assert np.array_equal(together.images[0].get_array(), drawn)
    assert together.get_yticks().tolist() == [5.5]
    for wrong in (images[0, 0], images.astype(float)):
        with pytest.raises(
            ValueError,
            match=r"expected grey images uint8 \(C, S, S\) or \(R, C, S, S\) in each row, got",
        ):
            gan.plot_mosaic({"a": wrong})


def test_a_factor_stands_beside_the_samples_of_its_row():
    figure = gan.plot_factors(
        {"plain": IMAGES, "worse": IMAGES},
        {"worse": Interval(2.0, 1.5, 3.0)},
        [0.8, 0.7],
    )
    [[x], [y]] = figure.axes[1].lines[0].get_data()
    assert (x, y) == (2, 14.5)
