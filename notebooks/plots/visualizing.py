"""Figures of Chapter 2: saliency maps, attacked pictures, and a score card."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dlapps.plots.general import (
    COLOURS,
    MARKERS,
    WIDTH,
    Estimate,
    make_figure,
    plot_grid,
    show_picture,
    styled,
)


@styled
def plot_saliency(
    pictures: Sequence[np.ndarray] | Tensor,
    maps: Mapping[str, np.ndarray | Tensor],
    titles: Sequence[str],
) -> Figure:
    """Plot one column for each picture, with one row below it for each method.

    A map is bright where it is high, up to its 99th percentile. A map with values below
    0 is red where it is positive, blue where it is negative and white at 0, up to the
    99th percentile of the absolute values.

    pictures: uint8 (H, W, 3), or (H, W) of grey ones, or pixels (N, C, H, W) in [0, 1].
    maps: (N, H, W) by method, arrays or tensors; or pixels, which are shown as they
    are.
    titles: one for each picture.
    """
    rows = 1 + len(maps)
    columns = len(pictures)
    cell = WIDTH / (max(columns, 6) + 0.12)
    figure, axes = make_figure(cell * (1.02 * rows + 0.2), rows, columns)
    for ax, picture, title in zip(axes[0], pictures, titles, strict=True):
        show_picture(ax, picture)
        ax.set_title(title, fontsize=7)
    for row, (method, saliency) in zip(axes[1:], maps.items(), strict=True):
        row[0].set_ylabel(method, fontsize=7)
        for ax, values in zip(row, saliency, strict=True):
            _draw_map(ax, np.asarray(values))
    return figure


def _draw_map(ax: Axes, values: np.ndarray) -> None:
    """Draw a map (H, W), or pixels (C, H, W) as they are."""
    highest = max(np.percentile(np.abs(values), 99), 1e-12)
    if values.ndim == 3:
        ax.imshow(values.transpose(1, 2, 0))
    elif values.min() < 0:
        ax.imshow(values, cmap="RdBu_r", vmin=-highest, vmax=highest)
    else:
        ax.imshow(values, cmap="inferno", vmin=0, vmax=highest)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


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
def plot_score_card(
    measures: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    chances: Sequence[float],
) -> Figure:
    """Plot one panel for each measure, with a row for each method.

    Each of at most two networks has a colour. Intervals are cut off at 0 and 1.

    measures: {measure: {network: {method: a share with the ends of its interval}}}.
    chances: the value of each measure by chance, a dashed line.
    """
    first = next(iter(measures.values()))
    methods = list(next(iter(first.values())))
    figure, axes = make_figure(0.6 + 0.22 * len(methods), 1, len(measures), sharey=True)
    for ax, measure, chance in zip(axes[0], measures, chances, strict=True):
        for index, (network, shares) in enumerate(measures[measure].items()):
            means, lows, highs = np.array([shares[method] for method in methods]).T
            ends = np.clip([lows, highs], 0, 1)
            ax.errorbar(
                means,
                np.arange(len(methods)) - 0.15 + 0.3 * index,
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
