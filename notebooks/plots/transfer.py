"""Figures of Chapter 1: networks, what their features know of scenes, and gains."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.svm import LinearSVC

from dlapps.core.images import stack_pixels
from dlapps.plots import COLOURS, WIDTH, make_figure, plot_grid, show_picture, styled
from plots import Estimate
from plots.diagrams import Block, plot_diagram

GREY = "#E4E4E4"
ORANGE = "#F6D9C6"

Ranking = Sequence[tuple[str, float]]


@styled
def plot_answers(
    pictures: Sequence[np.ndarray],
    truths: Sequence[str],
    answers: Mapping[str, Sequence[Ranking]],
    chosen: Sequence[str],
) -> Figure:
    """Plot the likeliest classes of pictures, the true class filled.

    Each chosen picture has a row, each network a column.

    pictures: uint8 (H, W, 3) of any size.
    truths: their true classes.
    answers: for each network and picture (class name, probability) from high to low, as
    `PixelNetwork.predict` returns them.
    chosen: the true classes of the pictures to draw.
    """
    widths = [1.1] + [2.0] * len(answers)
    figure, axes = make_figure(
        len(chosen), len(chosen), len(widths), width_ratios=widths
    )
    for row, truth in zip(axes, chosen, strict=True):
        picture = truths.index(truth)
        show_picture(row[0], pictures[picture], truth)
        for ax, rankings in zip(row[1:], answers.values(), strict=True):
            _draw_ranking(ax, rankings[picture], truth)
    for ax, name in zip(axes[0, 1:], answers, strict=True):
        ax.set_title(name, fontsize=7)
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


def plot_stages() -> Figure:
    """Plot the parts of EfficientNet-Lite0 that a training uses, and the new head."""
    stored = Block(
        0.75, 0, 1.3, 0.45, "stages 1 to 6:\nfrozen, stored", "192 × 7 × 7", GREY
    )
    stage = Block(
        2.35, 0, 1.3, 0.45, "stage 7: frozen\nor moving", "320 × 7 × 7", ORANGE, stored
    )
    mean = Block(3.85, 0, 1.1, 0.45, "mean, scaled\nto length ten", "320", GREY, stage)
    head = Block(5.2, 0, 1.0, 0.45, "head: new,\nmoving", "15 scores", ORANGE, mean)
    return plot_diagram([stored, stage, mean, head])


@styled
def plot_accuracies(accuracies: Mapping[str, float]) -> Figure:
    """Plot a bar for each accuracy in per cent, the first on top, with its number."""
    figure, axes = make_figure(0.45 + 0.15 * len(accuracies))
    ax = axes[0, 0]
    rows = range(len(accuracies))
    bars = ax.barh(rows, list(accuracies.values()), color=COLOURS[0], height=0.7)
    ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    ax.set_yticks(rows, list(accuracies))
    ax.set_ylim(len(accuracies) - 0.5, -0.5)
    ax.set_xlim(0, 105)
    ax.set_xlabel("accuracy (%)")
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    return figure


@styled
def plot_classes(
    names: Sequence[str],
    counts: Sequence[int],
    pictures: Sequence[np.ndarray] | None,
) -> Figure:
    """Plot a picture of each class, or without pictures how many images each has.

    pictures: uint8 (H, W), one for each class; or None.
    """
    if pictures is not None:
        squares = [stack_pixels([picture], 96)[0] for picture in pictures]
        return plot_grid(squares, names, columns=10)
    figure, axes = make_figure(2.2)
    ax = axes[0, 0]
    ax.bar(range(len(names)), counts, color=COLOURS[0])
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
    ax.set_ylabel("images")
    return figure


@styled
def plot_class_map(
    points: ArrayLike, names: Sequence[str], shares: Sequence[float] = ()
) -> Figure:
    """Plot classes at their places in two dimensions, with their names.

    points: (K, 2).
    shares: of the variance along each direction, written beside the axes.
    """
    points = np.asarray(points)
    figure, axes = make_figure(2.6)
    ax = axes[0, 0]
    ax.plot(*points.T, "o", color=COLOURS[0], markersize=3)
    ax.margins(0.12, 0.1)
    # In printed points, about: the width of the map, and its height.
    size = np.array([WIDTH * 0.9, 2.1]) * 72
    spots = (points - points.min(0)) / np.ptp(points, axis=0) * size / (1.24, 1.2)
    for place, name, shift in zip(
        points, names, _free_shifts(spots, names), strict=True
    ):
        x, y = shift
        ax.annotate(
            name,
            place,
            xytext=(x, y),
            textcoords="offset points",
            ha="center" if x == 0 else "left" if x > 0 else "right",
            va="center" if y == 0 else "bottom" if y > 0 else "top",
            fontsize=7,
        )
    labels = ["first direction", "second direction"]
    for index, share in enumerate(shares):
        labels[index] += f" ({share:.0%} of the variance)"
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1])
    return figure


def _free_shifts(spots: np.ndarray, names: Sequence[str]) -> list[tuple[float, float]]:
    """Choose where each name stands beside its spot, so that few names overlap.

    spots: (K, 2), in printed points. Of eight sides a name takes the one where its box
    covers least of the names before it and of all spots.
    """
    sides = [(5, 0), (-5, 0), (0, 4), (0, -4), (3, 3), (-3, 3), (3, -3), (-3, -3)]
    boxes: list[np.ndarray] = [np.concatenate([spot - 2, spot + 2]) for spot in spots]
    shifts: list[tuple[float, float]] = []
    for spot, name in zip(spots, names, strict=True):
        width = 4.0 * len(name)
        height = 8.0
        candidates = []
        for x, y in sides:
            left = spot[0] + x - width * (1 - np.sign(x)) / 2
            bottom = spot[1] + y - height * (1 - np.sign(y)) / 2
            candidates.append(np.array([left, bottom, left + width, bottom + height]))
        covered = [
            sum(_common_area(box, other) for other in boxes) for box in candidates
        ]
        best = int(np.argmin(covered))
        boxes.append(candidates[best])
        shifts.append(sides[best])
    return shifts


def _common_area(box: np.ndarray, other: np.ndarray) -> float:
    """The area that two boxes (left, bottom, right, top) share."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    return float(np.prod(sides.clip(0)))


@styled
def plot_neighbours(
    queries: Sequence[str],
    neighbours: Sequence[Sequence[tuple[str, float]]],
    pictures: Sequence[Sequence[np.ndarray]] | None,
) -> Figure:
    """Plot how similar the nearest images are, a panel for each query.

    The bar of a neighbour of another class is hollow.

    queries: the class of each query, written under its picture, or above its bars.
    neighbours: (class, cosine) for each query, the nearest first.
    pictures: for each query its picture and those of its neighbours, uint8 (H, W, 3),
        drawn in a row above the bars; None to draw the bars alone.
    """
    number = len(neighbours[0])
    if pictures is None:
        figure, axes = make_figure(1.6, 1, len(queries), sharex=True)
        panels = list(axes[0])
    else:
        rows = len(queries)
        figure, axes = make_figure(1.15 * rows, rows, number + 2)
        panels = []
        for row, images in zip(axes, pictures, strict=True):
            for ax, picture in zip(row, images, strict=False):
                show_picture(ax, picture)
            panels.append(row[-1])
        heads = ["test image", "nearest", "second", "third", "fourth"]
        for ax, query in zip(axes[:, 0], queries, strict=True):
            below = {"transform": ax.transAxes, "ha": "center", "va": "top"}
            ax.text(0.5, -0.04, query, fontsize=7, **below)
        for ax, head in zip(axes[0, :-1], heads, strict=False):
            ax.set_title(head, fontsize=7)
    for ax, query, nearest in zip(panels, queries, neighbours, strict=True):
        for rank, (name, cosine) in enumerate(nearest):
            y = number - 1 - rank
            colour = COLOURS[0] if name == query else "white"
            ax.barh(y, cosine, color=colour, edgecolor=COLOURS[0], height=0.25)
            ax.text(0, y + 0.2, f"{name} {cosine:.2f}", va="bottom", fontsize=7)
        if pictures is None:
            ax.set_title(query, fontsize=7)
        ax.set_xlim(0, 1)
        ax.set_ylim(-0.4, number - 0.1)
        ax.set_yticks([])
        ax.set_xticks([])
        ax.grid(visible=False)
        ax.spines[["bottom", "left"]].set_visible(False)
    return figure


@styled
def plot_margins(
    points: ArrayLike, labels: ArrayLike, svms: Mapping[str, LinearSVC]
) -> Figure:
    """Plot two classes in two dimensions, with the plane and the margins of each SVM.

    A ring is around each point on the wrong side of the plane.

    points: (N, 2).
    labels: bool (N,).
    svms: fitted to them, by the title of the panel.
    """
    points = np.asarray(points)
    labels = np.asarray(labels)
    figure, axes = make_figure(2.4, 1, len(svms), sharex=True, sharey=True)
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
        wrong = points[svm.predict(points) != labels]
        if len(wrong):
            ring = {"markersize": 8, "markerfacecolor": "none", "color": "black"}
            ax.plot(*wrong.T, "o", **ring)
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
def plot_confusion(matrix: ArrayLike, names: Sequence[str]) -> Figure:
    """Plot a confusion matrix (K, K), true classes in rows, with its counts.

    The diagonal is left white, so that the mistakes are seen.
    """
    matrix = np.asarray(matrix)
    mistakes = matrix * (1 - np.eye(len(matrix), dtype=int))
    figure, axes = make_figure(2.9)
    ax = axes[0, 0]
    ax.imshow(mistakes, cmap="Blues", aspect="auto")
    for row, column in np.ndindex(*matrix.shape):
        count = matrix[row, column]
        if count:
            colour = "white" if mistakes[row, column] > mistakes.max() / 2 else "black"
            ax.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                color=colour,
                fontsize=7,
            )
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=7)
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set_xlabel("answer")
    ax.set_ylabel("true class")
    ax.grid(visible=False)
    return figure


@styled
def plot_class_gains(
    gains: Mapping[str, Mapping[str, float]], groups: Mapping[str, Sequence[str]]
) -> Figure:
    """Plot what each class gains, a panel for each change and a colour for each group.

    gains: for each change the gain in points of each class, by its name.
    groups: the names of at most three groups' classes, in the order of the rows.
    """
    colours = (COLOURS[0], "#888888", COLOURS[1])
    figure, axes = make_figure(2.4, 1, len(gains), sharex=True, sharey=True)
    names = [name for group in groups.values() for name in group]
    for ax, (title, of_classes) in zip(axes[0], gains.items(), strict=True):
        for colour, (group, members) in zip(colours, groups.items(), strict=False):
            rows = [names.index(name) for name in members]
            values = [of_classes[name] for name in members]
            ax.barh(rows, values, color=colour, height=0.7, label=group)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_title(title)
        ax.set_xlabel("gain (points)")
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    axes[0, -1].legend(loc="center right")
    return figure


@styled
def plot_steps(
    steps: Mapping[str, tuple[float, float, Estimate]],
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None,
) -> Figure:
    """Plot the accuracies before and after each change, and beside them its gain.

    The accuracy before is a hollow circle, larger than the dot of the one after, so
    that both are seen where they agree. A gain is grey if its interval contains 0.

    steps: for each change the accuracies in per cent before and after, and the gain in
    points with its interval.
    limits: of the two axes, for figures that are compared; None for those of the data.
    """
    figure, axes = make_figure(0.6 + 0.21 * len(steps), 1, 2, sharey=True)
    levels, gains = axes[0]
    for y, (before, after, (mean, low, high)) in enumerate(steps.values()):
        colour = COLOURS[0] if low > 0 or high < 0 else "#888888"
        if abs(after - before) > 0.7:  # else it would lie inside the circle
            arrow = {"arrowstyle": "->", "color": colour}
            levels.annotate("", (after, y), (before, y), arrowprops=arrow)
        hollow = {"markerfacecolor": "white", "markersize": 7}
        levels.plot(before, y, "o", color=colour, **hollow)
        levels.plot(after, y, "o", color=colour, markersize=3.5)
        reach = [[mean - low], [high - mean]]
        gains.errorbar(mean, y, xerr=reach, fmt="o", capsize=2, color=colour)
    gains.axvline(0, color="black", linestyle="--", linewidth=0.8)
    levels.set_xlabel("test accuracy (%)")
    gains.set_xlabel("gain (points)")
    levels.set_ylim(len(steps) - 0.5, -0.5)
    levels.set_yticks(range(len(steps)), list(steps))
    if limits:
        levels.set_xlim(limits[0])
        gains.set_xlim(limits[1])
    for ax in axes[0]:
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
    return figure
