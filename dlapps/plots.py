"""Arrays in, a matplotlib Figure out; nothing is saved, nothing shown, no global style touched."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Text width of the report in inches: figures are drawn at the size they are printed, so labels stay legible.
WIDTH = 5.8
# Okabe and Ito's colours for all kinds of colour vision; line styles and markers repeat the distinction in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
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
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
}


def styled(plot: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw under the report's style without leaving it behind."""

    @functools.wraps(plot)
    def wrapper(*args: object, **kwargs: object) -> Figure:
        with mpl.rc_context(STYLE):
            return plot(*args, **kwargs)

    return wrapper


def make_figure(height: float, rows: int = 1, columns: int = 1, **kwargs: object) -> tuple[Figure, np.ndarray]:
    """An empty figure as wide as the text, and its axes as an array (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def show_picture(ax: Axes, picture: np.ndarray, title: str = "") -> None:
    """One picture (H, W) or (H, W, 3) without axes."""
    ax.imshow(picture, cmap="gray" if np.ndim(picture) == 2 else None)
    ax.set_axis_off()
    ax.set_title(title)


def _horizontal_bars(ax: Axes, names: Sequence[str], values: Sequence[float], colours: str | Sequence[str]) -> None:
    places = np.arange(len(names))[::-1]
    ax.barh(places, values, color=colours, height=0.7)
    ax.set_yticks(places, names)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)


def mean_and_spread(values: Sequence[float]) -> str:
    """For a table's cell: 0.912 ± 0.003 over several seeds, or the one value."""
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values):.3f}" if len(values) > 1 else "")


@styled
def plot_predictions(
    pictures: Sequence[np.ndarray], inputs: Sequence[np.ndarray], predictions: Sequence[Sequence[tuple[str, float]]]
) -> Figure:
    """One column a picture: as it is, as the network gets it (normalised, shown from its minimum to its maximum), and
    the probabilities of the classes it gives first.

    pictures: uint8 (H, W, 3) of any size; inputs: float (H, W, 3); predictions: (class name, probability) from high
    to low.
    """
    figure, axes = make_figure(4.4, 3, len(pictures), gridspec_kw={"height_ratios": [3, 3, 2.6]})
    for column, (picture, network_input, ranked) in enumerate(zip(pictures, inputs, predictions, strict=True)):
        show_picture(axes[0, column], picture, f"{picture.shape[1]} × {picture.shape[0]}")
        low, high = network_input.min(), network_input.max()
        title = f"{network_input.shape[1]} × {network_input.shape[0]}, {low:.1f} to {high:.1f}"
        show_picture(axes[1, column], (network_input - low) / (high - low), title)
        ax = axes[2, column]
        places = np.arange(len(ranked))[::-1]
        ax.barh(places, [value for _, value in ranked], color=COLOURS[0], height=0.35)
        for place, (name, value) in zip(places, ranked, strict=True):
            ax.text(0, place + 0.24, f"{name} {value:.0%}", va="bottom", fontsize=6.5)
        ax.set(xlim=(0, 1), ylim=(-0.4, len(ranked) - 0.1), xticks=(), yticks=())
        ax.grid(visible=False)
        ax.spines[["bottom", "left"]].set_visible(False)
    return figure


@styled
def plot_grid(
    pictures: Sequence[np.ndarray], titles: Sequence[str] | None = None, columns: int = 8, height: float = 0
) -> Figure:
    """Pictures (H, W) or (H, W, 3) in rows of `columns`, each with a title or none."""
    rows = -(-len(pictures) // columns)
    cell = WIDTH / columns
    figure, axes = make_figure(height or rows * cell * (1.18 if titles else 1.02), rows, columns)
    for index, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if index < len(pictures):
            show_picture(ax, pictures[index], titles[index] if titles else "")
    return figure


@styled
def plot_curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    errors: Mapping[str, Sequence[float]] | None = None,
    ticks: Sequence[str] | None = None,
    log: bool = False,
    height: float = 2.6,
) -> Figure:
    """One line a name, (x, y), with error bars where given; colour, marker and legend tell them apart."""
    figure, axes = make_figure(height)
    ax = axes[0, 0]
    for index, (name, (x, y)) in enumerate(curves.items()):
        spread = errors.get(name) if errors else None
        style = {
            "color": COLOURS[index % 7],
            "marker": MARKERS[index % 7],
            "linestyle": ("-", "--", ":", "-.")[index % 4],
        }
        ax.errorbar(x, y, spread, label=name, capsize=2, **style)
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if log else "linear")
    first = next(iter(curves.values()))[0]
    if ticks is not None or log:
        ax.set_xticks(first, ticks if ticks is not None else [f"{value:g}" for value in first])
        ax.minorticks_off()
    ax.legend()
    return figure


@styled
def plot_pair(
    x: Sequence[float], left: Mapping[str, Sequence[float]], right: Mapping[str, Sequence[float]], xlabel: str,
    reference: float | None = None,
) -> Figure:  # fmt: skip
    """Two panels over the same logarithmic x, each with one curve named by its y label; a dashed level on the left."""
    figure, axes = make_figure(2.1, 1, 2)
    for ax, curve, colour, marker in zip(axes[0], (left, right), COLOURS, MARKERS, strict=False):
        (name, y), *_ = curve.items()
        ax.plot(x, y, color=colour, marker=marker)
        ax.set(xlabel=xlabel, ylabel=name, xscale="log")
        ax.set_xticks(x, [f"{value:g}" for value in x])
        ax.minorticks_off()
    if reference is not None:
        axes[0, 0].axhline(reference, color=COLOURS[6], linestyle="--", linewidth=0.8)
    return figure


@styled
def plot_confusion(matrix: np.ndarray, class_names: Sequence[str], height: float = 4.1) -> Figure:
    """A confusion matrix (K, K) of counts: rows are the true classes, shares of the row as shade, counts as text."""
    figure, axes = make_figure(height)
    ax = axes[0, 0]
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(matrix), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, matrix[row, column], ha="center", va="center", fontsize=6, color=colour)
    places = np.arange(len(class_names))
    ax.set_xticks(places, class_names, rotation=55, ha="right", rotation_mode="anchor")
    ax.set_yticks(places, class_names)
    ax.set(xlabel="predicted", ylabel="true")
    ax.grid(visible=False)
    return figure


@styled
def plot_misread(
    names: Sequence[str], scores: Sequence[Sequence[tuple[str, float]]], truths: Sequence[str],
    pictures: Sequence[np.ndarray] | None = None, columns: int = 2,
) -> Figure:  # fmt: skip
    """Misread examples: the three highest class scores each, the true class hatched, and the picture where given."""
    rows = -(-len(names) // columns)
    width = 1 if pictures is None else 2
    ratios = [1] * columns if pictures is None else [1.2, 1.1] * columns
    figure, axes = make_figure(1.05 * rows, rows, columns * width, gridspec_kw={"width_ratios": ratios})
    for index, (name, ranked, truth) in enumerate(zip(names, scores, truths, strict=True)):
        row, column = divmod(index, columns)
        if pictures is not None:
            show_picture(axes[row, 2 * column], pictures[index])
        ax = axes[row, width * column + width - 1]
        labels = [label for label, _ in ranked]
        _horizontal_bars(ax, labels, [score for _, score in ranked], COLOURS[5])
        for bar, label in zip(ax.patches, labels, strict=True):
            if label == truth:
                bar.set(facecolor="white", edgecolor=COLOURS[1], hatch="//////")
        ax.axvline(0, color="black", linewidth=0.6)
        ax.set_title(name, fontsize=7)
        ax.tick_params(labelsize=7)
    for ax in axes.flat[len(names) * width :]:
        ax.set_axis_off()
    return figure
