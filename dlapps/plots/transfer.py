"""What Chapter 1 draws: what classifiers make of single pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from dlapps.plots.general import COLOURS, make_figure, show_picture, styled


@styled
def plot_answers(
    pictures: Sequence[np.ndarray], truths: Sequence[str], answers: Mapping[str, Sequence[Sequence[tuple[str, float]]]]
) -> Figure:
    """One row a picture, titled by its true class, and a column a network: its likeliest classes, the true one filled.

    pictures: uint8 (H, W, 3) of any size; answers: for each network and picture (class name, probability) from high to
    low, as `PixelNetwork.predict` gives them.
    """
    grid = {"width_ratios": [1.1] + [2.0] * len(answers)}
    figure, axes = make_figure(1.15 * len(pictures), len(pictures), 1 + len(answers), gridspec_kw=grid)
    for ax, name in zip(axes[0, 1:], answers, strict=True):
        ax.set_title(name, fontsize=7)
    for row, picture, truth, *by_network in zip(axes, pictures, truths, *answers.values(), strict=True):
        show_picture(row[0], picture, truth)
        for ax, ranked in zip(row[1:], by_network, strict=True):
            places = np.arange(len(ranked))[::-1]
            fills = [COLOURS[0] if label == truth else "white" for label, _ in ranked]
            shares = [share for _, share in ranked]
            ax.barh(places, shares, color=fills, edgecolor=COLOURS[0], height=0.35)
            for place, (label, share) in zip(places, ranked, strict=True):
                ax.text(0, place + 0.24, f"{label} {share:.0%}", va="bottom", fontsize=6.5)
            ax.set(xlim=(0, 1), ylim=(-0.4, len(ranked) - 0.1), xticks=(), yticks=())
            ax.grid(visible=False)
            ax.spines[["bottom", "left"]].set_visible(False)
    return figure


@styled
def plot_misread(
    names: Sequence[str], scores: Sequence[Sequence[tuple[str, float]]], truths: Sequence[str],
    pictures: Sequence[np.ndarray] | None = None,
) -> Figure:  # fmt: skip
    """Misread examples, two in a row: the three highest class scores, the true class hatched, and any pictures."""
    rows = -(-len(names) // 2)
    width = 1 if pictures is None else 2
    grid = {"width_ratios": [1.0] * 2 if pictures is None else [1.2, 1.1] * 2}
    figure, axes = make_figure(1.05 * rows, rows, 2 * width, gridspec_kw=grid)
    places = axes.reshape(-1, width)
    for index, (name, ranked, truth) in enumerate(zip(names, scores, truths, strict=True)):
        if pictures is not None:
            show_picture(places[index, 0], pictures[index])
        ax = places[index, -1]
        labels, values = zip(*ranked, strict=True)
        heights = np.arange(len(labels))[::-1]
        ax.barh(heights, values, color=COLOURS[5], height=0.7)
        ax.set_yticks(heights, labels)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", visible=False)
        for bar, label in zip(ax.patches, labels, strict=True):
            if label == truth:
                bar.set(facecolor="white", edgecolor=COLOURS[1], hatch="//////")
        ax.axvline(0, color="black", linewidth=0.6)
        ax.set_title(name, fontsize=7)
        ax.tick_params(labelsize=7)
    for ax in places[len(names) :].flat:
        ax.set_axis_off()
    return figure
