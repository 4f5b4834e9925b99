"""Figures of Chapter 2: attacked pictures, and a score card."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from dlapps.plots import COLOURS, MARKERS, make_figure, plot_grid, styled
from plots import Estimate


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
