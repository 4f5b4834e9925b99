"""How every figure looks, and what several chapters draw: grids and curves.

Every notebook loads this; PyTorch, which takes seconds, where a figure needs it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from torch import Tensor

Arguments = ParamSpec("Arguments")
Estimate = tuple[
    float, float, float
]  # a mean, and the lower and the upper end of its interval

# Text width of the report in inches: figures are drawn at the size they are printed, so
# labels stay legible.
WIDTH = 5.8
# Okabe and Ito's colours for all kinds of colour vision; line styles and markers repeat
# the distinction in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
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


def styled(plot: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Draw under the report's style without leaving it behind."""

    @functools.wraps(plot)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return plot(*args, **kwargs)

    return wrapper


def make_figure(
    height: float, rows: int = 1, columns: int = 1, **kwargs: Any
) -> tuple[Figure, np.ndarray]:
    """An empty figure as wide as the text, and its axes as an array (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def line_style(index: int) -> dict[str, Any]:
    """The colour and the marker of the line of that index, from 0."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def show_picture(ax: Axes, picture: np.ndarray | Tensor, title: str = "") -> None:
    """One picture, an array (H, W) or (H, W, 3), or pixels (C, H, W) in [0, 1], without
    axes.
    """
    if hasattr(picture, "detach"):  # a tensor
        from dlapps.core.images import from_pixels

        picture = from_pixels(picture)  # type: ignore[arg-type]
    ax.imshow(picture, cmap="gray" if np.ndim(picture) == 2 else None)
    ax.set_axis_off()
    ax.set_title(title)


@styled
def plot_grid(
    pictures: Sequence[np.ndarray | Tensor] | Tensor,
    titles: Sequence[str] | None = None,
    columns: int = 8,
) -> Figure:
    """Pictures in rows of `columns`, each with a title or none: arrays (H, W) or (H, W,
    3), or pixels (C, H, W).
    """
    rows = -(-len(pictures) // columns)
    cell = WIDTH / columns
    figure, axes = make_figure(rows * cell * (1.18 if titles else 1.02), rows, columns)
    for index, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if index < len(pictures):
            show_picture(ax, pictures[index], titles[index] if titles else "")
    return figure


@styled
def plot_curves(
    curves: Mapping[str, tuple[Sequence[float], ArrayLike]],
    xlabel: str,
    ylabel: str,
    log: bool = False,
    height: float = 2.6,
) -> Figure:
    """One line a name, (x, y); colour, marker and legend tell them apart.

    x: (T,). y: (T,), or (S, T) of S seeds: their mean, with the sample deviation as
    error bars.
    """
    figure, axes = make_figure(height)
    ax = axes[0, 0]
    for index, (name, (x, y)) in enumerate(curves.items()):
        seeds = np.atleast_2d(y)
        spread = seeds.std(0, ddof=1) if len(seeds) > 1 else None
        style = line_style(index) | {"linestyle": ("-", "--", ":", "-.")[index % 4]}
        if len(x) > 30:  # a line by itself
            style["marker"] = ""
        ax.errorbar(x, seeds.mean(0), spread, label=name, capsize=2, **style)
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if log else "linear")
    if all(float(value).is_integer() for x, _ in curves.values() for value in x):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if log:
        first = next(iter(curves.values()))[0]
        ax.set_xticks(first, [f"{value:g}" for value in first])
        ax.minorticks_off()
    ax.legend(
        loc="upper left", bbox_to_anchor=(1, 1)
    )  # beside the curves, never on one
    return figure


@styled
def plot_panels(
    x: ArrayLike, panels: Mapping[str, Mapping[str, ArrayLike]], xlabel: str
) -> Figure:
    """Panels side by side, {y label: {name: series}}, each over as much of x as it is
    long; names that do not change from panel to panel are told once.
    """
    figure, axes = make_figure(2.0, 1, len(panels))
    told: list[str] = []
    for ax, (ylabel, series) in zip(axes[0], panels.items(), strict=True):
        for index, (name, values) in enumerate(series.items()):
            line, y = ("-", "--", ":", "-.")[index], np.asarray(values)
            ax.plot(
                np.asarray(x)[: len(y)],
                y,
                line,
                label=name,
                color=COLOURS[index],
                linewidth=1,
            )
        ax.set(xlabel=xlabel, ylabel=ylabel)
        if [*series] != told:
            told = [*series]
            ax.legend(handlelength=1.7)
    return figure
