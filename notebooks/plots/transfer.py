"""Figures of Chapter 1: networks, what their features know of scenes, and gains."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.svm import LinearSVC

from dlapps.core.images import stack_pixels
from dlapps.datasets.scenes15 import NUM_TRAIN, SceneFeatures
from dlapps.plots import COLOURS, make_figure, show_picture, styled
from plots.diagrams import Block, plot_diagram
from plots.points import Estimate, draw_estimate, draw_points, name_rows

GREY = "#E4E4E4"
ORANGE = "#F6D9C6"


@styled
def plot_scenes(scenes: SceneFeatures) -> Figure:
    """Plot an image of each class, its name, and how many images the class has."""
    figure, axes = _make_grid(scenes, 3)
    numbers = np.bincount(scenes.labels)
    for label, ax in enumerate(axes.flat):
        text = f"{scenes.class_names[label]} ({numbers[label]})"
        _draw_scene(ax, scenes, 100 * label + 60, text)
    return figure


def _make_grid(scenes: SceneFeatures, rows: int) -> tuple[Figure, np.ndarray]:
    height = 1.07 if scenes.has_pictures else 0.3
    return make_figure(height * rows, rows, 5)


def _draw_scene(ax: Axes, scenes: SceneFeatures, row: int, text: str) -> None:
    """Draw an image below a text, which stands alone where images are not there."""
    ax.set_axis_off()
    if scenes.has_pictures:
        show_picture(ax, stack_pixels(scenes.pictures([row]), 192)[0])
    ax.set_title(text)


def plot_pipeline() -> Figure:
    """Plot VGG16's five blocks of convolutions, and what may follow them.

    These are its dense layers, or a classifier of scenes.
    """
    convolutions = [
        ("2 × conv\n64", 1.2),
        ("2 × conv\n128", 1.05),
        ("3 × conv\n256", 0.9),
        ("3 × conv\n512", 0.75),
        ("3 × conv\n512", 0.6),
    ]
    last = Block(0.3, 0, 0.45, 1.2, "pixels", "224 × 224")
    blocks = [last]
    for number, (text, height) in enumerate(convolutions, 1):
        x = 0.35 + 0.67 * number
        side = 224 // 2**number
        below = f"pool{number}\n{side} × {side}"
        last = Block(x, 0, 0.54, height, text, below, "#D6E6F2", last)
        blocks.append(last)

    dense = Block(4.62, 0.45, 0.78, 0.36, "fc6, fc7\n(relu7), fc8", "", GREY, last)
    classes = Block(5.5, 0.45, 0.56, 0.36, "1,000\nclasses", "", GREY, dense)
    average = "average:\n512 features"
    features = Block(4.62, -0.45, 0.78, 0.36, average, "", ORANGE, last)
    scenes = Block(5.5, -0.45, 0.56, 0.36, "SVM: 15\nscenes", "", ORANGE, features)
    blocks += [dense, classes, features, scenes]
    return plot_diagram(blocks)


@styled
def plot_neighbours(
    scenes: SceneFeatures, similarity: np.ndarray, queries: Sequence[int]
) -> Figure:
    """Plot test images, each followed by the four training images most similar to it.

    Above a neighbour stand its class and its cosine, orange if the class differs. If
    the images are not there, the words stand alone.

    similarity: cosines (2985, 1500).
    queries: rows of the test images.
    """
    figure, axes = _make_grid(scenes, len(queries))
    names = np.array(scenes.class_names)[scenes.labels]
    for row, query in zip(axes, queries, strict=True):
        true_name = names[NUM_TRAIN + query]
        _draw_scene(row[0], scenes, NUM_TRAIN + query, true_name)
        nearest = np.argsort(-similarity[query], kind="stable")[:4]
        for ax, image in zip(row[1:], nearest, strict=True):
            text = f"{names[image]} {similarity[query, image]:.2f}"
            _draw_scene(ax, scenes, image, text)
            is_same = names[image] == true_name
            ax.title.set_color(COLOURS[0] if is_same else COLOURS[1])
    return figure


@styled
def plot_margins(
    points: np.ndarray,
    labels: np.ndarray,
    svms: Mapping[str, LinearSVC],
    ringed: np.ndarray,
) -> Figure:
    """Plot two classes in two dimensions, with the plane and the margins of each SVM.

    points: (N, 2).
    labels: bool (N,).
    svms: fitted to them, by the title of the panel.
    ringed: bool (N,), the points with a ring around them.
    """
    x, y = points.T
    figure, axes = make_figure(2.3, 1, len(svms), sharex=True, sharey=True)
    for ax, (title, svm) in zip(axes[0], svms.items(), strict=True):
        ax.plot(x[labels], y[labels], "o", markersize=2.5)
        ax.plot(x[~labels], y[~labels], "s", markersize=2.5)
        ax.plot(x[ringed], y[ringed], "ko", markersize=10, markerfacecolor="none")
        DecisionBoundaryDisplay.from_estimator(
            svm,
            points,
            ax=ax,
            eps=0.05,
            plot_method="contour",
            response_method="decision_function",
            levels=[-1, 0, 1],
            colors="black",
            linestyles=["--", "-", "--"],
            xlabel="first direction",
            ylabel="second direction",
        )
        ax.set_title(title)
        ax.label_outer()
    return figure


@styled
def plot_pretraining(
    frozen: Sequence[float],
    scratch: Sequence[float],
    longest: float,
    accuracies: Mapping[str, float],
) -> Figure:
    """Plot accuracies by images a class, and beside them those of other features.

    frozen, scratch: shares for 10, 25, 50 and 100 images of each class.
    longest: for 100 images, trained from scratch for longer.
    accuracies: shares, by the name of the features.
    """
    figure, axes = make_figure(2.0, 1, 2, sharey=True, width_ratios=[1.25, 1])
    left, right = axes[0]
    numbers = ["10", "25", "50", "100"]
    left.plot(numbers, 100 * np.array(frozen), "o-", label="frozen features")
    left.plot(numbers, 100 * np.array(scratch), "s-", label="from scratch")
    left.plot("100", 100 * longest, "^", label="9 × longer")
    left.set_xlabel("training images of each class")
    left.set_ylabel("test accuracy (%)")
    left.legend(loc="lower right")
    heights = 100 * np.array(list(accuracies.values()))
    bars = right.bar(list(accuracies), heights)
    right.bar_label(bars, fmt="%.0f")
    return figure


@styled
def plot_gains(
    values: Mapping[str, np.ndarray], gains: Mapping[str, Estimate]
) -> Figure:
    """Plot what steps between recipes gain on random splits, a row for each step.

    values: gains in points, one for each split, by step.
    gains: their mean and its interval, by step; grey if it contains 0.
    """
    figure, axes = make_figure(0.6 + 0.36 * len(values))
    ax = axes[0, 0]
    for y, (name, of_splits) in enumerate(values.items()):
        draw_points(ax, y - 0.15, of_splits)
        draw_estimate(ax, y + 0.2, gains[name])
    name_rows(ax, list(values))
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("gain (points)")
    return figure


@styled
def plot_climb(accuracies: Mapping[str, np.ndarray]) -> Figure:
    """Plot the accuracies of recipes on the same splits, and their means.

    accuracies: per cent, one for each split, by recipe.
    """
    figure, axes = make_figure(1.7)
    ax = axes[0, 0]
    values = np.array(list(accuracies.values()))  # (recipes, splits)
    means = values.mean(1)
    ax.plot(list(accuracies), values, color=COLOURS[0], linewidth=0.4)
    ax.plot(list(accuracies), means, "o-")
    for x, mean in enumerate(means):
        ax.annotate(f"{mean:.1f}", (x, mean), (4, -10), textcoords="offset points")
    ax.set_ylabel("test accuracy (%)")
    return figure


@styled
def plot_control(
    correct: Mapping[str, np.ndarray], names: Sequence[str], svm: float
) -> Figure:
    """Plot trainings with frozen and with moving layers, a row for each network.

    correct: "VGG16 frozen" and so on, bool (trainings, N), whether each image is right.
    svm: the accuracy of an SVM on the first network, a dashed line.

    Frozen trainings are blue, moving ones orange.
    """
    figure, axes = make_figure(0.75 + 0.3 * len(names))
    ax = axes[0, 0]
    for y, name in enumerate(names):
        draw_points(ax, y - 0.2, 100 * correct[f"{name} frozen"].mean(1), COLOURS[0])
        draw_points(ax, y + 0.2, 100 * correct[f"{name} moving"].mean(1), COLOURS[1])
    ax.axvline(100 * svm, color="black", linestyle="--", linewidth=0.8)
    name_rows(ax, names)
    ax.set_xlabel("test accuracy (%)")
    return figure
