"""Figures of Chapter 4: networks, mosaics of images, clouds of points, and losses."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dlapps.plots import (
    COLOURS,
    MARKERS,
    WIDTH,
    make_figure,
    plot_panels,
    styled,
)
from plots import Estimate
from plots.diagrams import Block, plot_diagram

# Images by the title of their row or rows: uint8 (C, S, S) or (R, C, S, S).
Rows = Mapping[str, ArrayLike]

BLUE = "#CFE0F5"
PINK = "#F6D3E4"


def plot_networks() -> Figure:
    """Plot the assignment's generator and, below it, its discriminator.

    Blocks have the shapes of the maps, and below them the layers that lead to them.
    """
    up = "conv$^T$, batch norm,\nReLU"
    generator = [
        ("128×4×4", 0.34, up),
        ("64×8×8", 0.46, up),
        ("32×16×16", 0.58, up),
        ("1×32×32", 0.7, "conv$^T$, tanh"),
    ]
    down = "conv, batch norm,\nleaky ReLU"
    discriminator = [
        ("1×32×32", 0.7, ""),
        ("32×16×16", 0.58, down),
        ("64×8×8", 0.46, down),
        ("128×4×4", 0.34, down),
    ]
    upper = _make_chain(0.55, "z\n100", generator, "image", BLUE)
    lower = _make_chain(-0.75, "image", discriminator, "logit\n1", PINK)
    return plot_diagram(upper + lower)


def _make_chain(
    y: float,
    start: str,
    maps: Sequence[tuple[str, float, str]],
    end: str,
    colour: str,
) -> list[Block]:
    """Return blocks from left to right.

    maps: the text, the height and the layers of each block.
    """
    last = Block(0.3, y, 0.5, 0.4, start)
    chain = [last]
    for place, (shape, height, layers) in enumerate(maps, 1):
        x = 0.3 + 1.02 * place
        last = Block(x, y, 0.82, height, shape, layers, colour, last)
        chain.append(last)
    chain.append(Block(5.4, y, 0.5, 0.4, end, after=last))
    return chain


@styled
def plot_mosaic(rows: Rows, columns: Sequence[str] = (), share: float = 1.0) -> Figure:
    """Plot images edge to edge, with titles beside rows and above columns.

    rows: {title: images (C, S, S), or of several rows (R, C, S, S)}, uint8, as many in
    each row.
    columns: their titles, if any.
    share: how much of the text's width the mosaic takes.

    Raises ValueError for images of another shape or type.
    """
    images = np.concatenate(_as_blocks(rows))
    height = share * WIDTH * len(images) / images.shape[1]
    if columns:
        height += 0.2
    figure, axes = make_figure(height)
    _draw_mosaic(axes[0, 0], rows, columns)
    return figure


@styled
def plot_points(
    real: ArrayLike,
    clouds: Mapping[str, ArrayLike],
    shares: Mapping[str, tuple[float, float]],
) -> Figure:
    """Plot one panel for each cloud of points, over the real points.

    real: (M, 2) in [-1.7, 1.7].
    clouds: (N, 2) by name.
    shares: the precision and the recall of each cloud.
    """
    real_x, real_y = np.asarray(real).T
    figure, axes = make_figure(2.05, 1, len(clouds))
    for ax, (name, points) in zip(axes[0], clouds.items(), strict=True):
        x, y = np.asarray(points).T
        precision, recall = shares[name]
        ax.scatter(real_x, real_y, s=3, linewidths=0, color="0.7")
        ax.scatter(x, y, s=3, linewidths=0, color=COLOURS[1])
        ax.set_title(f"{name}\nprecision {precision:.2f}, recall {recall:.2f}")
        ax.set_aspect("equal")
        ax.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7))
        ax.set(xticks=[], yticks=[])
    return figure


def plot_losses() -> Figure:
    """Plot the generator's two losses, and their slopes.

    The x axis is the logit that the discriminator gives to a fake image.
    """
    logit = np.linspace(-6, 4, 200)
    losses = {
        "non-saturating: −log D": np.logaddexp(0, -logit),
        "saturating: log(1 − D)": -np.logaddexp(0, logit),
    }
    slopes = {
        "non-saturating": -1 / (1 + np.exp(logit)),
        "saturating": -1 / (1 + np.exp(-logit)),
    }
    panels = {"loss of G": losses, "its slope": slopes}
    return plot_panels(logit, panels, "logit of D(G(z))")


@styled
def plot_grey(
    rows: Rows,
    readings: Sequence[int],
    grounds: Sequence[int],
    ratios: Mapping[str, Sequence[float]],
) -> Figure:
    """Plot digits on backgrounds, and the Fréchet ratio over the background.

    readings: the digit of each column that a judge read in the last row.
    grounds: levels from 0 to 255.
    ratios: {what a judge was trained on: the ratio on each ground}.
    """
    figure, axes = make_figure(1.6, 1, 2, width_ratios=(2.2, 1))
    mosaic, ax = axes[0]
    side = _draw_mosaic(mosaic, rows)
    mosaic.xaxis.tick_bottom()
    mosaic.set_xticks(_middles(len(readings), side), readings)
    mosaic.set_xlabel("read by a judge that never saw grey")
    for index, (name, values) in enumerate(ratios.items()):
        colour = COLOURS[index]
        ax.plot(grounds, values, color=colour, marker=MARKERS[index])
        ax.annotate(
            name,
            (grounds[-1], values[-1]),
            color=colour,
            xytext=(0, 5),
            textcoords="offset points",
            ha="right",
        )
    ax.set_title("by a judge trained on")
    ax.set_xlabel("background (of 255)")
    ax.set_ylabel("Fréchet ratio")
    ax.set_yscale("log")
    ax.margins(y=0.2)
    return figure


@styled
def plot_factors(
    rows: Rows, factors: Mapping[str, Estimate], recalls: Sequence[float]
) -> Figure:
    """Plot one row for each setting: samples, a factor and the recall.

    factors: of the Fréchet ratios, with their intervals, of the settings that have one;
    their axis is logarithmic.
    recalls: one for each row.
    """
    images = np.concatenate(_as_blocks(rows))
    height = 0.6 * WIDTH * len(images) / images.shape[1]
    figure, axes = make_figure(height, 1, 2, width_ratios=(2, 1))
    mosaic, ax = axes[0]
    side = _draw_mosaic(mosaic, rows)
    heights = _middles(len(rows), side)
    for name, y, recall in zip(rows, heights, recalls, strict=True):
        ax.annotate(
            f"{recall:.2f}",
            (1.03, y),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7,
        )
        if name in factors:
            mean, low, high = factors[name]
            reach = [[mean - low], [high - mean]]
            ax.errorbar(mean, y, xerr=reach, fmt="o", capsize=2, color=COLOURS[0])
    ax.axvline(1, color="black", linestyle="--", linewidth=0.8)
    ax.set_title("recall", loc="right", fontsize=7)
    ax.set_xlabel("Fréchet ratio: factor")
    ax.set_xscale("log")
    ax.set_xlim(0.3, 40)
    ax.set_xticks([0.5, 1, 2, 5, 20], ["½", "1", "2", "5", "20"])
    ax.minorticks_off()
    ax.set_ylim(mosaic.get_ylim())
    ax.set_yticks([])
    return figure


def _as_blocks(rows: Rows) -> list[np.ndarray]:
    """Return the images of each title, uint8 (R, C, S, S)."""
    blocks = []
    for images in rows.values():
        block = np.asarray(images)
        if block.ndim not in (3, 4) or block.dtype != np.uint8:
            raise ValueError(
                "expected grey images uint8 (C, S, S) or (R, C, S, S) in each row, "
                f"got {block.dtype} {block.shape}; gan.to_uint8 makes them of samples."
            )
        blocks.append(block if block.ndim == 4 else block[None])
    return blocks


def _draw_mosaic(ax: Axes, rows: Rows, columns: Sequence[str] = ()) -> int:
    """Draw images with a white border each.

    Returns the side of an image with its border, in pixels.
    """
    blocks = _as_blocks(rows)
    border = [(0, 0), (0, 0), (1, 1), (1, 1)]
    images = np.pad(np.concatenate(blocks), border, constant_values=255)
    num_rows, num_columns, side, _ = images.shape
    mosaic = images.swapaxes(1, 2).reshape(num_rows * side, num_columns * side)
    ax.imshow(mosaic, cmap="gray", vmin=0, vmax=255)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.set_xticks(_middles(len(columns), side), columns)
    sizes = np.array([len(block) for block in blocks])
    middles = np.cumsum(sizes) - sizes / 2
    ax.set_yticks(middles * side - 0.5, list(rows))
    return side


def _middles(number: int, side: int) -> np.ndarray:
    """Return the middles of the images in a row or a column, in pixels."""
    return (np.arange(number) + 0.5) * side - 0.5
