"""Figures of Chapter 2: maps, removed pixels, attacked pictures, digits, drawings."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps.plots import (
    COLOURS,
    LINE_STYLES,
    MARKERS,
    WIDTH,
    make_figure,
    plot_grid,
    show_picture,
    styled,
)
from plots import Estimate

# Between tiles, in inches.
GAP = 0.07


def _make_tiles(
    rows: int, columns: int, cell: float, above: float
) -> tuple[Figure, np.ndarray]:
    """A figure as wide as the text, with square axes in its middle.

    cell, above: their side, and the room above them, in inches.
    """
    height = rows * (cell + GAP) + above
    margin = (WIDTH - columns * (cell + GAP) + GAP) / 2 / WIDTH
    figure = Figure(figsize=(WIDTH, height))
    figure.subplots_adjust(
        left=margin,
        right=1 - margin,
        top=1 - above / height,
        bottom=GAP / height,
        wspace=GAP / cell,
        hspace=GAP / cell,
    )
    return figure, figure.subplots(rows, columns, squeeze=False)


@styled
def plot_maps(
    pictures: Tensor,
    maps: Mapping[str, Tensor],
    titles: Sequence[str],
    cell: float | None = None,
) -> Figure:
    """Plot a column for each picture: the picture, its maps below.

    A map is bright where it is high, up to its 99th percentile.

    pictures: (N, 3, H, W) in [0, 1].
    maps: (N, H, W) >= 0 by name.
    titles: one for each picture.
    cell: the side of a picture in inches, by default as large as fits.
    """
    columns = len(pictures)
    rows = 1 + len(maps)
    if cell is None:
        cell = (WIDTH - 0.3) / columns - GAP
    figure, axes = _make_tiles(rows, columns, cell, 0.34)
    for ax, picture, title in zip(axes[0], pictures, titles, strict=True):
        show_picture(ax, picture, title)
    for row, (name, values) in zip(axes[1:], maps.items(), strict=True):
        row[0].set_ylabel(name)
        for ax, each in zip(row, values, strict=True):
            levels = np.asarray(each)
            highest = max(np.percentile(levels, 99), 1e-12)
            ax.imshow(levels, cmap="inferno", vmin=0, vmax=highest)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
    return figure


@styled
def plot_slope(picture: Tensor, slope: Tensor, side: float = 1.8) -> Figure:
    """Plot a picture and a signed map of it, red where it is positive.

    picture: (3, H, W) in [0, 1].
    slope: (H, W); colours end at the 99th percentile of its absolute values.
    side: of each, in inches.
    """
    figure, axes = _make_tiles(1, 2, side, 0.05)
    left, right = axes[0]
    show_picture(left, picture)
    levels = np.asarray(slope)
    highest = np.percentile(np.abs(levels), 99)
    right.imshow(levels, cmap="RdBu_r", vmin=-highest, vmax=highest)
    right.set_axis_off()
    return figure


@styled
def plot_removal(
    frames: Tensor,
    titles: Sequence[str],
    shares: ArrayLike,
    curves: Mapping[str, ArrayLike],
) -> Figure:
    """Plot a picture while its pixels are removed, and the probability of its class.

    frames: (F, 3, H, W) in [0, 1].
    titles: one for each frame.
    shares: (S,) of the pixels, in per cent.
    curves: the probabilities (S,) by the name of the order.
    """
    columns = len(frames)
    figure = Figure(figsize=(WIDTH, WIDTH / columns + 1.75), layout="constrained")
    heights = [WIDTH / columns + 0.1, 1.55]
    parts = np.asarray(figure.subfigures(2, 1, height_ratios=heights))
    upper = parts[0].subplots(1, columns)
    for ax, frame, title in zip(upper, frames, titles, strict=True):
        show_picture(ax, frame, title)
    ax = parts[1].subplots()
    for index, (name, values) in enumerate(curves.items()):
        ax.plot(
            shares,
            values,
            LINE_STYLES[index],
            marker=MARKERS[index],
            color=COLOURS[index],
            label=name,
        )
    ax.set_xlabel("pixels removed (%)")
    ax.set_ylabel("probability")
    ax.set_ylim(0, 1.02)
    ax.legend(loc="upper right")
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

    filters: (32, h, w) by the name of the network; red is positive, blue negative.
    greys: (G,) from black to white.
    responses: (F, G), a curve for each filter.
    marks: greys at which a dashed line stands.
    """
    number = len(filters)
    widths = [1.0] * number + [1.3]
    figure, axes = make_figure(2.1, 1, number + 1, width_ratios=widths)
    for ax, (name, weights) in zip(axes[0], filters.items(), strict=False):
        weights = np.asarray(weights)
        _, height, width = weights.shape
        padded = np.full((8, 4, height + 1, width + 1), np.nan)
        for index, kernel in enumerate(weights):
            largest = max(np.abs(kernel).max(), 1e-12)
            padded[index // 4, index % 4, :height, :width] = kernel / largest
        mosaic = padded.transpose(1, 2, 0, 3).reshape(4 * (height + 1), -1)
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


@styled
def plot_ranks(ranks: Mapping[str, tuple[Sequence[int], Sequence[int]]]) -> Figure:
    """Plot the ranks of a class before (hollow) and after, a row for each start.

    ranks: before and after, a rank for each seed, by the name of the start.
    """
    figure, axes = make_figure(0.5 + 0.32 * len(ranks))
    ax = axes[0, 0]
    for place, (before, after) in enumerate(ranks.values()):
        places = np.full(len(before), place - 0.14)
        ax.scatter(before, places, s=22, facecolors="none", edgecolors=COLOURS[0])
        places = place + np.linspace(0.02, 0.3, len(after))
        ax.scatter(after, places, s=16, color=COLOURS[1])
    ax.axvline(5.5, color="black", linestyle="--", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_xticks([1, 5, 10, 100, 1000], ["1", "5", "10", "100", "1,000"])
    ax.minorticks_off()
    ax.set_xlabel("rank that the judge gives the class, of 1,000")
    ax.set_yticks(range(len(ranks)), list(ranks))
    ax.set_ylim(len(ranks) - 0.5, -0.5)
    return figure
