"""The look of every figure: width, colours, an empty figure, one picture."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from torch import Tensor

from dlapps.core.images import from_pixels

Arguments = ParamSpec("Arguments")

# Text width of the report in inches: figures are drawn at the size they are printed, so labels stay legible.
WIDTH = 5.8
# Okabe and Ito's colours for all kinds of colour vision; line styles and markers repeat the distinction in grey.
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


def make_figure(height: float, rows: int = 1, columns: int = 1, **kwargs: Any) -> tuple[Figure, np.ndarray]:
    """An empty figure as wide as the text, and its axes as an array (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def look(index: int) -> dict[str, Any]:
    """The colour and the marker of the line of that index, from 0."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def show_picture(ax: Axes, picture: np.ndarray | Tensor, title: str = "") -> None:
    """One picture, an array (H, W) or (H, W, 3), or pixels (C, H, W) in [0, 1], without axes."""
    if isinstance(picture, Tensor):
        picture = from_pixels(picture)
    ax.imshow(picture, cmap="gray" if np.ndim(picture) == 2 else None)
    ax.set_axis_off()
    ax.set_title(title)
