"""Figures of Chapter 2: maps, removed pixels, attacked pictures, digits, drawings."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps.plots import (
    COLOURS,
    MARKERS,
    WIDTH,
    make_figure,
    plot_curves,
    plot_grid,
    show_picture,
    styled,
)
from plots import Estimate


@styled
def plot_slope(picture: Tensor, slope: Tensor) -> Figure:
    """Plot a picture and a signed map of it, red where it is positive.

    picture: (3, H, W) in [0, 1].
    slope: (H, W); colours end at the 99th percentile of its absolute values.
    """
    figure, axes = make_figure(1.9, 1, 2)
    figure.set_layout_engine("compressed")  # the two side by side
    left, right = axes[0]
    show_picture(left, picture)
    levels = np.asarray(slope)
    highest = np.percentile(np.abs(levels), 99)
    right.imshow(levels, cmap="RdBu_r", vmin=-highest, vmax=highest)
    right.set_axis_off()
    return figure


@styled
def plot_gaps(
    shares: ArrayLike, orders: Mapping[str, tuple[ArrayLike, ArrayLike]]
) -> Figure:
    """Plot a panel for each order of pixels: two curves, the area between them shaded.

    shares: (S,) of the pixels, from 0 to 1.
    orders: the probabilities (S,) while pixels are removed, and while they are
        restored, by the title of the panel.
    """
    percent = 100 * np.asarray(shares)
    figure, axes = make_figure(1.95, 1, len(orders), sharey=True)
    for ax, (title, curves) in zip(axes[0], orders.items(), strict=True):
        removed, restored = map(np.asarray, curves)
        ax.plot(percent, restored, "-o", color=COLOURS[0], label="restored")
        ax.plot(percent, removed, "--s", color=COLOURS[1], label="removed")
        for counts, colour in ((restored >= removed, 0), (restored <= removed, 1)):
            ax.fill_between(
                percent,
                removed,
                restored,
                where=counts,
                interpolate=True,
                color=COLOURS[colour],
                alpha=0.18,
                linewidth=0,
            )
        ax.set_title(title)
        ax.set_xlabel("pixels changed (%)")
    axes[0, 0].set_ylim(0, 1.02)
    axes[0, 0].set_ylabel("probability")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center")
    return figure


@styled
def plot_bars(
    rankings: Mapping[str, Sequence[tuple[str, float]]], marked: str
) -> Figure:
    """Plot a panel for each ranking: class names and bars of their probabilities.

    rankings: (class name, probability) from high to low, by the title of the panel.
    marked: the class that is drawn in another colour.
    """
    figure, axes = make_figure(1.5, 1, len(rankings))
    for ax, (title, ranking) in zip(axes[0], rankings.items(), strict=True):
        places = np.arange(len(ranking))
        names = [name for name, _ in ranking]
        shares = [share for _, share in ranking]
        colours = [COLOURS[1] if name == marked else "#999999" for name in names]
        ax.barh(places, shares, color=colours)
        ax.set_yticks(places, names)
        ax.set_ylim(len(ranking) - 0.5, -0.5)
        ax.set_xlim(0, 1)
        ax.set_title(title)
        ax.grid(axis="y", visible=False)
    axes[0, 0].set_xlabel("probability")
    return figure


def plot_race(target: ArrayLike, rival: ArrayLike, name: str) -> Figure:
    """Plot the logits of a target class and of its best rival after each step.

    target, rival: (T,).
    name: of the target class.
    """
    steps = range(len(np.asarray(target)))
    curves = {name: (steps, target), "its best rival": (steps, rival)}
    return plot_curves(curves, "step", "logit", height=1.7)


def plot_changes(clean: Tensor, changed: Tensor, titles: Sequence[str]) -> Figure:
    """Plot one row for each image: clean, changed, and 40 times the change on grey.

    clean, changed: (N, 3, H, W) in [0, 1].
    titles: one for each row.
    """
    pictures = []
    captions = []
    for before, after, title in zip(clean, changed, titles, strict=True):
        magnified = 0.5 + 40 * (after - before)
        pictures += [before, after, magnified.clamp(0, 1)]
        captions += [title, "changed", "change × 40"]
    return plot_grid(pictures, captions, columns=3)


@styled
def plot_boxes(
    pictures: Sequence[Tensor], boxes: Mapping[str, tuple[int, int, int, int]]
) -> Figure:
    """Plot pictures side by side, each with a box.

    pictures: (3, H, W) in [0, 1], one for each box.
    boxes: left, top, right and bottom in pixels, by the title of the picture.
    """
    number = len(boxes)
    figure, axes = make_figure(1.18 * WIDTH / number, 1, number)
    for ax, picture, (title, box) in zip(axes[0], pictures, boxes.items(), strict=True):
        show_picture(ax, picture, title)
        left, top, right, bottom = box
        frame = Rectangle((left, top), right - left, bottom - top)
        frame.set(fill=False, edgecolor=COLOURS[1], linewidth=1.5)
        ax.add_patch(frame)
    return figure


@styled
def plot_digits(
    rows: Mapping[str, tuple[Sequence[ArrayLike], Sequence[int]]], truths: Sequence[int]
) -> Figure:
    """Plot a row of digits for each name, with what a network reads above each.

    Wrong answers are orange.

    rows: digits (N, H, W) in [0, 1] and answers (N,) by the label of the row.
    truths: (N,).
    """
    columns = len(truths)
    cell = WIDTH / (columns + 1.6)
    figure, axes = make_figure(1.32 * cell * len(rows), len(rows), columns)
    for row, (label, (digits, answers)) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for ax, digit, answer, truth in zip(row, digits, answers, truths, strict=True):
            ax.imshow(np.asarray(digit), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            wrong = int(answer) != int(truth)
            ax.set_title(str(int(answer)), color=COLOURS[1] if wrong else "black")
    return figure


@styled
def plot_filters(
    filters: Mapping[str, ArrayLike],
    greys: ArrayLike,
    responses: ArrayLike,
    marks: Sequence[float],
) -> Figure:
    """Plot filters of two networks, and what some of them make of a grey ground.

    filters: (F, h, w), four in a row, by the name of the network; red is positive, blue
        negative.
    greys: (G,) from black to white.
    responses: (R, G), a curve for each filter.
    marks: greys at which a dashed line stands.
    """
    number = len(filters)
    widths = [1.25] * number + [1.3]
    figure, axes = make_figure(1.75, 1, number + 1, width_ratios=widths)
    for ax, (name, weights) in zip(axes[0], filters.items(), strict=False):
        weights = np.asarray(weights)
        count, height, width = weights.shape
        rows = count // 4
        padded = np.full((rows, 4, height + 1, width + 1), np.nan)
        for index, kernel in enumerate(weights):
            largest = max(np.abs(kernel).max(), 1e-12)
            padded[index // 4, index % 4, :height, :width] = kernel / largest
        mosaic = padded.transpose(0, 2, 1, 3).reshape(rows * (height + 1), -1)
        ax.imshow(mosaic, cmap="RdBu_r", vmin=-1, vmax=1)
        ax.set_axis_off()
        ax.set_title(name)
    ax = axes[0, -1]
    for response in np.asarray(responses):
        ax.plot(greys, response, color=COLOURS[0], linewidth=0.9)
    for mark in marks:
        ax.axvline(mark, color="black", linestyle="--", linewidth=0.8)
    ax.set_xlabel("grey of its pixel")
    ax.set_ylabel("output of the filter")
    return figure


@styled
def plot_score_card(
    measures: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    chances: Sequence[float],
) -> Figure:
    """Plot one panel for each measure, with a row for each method.

    Each of at most two networks has a colour. Intervals are cut off at 0 and 1.

    measures: {measure: {network: {method: a share with the ends of its interval}}}. The
    first network has all methods, the second perhaps some.
    chances: the value of each measure by chance, a dashed line.
    """
    first = next(iter(measures.values()))
    methods = list(next(iter(first.values())))
    figure, axes = make_figure(0.6 + 0.22 * len(methods), 1, len(measures), sharey=True)
    for ax, measure, chance in zip(axes[0], measures, chances, strict=True):
        for index, (network, shares) in enumerate(measures[measure].items()):
            places = [methods.index(method) for method in shares]
            means, lows, highs = np.array(list(shares.values())).T
            ends = np.clip([lows, highs], 0, 1)
            ax.errorbar(
                means,
                np.array(places) - 0.15 + 0.3 * index,
                xerr=np.abs(ends - means),
                fmt=MARKERS[index],
                capsize=2,
                color=COLOURS[index],
                label=network,
            )
        ax.axvline(chance, color="black", linestyle="--", linewidth=0.8)
        ax.set_xlabel(measure)
        ax.set_ylim(len(methods) - 0.5, -0.5)
        ax.set_yticks(range(len(methods)), methods)
        ax.grid(axis="y", visible=False)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2)
    return figure
