"""Plots: arrays in, a matplotlib Figure out.

A plot function saves nothing, shows nothing and leaves matplotlib's style as it was.
`make_figure` and `styled` are for plot functions of your own in the same style.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps.core.images import from_pixels

# Text width of the report in inches: figures are drawn at the size they are printed, so
# labels stay legible.
WIDTH = 5.8
# Okabe and Ito's colours for all kinds of colour vision; line styles and markers repeat
# the distinction in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINE_STYLES = ("-", "--", ":", "-.")
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
}
# Decorates a plot function, which draws in this style and leaves the user's as it was.
styled = mpl.rc_context(STYLE)


def make_figure(
    height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Return an empty figure as wide as the text, and its axes (rows, columns).

    height is in inches; options are those of `Figure.subplots`.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes


def show_picture(ax: Axes, picture: np.ndarray | Tensor, title: str = "") -> None:
    """Draw one picture without axes.

    picture: an array (H, W) or (H, W, 3), or pixels (C, H, W) in [0, 1].
    """
    if isinstance(picture, Tensor):
        picture = from_pixels(picture)
    levels = np.asarray(picture)
    highest = 255 if levels.dtype == np.uint8 else None  # others are stretched
    ax.imshow(levels, cmap="gray", vmin=0 if highest else None, vmax=highest)
    ax.set_axis_off()
    ax.set_title(title)


@styled
def plot_grid(
    pictures: Sequence[np.ndarray | Tensor] | Tensor,
    titles: Sequence[str] | None = None,
    columns: int = 8,
) -> Figure:
    """Plot pictures in rows of `columns`, with a title each if titles are given.

    pictures: arrays (H, W) or (H, W, 3), or pixels (C, H, W) in [0, 1].
    """
    rows = -(-len(pictures) // columns)
    height = 1.18 if titles else 1.02
    figure, axes = make_figure(rows * (WIDTH / columns) * height, rows, columns)
    for ax in axes.flat:
        ax.set_axis_off()
    for index, picture in enumerate(pictures):
        title = titles[index] if titles else ""
        show_picture(axes.flat[index], picture, title)
    return figure


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
    figure.set_layout_engine("compressed")  # few columns stand in the middle
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


@styled
def plot_curves(
    curves: Mapping[str, tuple[Sequence[float], ArrayLike]],
    xlabel: str,
    ylabel: str,
    height: float = 2.6,
) -> Figure:
    """Plot one line for each name, which differ in colour, marker and line style.

    curves: {name: (x, y)}, x (T,) and y (T,), or (S, T) of S seeds, which are drawn
    as thin lines beside their mean.
    """
    figure, axes = make_figure(height)
    ax = axes[0, 0]
    for index, (name, (x, y)) in enumerate(curves.items()):
        seeds = np.atleast_2d(y)
        colour = COLOURS[index % len(COLOURS)]
        marker = MARKERS[index % len(MARKERS)] if len(x) <= 30 else ""
        ax.plot(
            x,
            seeds.mean(0),
            label=name,
            color=colour,
            marker=marker,
            linestyle=LINE_STYLES[index % len(LINE_STYLES)],
        )
        if len(seeds) > 1:
            ax.plot(x, seeds.T, color=colour, linewidth=0.5, zorder=1)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if all(float(value).is_integer() for value in x):  # epochs, and no shares
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Beside the curves, never on one.
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
