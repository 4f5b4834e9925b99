"""Figures of Chapter 1: networks, what their features know of scenes, and gains."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.svm import LinearSVC
from torch import Tensor

from dlapps.core.images import stack_pixels
from dlapps.datasets.scenes15 import NUM_TRAIN, SceneFeatures
from dlapps.plots import COLOURS, make_figure, show_picture, styled
from plots import Estimate
from plots.diagrams import Block, plot_diagram

GREY = "#E4E4E4"
ORANGE = "#F6D9C6"
UNCERTAIN = "#888888"
RING: dict[str, Any] = {"markerfacecolor": "white", "color": COLOURS[0]}
FAINT: dict[str, Any] = {"alpha": 0.35, "markersize": 3}

Ranking = Sequence[tuple[str, float]]


@styled
def plot_scenes(scenes: SceneFeatures) -> Figure:
    """Plot an image of each class, or how many there are if they are not there."""
    names = scenes.class_names
    if not scenes.has_pictures:
        figure, axes = make_figure(2.2)
        ax = axes[0, 0]
        ax.bar(range(len(names)), np.bincount(scenes.labels), color=COLOURS[0])
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
        ax.set_ylabel("images")
        return figure
    rows = len(names) // 5
    figure, axes = make_figure(1.05 * rows, rows, 5)
    for label, ax in enumerate(axes.flat):
        _draw_scene(ax, scenes, 100 * label + 60, names[label], "black")
    return figure


def _write_below(ax: Axes, text: str, colour: str = "black") -> None:
    ax.text(
        0.5, -0.04, text, transform=ax.transAxes, ha="center", va="top", color=colour
    )


@styled
def plot_answers(
    pixels: Tensor, truths: Sequence[str], answers: Sequence[Ranking]
) -> Figure:
    """Plot pictures side by side, and below each what a network takes it for.

    pixels: (N, 3, H, W) in [0, 1].
    answers: (class name, probability) from high to low for each picture. The bar of the
    true class is filled.
    """
    figure, axes = make_figure(2.3, 2, len(truths), height_ratios=[1.5, 0.85])
    for column, truth in enumerate(truths):
        show_picture(axes[0, column], pixels[column], truth)
        _draw_ranking(axes[1, column], answers[column], truth)
    return figure


def _draw_ranking(ax: Axes, ranking: Ranking, truth: str) -> None:
    """Draw a bar for each class, the likeliest on top, and its name above the bar."""
    for rank, (label, share) in enumerate(ranking):
        y = len(ranking) - 1 - rank
        colour = COLOURS[0] if label == truth else "white"
        ax.barh(y, share, color=colour, edgecolor=COLOURS[0], height=0.35)
        ax.text(0, y + 0.24, f"{label} {share:.0%}", va="bottom", fontsize=7)
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.4, len(ranking) - 0.1)
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[["bottom", "left"]].set_visible(False)


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
        last = Block(x, 0, 0.54, height, text, below, "#D6E6F2", after=last)
        blocks.append(last)

    dense = Block(4.62, 0.45, 0.78, 0.36, "fc6, fc7\n(relu7), fc8", "", GREY, last)
    classes = Block(5.5, 0.45, 0.56, 0.36, "1,000\nclasses", "", GREY, dense)
    features = Block(
        4.62, -0.45, 0.78, 0.36, "average:\n512 features", "", ORANGE, last, COLOURS[1]
    )
    scenes = Block(
        5.5, -0.45, 0.56, 0.36, "SVM: 15\nscenes", "", ORANGE, features, COLOURS[1]
    )
    blocks += [dense, classes, features, scenes]
    return plot_diagram(blocks)


@styled
def plot_neighbours(
    scenes: SceneFeatures, similarity: np.ndarray, queries: Sequence[int]
) -> Figure:
    """Plot test images and the training images most similar to them, a row each.

    Below a neighbour stand its class and its cosine, orange if the class differs. If
    the images are not there, the words stand alone.

    similarity: cosines (2985, 1500).
    queries: rows of the test images.
    """
    heads = ["test image", "nearest", "second", "third", "fourth"]
    height = 1.1 if scenes.has_pictures else 0.3
    figure, axes = make_figure(height * len(queries) + 0.15, len(queries), len(heads))
    names = np.array(scenes.class_names)[scenes.labels]
    for row, query in zip(axes, queries, strict=True):
        nearest = np.argsort(-similarity[query], kind="stable")[: len(heads) - 1]
        true_name = names[NUM_TRAIN + query]
        _draw_scene(row[0], scenes, NUM_TRAIN + query, true_name, "black")
        for ax, place in zip(row[1:], nearest, strict=True):
            text = f"{names[place]} {similarity[query, place]:.2f}"
            colour = COLOURS[0] if names[place] == true_name else COLOURS[1]
            _draw_scene(ax, scenes, place, text, colour)
    for ax, head in zip(axes[0], heads, strict=True):
        ax.set_title(head, color=UNCERTAIN)
    return figure


def _draw_scene(
    ax: Axes, scenes: SceneFeatures, row: int, text: str, colour: str
) -> None:
    ax.set_axis_off()
    if scenes.has_pictures:
        show_picture(ax, stack_pixels(scenes.pictures([row]), 192)[0])
        _write_below(ax, text, colour)
    else:
        ax.text(0.5, 0.5, text, color=colour, ha="center", va="center")


@styled
def plot_margins(
    points: ArrayLike,
    labels: ArrayLike,
    svms: Mapping[str, LinearSVC],
    ringed: np.ndarray,
) -> Figure:
    """Plot two classes in two dimensions, with the plane and the margins of each SVM.

    points: (N, 2).
    labels: bool (N,).
    svms: fitted to them, by the title of the panel.
    ringed: bool (N,), the points with a ring around them.
    """
    points = np.asarray(points)
    labels = np.asarray(labels)
    figure, axes = make_figure(2.3, 1, len(svms), sharex=True, sharey=True)
    low = points.min(0) - 0.05
    high = points.max(0) + 0.05
    x, y = np.meshgrid(np.linspace(low[0], high[0], 200), np.linspace(low[1], high[1]))
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    for ax, (title, svm) in zip(axes[0], svms.items(), strict=True):
        for label, colour, marker in (
            (True, COLOURS[0], "o"),
            (False, COLOURS[1], "s"),
        ):
            chosen = points[labels == label]
            ax.plot(*chosen.T, marker, color=colour, markersize=2.5)
        ring = {"markersize": 10, "markerfacecolor": "none", "color": "black"}
        ax.plot(*points[ringed].T, "o", **ring)
        scores = svm.decision_function(grid).reshape(x.shape)
        ax.contour(
            x,
            y,
            scores,
            levels=[-1, 0, 1],
            colors="black",
            linestyles=["--", "-", "--"],
            linewidths=0.9,
        )
        ax.set_title(title)
        ax.set_xlabel("first direction")
    axes[0, 0].set_ylabel("second direction")
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
    numbers = [10, 25, 50, 100]
    left.plot(numbers, 100 * np.array(frozen), "o-", label="frozen features")
    left.plot(numbers, 100 * np.array(scratch), "s-", label="from scratch")
    left.plot([100], [100 * longest], "^", label="9 × longer")
    left.set_xscale("log")
    left.set_xticks(numbers, [str(number) for number in numbers])
    left.minorticks_off()
    left.set_xlabel("training images of each class")
    left.set_ylabel("test accuracy (%)")
    left.set_ylim(0, 100)
    left.legend(loc="lower right")
    colours = ["#BBBBBB"] * (len(accuracies) - 1) + [COLOURS[0]]
    heights = 100 * np.array(list(accuracies.values()))
    bars = right.bar(list(accuracies), heights, 0.7, color=colours)
    right.bar_label(bars, fmt="%.0f", padding=1)
    right.grid(axis="x", visible=False)
    right.tick_params(axis="x", length=0)
    return figure


@styled
def plot_gains(
    values: Mapping[str, np.ndarray], gains: Mapping[str, Estimate]
) -> Figure:
    """Plot what steps between recipes gain on random splits, a row for each step.

    values: gains in points, one for each split, by step.
    gains: their mean and its interval, by step; grey if it contains 0.
    """
    figure, axes = make_figure(0.6 + 0.3 * len(values))
    ax = axes[0, 0]
    for y, (name, of_splits) in enumerate(values.items()):
        _draw_gain(ax, y, of_splits, gains[name])
    _label_rows(ax, list(values))
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("gain (points)")
    return figure


@styled
def plot_climb(
    accuracies: Mapping[str, np.ndarray], gains: Sequence[Estimate]
) -> Figure:
    """Plot accuracies on random splits, and each row's gain over the row above.

    accuracies: in per cent, one for each split, by recipe, R of them.
    gains: R - 1, in points with an interval; grey if it contains 0.
    """
    rows = list(accuracies)
    height = 0.55 + 0.27 * len(rows)
    figure, axes = make_figure(height, 1, 2, sharey=True, width_ratios=[1, 1.2])
    levels, steps = axes[0]
    for y, values in enumerate(accuracies.values()):
        levels.plot(values, np.full(len(values), y), "o", color=COLOURS[0], **FAINT)
        mean = values.mean()
        levels.plot([mean, mean], [y - 0.25, y + 0.25], color="black", linewidth=1.5)
        levels.text(values.max() + 0.25, y, f"{mean:.1f}", va="center", fontsize=7)
    for y, gain in enumerate(gains, 1):
        of_splits = accuracies[rows[y]] - accuracies[rows[y - 1]]
        _draw_gain(steps, y, of_splits, gain)
    steps.axvline(0, color="black", linewidth=0.8)
    _label_rows(levels, rows)
    _label_rows(steps, rows)
    levels.margins(x=0.2)
    levels.set_xlabel("accuracy (%)")
    steps.set_xlabel("gain over the row above (points)")
    return figure


def _draw_gain(ax: Axes, y: int, values: np.ndarray, gain: Estimate) -> None:
    mean, low, high = gain
    colour = COLOURS[0] if low > 0 or high < 0 else UNCERTAIN
    ax.plot(values, np.full(len(values), y), "o", color=colour, **FAINT)
    reach = [[mean - low], [high - mean]]
    ax.errorbar(mean, y, xerr=reach, fmt="|", markersize=9, capsize=2, color=colour)
    ax.text(high + 0.15, y, f"{mean:+.1f}", va="center", fontsize=7, color=colour)


def _label_rows(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


@styled
def plot_control(
    correct: Mapping[str, np.ndarray], gains: Mapping[str, Estimate], svm: float
) -> Figure:
    """Plot trainings with frozen and with moving layers, a row for each network.

    correct: "VGG16 frozen" and so on, bool (trainings, N), whether each image is right.
    gains: in points with an interval, by network; grey if it contains 0.
    svm: the accuracy of an SVM on the first network, a dashed line.
    """
    figure, axes = make_figure(
        0.75 + 0.3 * len(gains), 1, 2, sharey=True, width_ratios=[1.4, 1]
    )
    levels, steps = axes[0]
    for y, (name, (mean, low, high)) in enumerate(gains.items()):
        frozen = 100 * correct[f"{name} frozen"].mean(1)
        moving = 100 * correct[f"{name} moving"].mean(1)
        above = np.full(len(frozen), y - 0.12)
        below = np.full(len(moving), y + 0.12)
        [rings] = levels.plot(frozen, above, "o", markersize=6, **RING)
        [dots] = levels.plot(moving, below, "o", markersize=4, color=COLOURS[0])
        colour = COLOURS[0] if low > 0 or high < 0 else UNCERTAIN
        reach = [[mean - low], [high - mean]]
        steps.errorbar(mean, y, xerr=reach, fmt="o", capsize=2, color=colour)
        steps.text(high + 0.15, y, f"{mean:+.1f}", va="center", color=colour)
    line = levels.axvline(100 * svm, color=COLOURS[1], linestyle="--")
    names = ["frozen", "moving", "SVM on VGG16"]
    levels.legend(
        [rings, dots, line], names, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3
    )
    steps.axvline(0, color="black", linewidth=0.8)
    levels.set_xlabel("test accuracy (%)")
    steps.set_xlabel("gain of moving layers (points)")
    for ax in axes[0]:
        _label_rows(ax, list(gains))
    return figure
