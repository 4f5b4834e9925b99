"""What Chapter 4 draws: mosaics, how a training went, how samples compare with real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dlapps.plots.style import COLOURS, WIDTH, look, make_figure, styled


@styled
def plot_mosaic(
    images: ArrayLike, row_titles: Sequence[str] = (), column_titles: Sequence[str] = (), share: float = 1.0
) -> Figure:
    """Images edge to edge, a hair apart, with titles beside rows and above columns where given.

    images: (R, C, S, S), or (R, C, S, S, 3) in colour, uint8 or in [0, 1]. share: how much of the text's width the
    mosaic takes. Raises ValueError for another shape.
    """
    levels = np.asarray(images)
    if levels.shape[4:] not in ((), (3,)) or levels.ndim < 4:
        raise ValueError(
            f"expected images (R, C, S, S) or (R, C, S, S, 3), got {levels.shape}; gan.to_uint8 makes them of samples."
        )
    rows, columns, height, width = levels.shape[:4]
    white = np.iinfo(np.uint8).max if levels.dtype == np.uint8 else 1
    border = [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)][: levels.ndim]
    padded = np.pad(levels, border, constant_values=white)
    height, width = height + 2, width + 2
    mosaic = padded.swapaxes(1, 2).reshape(rows * height, columns * width, *levels.shape[4:])
    mosaic_height = share * WIDTH * mosaic.shape[0] / mosaic.shape[1]
    figure, axes = make_figure(mosaic_height + 0.2 * bool(column_titles))
    ax = axes[0, 0]
    ax.imshow(mosaic, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.set_xticks((np.arange(len(column_titles)) + 0.5) * width - 0.5, column_titles)
    ax.set_yticks((np.arange(len(row_titles)) + 0.5) * height - 0.5, row_titles)
    return figure


@styled
def plot_training(
    batches: Sequence[float], panels: Mapping[str, Mapping[str, Sequence[float]]], log: Sequence[str] = ()
) -> Figure:
    """Panels side by side over the same batches, {y label: {name: series}}; those in `log` on a logarithmic y axis."""
    figure, axes = make_figure(2.1, 1, len(panels))
    for ax, (ylabel, series) in zip(axes[0], panels.items(), strict=True):
        for index, (name, values) in enumerate(series.items()):
            ax.plot(batches, values, label=name, **_thin_line(index))
        ax.set(xlabel="batches", ylabel=ylabel, yscale="log" if ylabel in log else "linear")
        ax.legend()
    return figure


@styled
def plot_small_multiples(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]], xlabel: str, columns: int = 4
) -> Figure:
    """One small panel a name, all with the same y axis from 0 to 1, its lines (x, y) named in one legend above."""
    rows = -(-len(panels) // columns)
    figure, axes = make_figure(1.05 * rows + 0.5, rows, columns, sharey=True)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, lines) in zip(axes.flat, panels.items(), strict=False):
        for index, (label, (x, y)) in enumerate(lines.items()):
            ax.plot(x, y, label=label, **_thin_line(index))
        ax.set_title(title, fontsize=7)
        ax.set(ylim=(-0.03, 1.03))
        ax.tick_params(labelsize=6)
    figure.supxlabel(xlabel, fontsize=8)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _thin_line(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index], "linestyle": ("-", "--", ":")[index], "linewidth": 1}


@styled
def plot_precision_recall(points: Mapping[str, Sequence[tuple[float, float]]], height: float = 3.0) -> Figure:
    """A point (precision, recall) a seed; colour, marker and whether it is filled tell the names apart."""
    figure, axes = make_figure(height)
    ax = axes[0, 0]
    for index, (name, seeds) in enumerate(points.items()):
        precision, recall = zip(*seeds, strict=True)
        colour, marker = look(index).values()
        filled = colour if index < len(COLOURS) else "none"
        ax.scatter(recall, precision, s=24, marker=marker, facecolor=filled, edgecolor=colour, label=name)
    ax.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@styled
def plot_class_histogram(shares: Mapping[str, Sequence[float]]) -> Figure:
    """Shares (K,) of the classes, one bar a class and name, side by side; a dashed line where all are equal."""
    figure, axes = make_figure(2.0)
    ax = axes[0, 0]
    num_classes, bar = len(next(iter(shares.values()))), 0.8 / len(shares)
    for index, (name, values) in enumerate(shares.items()):
        places = np.arange(num_classes) + (index - (len(shares) - 1) / 2) * bar
        colour, hatch = COLOURS[index % 7], ("", "////", "....")[index % 3]
        fill = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.4}
        ax.bar(places, values, bar, label=name, **fill)
    ax.axhline(1 / num_classes, color=COLOURS[6], linestyle="--", linewidth=0.8)
    ax.set_xticks(range(num_classes))
    ax.set(xlabel="class", ylabel="share of images")
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=len(shares))
    return figure
