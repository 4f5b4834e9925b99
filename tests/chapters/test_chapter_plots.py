"""Figures of the chapters show what they were given, and leave no style behind."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Annotation
from PIL import Image
from sklearn.svm import LinearSVC
from test_plots import assert_can_be_drawn, dots, written

from dlapps.plots import COLOURS
from plots import dann, diagrams, gan, pictures, points, transfer, visualizing

GREY = np.zeros((6, 8))
COLOUR = np.zeros((6, 8, 3))
IMAGES = np.zeros((3, 8, 8), np.uint8)
POINTS = np.random.default_rng(0).normal(size=(20, 2))
CLASSES = ["cat", "dog"]
CAT = [("cat", 0.75), ("dog", 0.25)]
RIGHT = np.array([[True, False], [True, True]])
COSINES = np.zeros((3, 1500))
COSINES[2, [107, 3, 200, 900]] = [0.9, 0.8, 0.7, 0.6]


class Scenes(SimpleNamespace):
    """Fifteen classes, a to o, of which the test images are c, b and a."""

    def pictures(self, rows):
        return [COLOUR.astype(np.uint8) for _ in rows]


def make_scenes(has_pictures):
    labels = np.concatenate([np.repeat(np.arange(15), 100), [2, 1, 0]])
    names = tuple("abcdefghijklmno")
    return Scenes(class_names=names, labels=labels, has_pictures=has_pictures)


def height_of(points):
    """A discriminator that is the surer the higher a point lies."""
    return points[:, 1:]


SVM = LinearSVC(random_state=0).fit(POINTS, POINTS[:, 0] > 0)
PIXELS = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
FIGURES = {
    "answers": lambda: pictures.plot_answers(
        {"cat": PIXELS[0], "dog": PIXELS[1], "difference": PIXELS[0]},
        [CAT, CAT],
        CLASSES,
    ),
    "pipeline": transfer.plot_pipeline,
    "scenes": lambda: transfer.plot_scenes(make_scenes(False)),
    "scenes with images": lambda: transfer.plot_scenes(make_scenes(True)),
    "neighbours": lambda: transfer.plot_neighbours(make_scenes(False), COSINES, [2]),
    "neighbours with images": lambda: transfer.plot_neighbours(
        make_scenes(True), COSINES, [2]
    ),
    "margins": lambda: transfer.plot_margins(
        POINTS, POINTS[:, 0] > 0, {"C = 1": SVM}, POINTS[:, 0] > 2
    ),
    "pretraining": lambda: transfer.plot_pretraining(
        [0.8, 0.85, 0.9, 0.9], [0.5, 0.6, 0.7, 0.8], 0.83, {"chance": 0.07, "learnt": 1}
    ),
    "gains": lambda: transfer.plot_gains(
        {"a → b": np.array([5, 5]), "b → c": np.array([1, 1])},
        {"a → b": (5, 3, 7), "b → c": (1, -1, 3)},
    ),
    "climb": lambda: transfer.plot_climb(
        {"a": np.array([90, 92]), "b": np.array([94, 95])}
    ),
    "control": lambda: transfer.plot_control(
        {"net frozen": RIGHT, "net moving": ~RIGHT}, ["net"], 0.9
    ),
    "slope": lambda: visualizing.plot_slope(PIXELS[0], PIXELS[0, 0] - 0.5),
    "races": lambda: visualizing.plot_races(
        {"score": torch.eye(3), "margin": torch.eye(2)}, 1, "stingray"
    ),
    "digits": lambda: visualizing.plot_digits(
        {"clean": (IMAGES, [3, 1, 2]), "cut": (IMAGES, [0, 1, 2])}, [3, 1, 7]
    ),
    "grounds": lambda: visualizing.plot_grounds(
        [0, 1], torch.eye(2), [0, 0.4], {"usual": [1, 0.9], "robust": [1, 0.5]}
    ),
    "rows": lambda: dann.plot_rows(
        {"digit": np.zeros((2, 8, 8)), "patch": torch.zeros(2, 3, 8, 8)}
    ),
    "parts": dann.plot_parts,
    "sweep": lambda: dann.plot_sweep(
        {
            "target (%)": {"fixed 1": [50, 70], "slope 2": [60]},
            "domain (%)": {"fixed 1": [80], "slope 2": [99]},
        }
    ),
    "ladder": lambda: dann.plot_ladder(
        {"plain": (torch.zeros(5, 3, 8, 8), [50, 60])},
        80,
        "target (%)",
    ),
    "mosaic": lambda: gan.plot_mosaic({"a": IMAGES, "b": IMAGES}, "xyz"),
    "balls": gan.plot_balls,
    "course": lambda: gan.plot_course(
        np.stack([IMAGES, IMAGES]), [0, 5], [1, 2, 3], {"D": [1, 2, 1], "G": [2, 1, 2]}
    ),
    "arms": lambda: gan.plot_arms(
        {"usual": [0.8, 0.7], "true": [0.1]}, {"usual": [], "true": [[1.0, 0.1]]}
    ),
    "grey": lambda: gan.plot_grey(
        {"a": IMAGES, "b": IMAGES}, [1, 2, 3], [0, 9], {"one": [1, 0], "other": [1, 1]}
    ),
    "landscapes": lambda: gan.plot_landscapes(
        POINTS,
        {"one": {5: (POINTS, height_of), 9: (-POINTS, height_of)}},
        reaches=[2],
    ),
    "paths": lambda: gan.plot_paths(POINTS, {"t = 0": -POINTS}, np.ones((4, 2, 2))),
}


def row_names(ax):
    """The names beside the rows, by their place."""
    labels = [label.get_text() for label in ax.get_yticklabels()]
    return dict(zip(ax.get_yticks(), labels, strict=True))


def column_names(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_as_wide_as_the_text_and_can_be_drawn(name, tmp_path):
    assert_can_be_drawn(FIGURES[name], tmp_path)


def test_an_animation_shows_one_row_after_the_other():
    rows = [torch.zeros(2, 3, 8, 6), torch.ones(2, 3, 8, 6)]
    with Image.open(io.BytesIO(visualizing.animate(rows))) as picture:
        assert (picture.size, picture.n_frames) == ((12, 8), 2)
        assert picture.convert("L").getextrema() == (0, 0)
        picture.seek(1)
        assert picture.convert("L").getextrema() == (255, 255)


def test_an_arrow_leads_from_the_side_of_one_block_to_that_of_the_next():
    first = diagrams.Block(0, 0, 1, 1, "pixels", "224 × 224")
    second = diagrams.Block(2, 1, 1, 1, "logits", after=first)
    ax = diagrams.plot_diagram([first, second]).axes[0]
    assert [box.get_x() for box in ax.patches] == [-0.5, 1.5]
    assert written(ax) == ["pixels", "224 × 224", "logits"]
    [arrow] = ax.findobj(Annotation)
    assert (arrow.xyann, arrow.xy) == ((0.5, 0), (1.5, 1))


@pytest.mark.parametrize("name", ["pipeline", "parts"])
def test_blocks_of_a_diagram_do_not_overlap_and_all_are_joined(name):
    ax = FIGURES[name]().axes[0]
    boxes = [patch.get_bbox() for patch in ax.patches]
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:index])
    joined = [arrow.xy for arrow in ax.findobj(Annotation)]
    assert len(joined) == len(boxes) - 1


def test_an_answer_is_a_bar_with_its_name_and_the_marked_one_is_filled():
    *titled, of_cat, of_dog, nothing = FIGURES["answers"]().axes
    assert [ax.get_title() for ax in titled] == ["cat", "dog", "difference"]
    for ax, filled in ((of_cat, 0), (of_dog, 1)):
        assert [text.get_text() for text in ax.texts] == ["cat 75%", "dog 25%"]
        assert [bar.get_width() for bar in ax.patches] == [0.75, 0.25]
        colours = [to_hex(bar.get_facecolor()) for bar in ax.patches]
        assert colours[filled] == COLOURS[0].lower()
        assert colours[1 - filled] == "#ffffff"
    assert not nothing.patches


@pytest.mark.parametrize("name", ["neighbours", "neighbours with images"])
def test_a_neighbour_of_another_class_is_orange(name):
    query, first, second, *_ = FIGURES[name]().axes
    assert [ax.get_title() for ax in (query, first, second)] == [
        "a",
        "b 0.90",
        "a 0.80",
    ]
    colours = [to_hex(ax.title.get_color()) for ax in (first, second)]
    assert colours == [COLOURS[1].lower(), COLOURS[0].lower()]


def test_a_climb_has_a_line_for_each_split_and_one_for_their_mean():
    [ax] = FIGURES["climb"]().axes
    heights = [list(line.get_ydata()) for line in ax.lines]
    assert heights == [[90, 94], [92, 95], [91, 94.5]]
    assert [text.get_text() for text in ax.texts] == ["91.0", "94.5"]


def test_a_gain_stands_beside_its_interval_and_is_grey_if_it_may_be_none():
    [ax] = FIGURES["gains"]().axes
    assert row_names(ax) == {0: "a → b", 1: "b → c"}
    assert dots(ax.lines[0]) == [(5, -0.15), (5, -0.15)]
    assert [text.get_text() for text in ax.texts] == ["  +5.0", "  +1.0"]
    assert [text.get_position() for text in ax.texts] == [(7, 0.2), (3, 1.2)]
    colours = [text.get_color() for text in ax.texts]
    assert colours == [COLOURS[0], points.GREY]


def test_a_plane_and_its_margins_are_where_the_scores_say():
    [ax] = FIGURES["margins"]().axes
    [contours] = ax.collections
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        scores = SVM.decision_function(path.vertices)
        assert scores == pytest.approx(np.full(len(scores), level), abs=1e-6)
    drawn = np.concatenate([line.get_xydata() for line in ax.lines[:2]])
    assert len(drawn) == len(POINTS)


def test_wrong_answers_about_digits_have_another_colour():
    axes = FIGURES["digits"]().axes
    colours = [to_hex(ax.title.get_color()) for ax in axes]
    assert [ax.get_title() for ax in axes] == ["3", "1", "2", "0", "1", "2"]
    wrong = COLOURS[1].lower()
    assert [colour.lower() == wrong for colour in colours] == [
        False,
        False,
        True,
        True,
        False,
        True,
    ]


def test_a_sweep_has_a_dot_for_each_seed_and_a_bar_at_their_mean():
    target, domain = FIGURES["sweep"]().axes
    assert row_names(target) == {0: "fixed 1", 1: "slope 2"}
    assert target.get_xlabel() == "target (%)"
    assert [dots(line) for line in target.lines] == [[(50, 0), (70, 0)], [(60, 1)]]
    means = [bar.get_segments()[0][0, 0] for bar in target.collections]
    assert means == [60, 60]
    assert [dots(line) for line in domain.lines] == [[(80, 0)], [(99, 1)]]


def test_a_ladder_writes_the_mean_of_its_trainings_beside_them():
    *_, values = FIGURES["ladder"]().axes
    assert row_names(values) == {0: "55"}
    assert [line.get_xdata() for line in values.lines[1:]] == [[80, 80]]
    assert dots(values.lines[0]) == [(50, 0), (60, 0)]


def test_a_mosaic_holds_every_image_once():
    images = np.arange(1, 7, dtype=np.uint8).reshape(2, 3, 1, 1)
    images = images * np.ones((4, 4), np.uint8)
    rows = {"a": images[0], "b": torch.tensor(images[1])}
    drawn = gan.plot_mosaic(rows).axes[0].images[0].get_array()
    assert drawn.shape == (12, 18)
    for value in range(1, 7):
        assert (drawn == value).sum() == 16
    assert (drawn == 255).sum() == 12 * 18 - 6 * 16
    # Several rows under one title are the same picture.
    together = gan.plot_mosaic({"both": images}).axes[0]
    assert np.array_equal(together.images[0].get_array(), drawn)
    assert row_names(together) == {1: "both"}


def test_a_digit_on_grey_stands_above_its_reading_and_beside_the_recalls():
    mosaic, recalls = FIGURES["grey"]().axes
    assert column_names(mosaic) == ["1", "2", "3"]
    drawn = {line.get_label(): dots(line) for line in recalls.lines}
    assert drawn == {"saw one": [(0, 1), (9, 0)], "saw other": [(0, 1), (9, 1)]}


def test_points_lie_on_the_landscape_with_its_first_row_below():
    early, late, bar = FIGURES["landscapes"]().axes
    assert bar.get_ylabel() == "D"
    assert [early.get_title(), late.get_title()] == ["5 rounds", "9 rounds"]
    real, fake = late.collections
    assert np.array_equal(real.get_offsets(), POINTS)
    assert np.array_equal(fake.get_offsets(), -POINTS)
    [landscape] = late.images
    assert landscape.origin == "lower"
    rows = np.asarray(landscape.get_array())
    assert (np.diff(rows, axis=0) > 0).all()  # upwards
    assert np.ptp(rows, axis=1).max() == 0
    assert landscape.get_clim() == (0.3, 0.7)


def test_gradients_go_to_the_end_of_their_training_and_recalls_have_a_row_a_loss():
    recalls, gradients = FIGURES["arms"]().axes
    assert row_names(recalls) == {0: "usual", 1: "true"}
    assert [dots(line) for line in recalls.lines] == [[(0.8, 0), (0.7, 0)], [(0.1, 1)]]
    [line] = gradients.lines
    assert dots(line) == [(0, 1.0), (1, 0.1)]
    assert line.get_color() == recalls.lines[1].get_color()


def test_a_course_has_its_samples_above_their_batches():
    mosaic, losses = FIGURES["course"]().axes
    assert column_names(mosaic) == ["0", "5"]
    assert losses.get_xlim() == (-2.5, 7.5)
    assert [dots(line) for line in losses.lines] == [
        [(1, 1), (2, 2), (3, 1)],
        [(1, 2), (2, 1), (3, 2)],
    ]
