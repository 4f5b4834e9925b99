"""What Chapter 4 draws: two networks, mosaics, how a training went, what a ground does
to a measure, changes.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dlapps.plots.diagrams import Block, plot_diagram
from dlapps.plots.general import (
    COLOURS,
    WIDTH,
    Estimate,
    line_style,
    make_figure,
    plot_panels,
    styled,
)

Rows = Mapping[str, ArrayLike]


def plot_networks() -> Figure:
    """The assignment's generator, above, and discriminator: their maps as (channels,
    side), and what is between.
    """
    up, down = "#CFE0F5", "#F6D3E4"
    heights = {"4": 0.34, "8": 0.46, "16": 0.58, "32": 0.7}
    maps = {"G": ["128 × 4 × 4", "64 × 8 × 8", "32 × 16 × 16", "1 × 32 × 32"]}
    maps["D"] = maps["G"][::-1]
    blocks, arrows = {}, []
    for name, y, colour in (("G", 0.55, up), ("D", -0.75, down)):
        ends = ("z\n100", "image") if name == "G" else ("image", "logit\n1")
        chain = [
            f"{name} in",
            *(f"{name} {place}" for place in range(4)),
            f"{name} out",
        ]
        texts = [ends[0], *maps[name], ends[1]]
        for place, (key, text) in enumerate(zip(chain, texts, strict=True)):
            height = heights[text.split(" ")[-1]] if "×" in text else 0.4
            width = 0.5 if place in (0, 5) else 0.82
            below = _LAYERS[name][place - 1] if 0 < place < 5 else ""
            fill = colour if 0 < place < 5 else "#F3F6F8"
            blocks[key] = Block(
                0.3 + 1.02 * place,
                y,
                width,
                height,
                text.replace(" × ", "×"),
                below,
                fill,
            )
        arrows += list(itertools.pairwise(chain))
    return plot_diagram(blocks, arrows)


@styled
def plot_mosaic(rows: Rows, columns: Sequence[str] = (), share: float = 1.0) -> Figure:
    """Images edge to edge, a hair apart, with titles beside rows and above columns
    where given.

    rows: {title: images (C, S, S), or of several rows (R, C, S, S)}, uint8, as many in
    each. share: how much of the text's width the mosaic takes. Raises ValueError for
    another shape.
    """
    stacked = _stack(rows)
    height, width = len(stacked), stacked.shape[1]
    figure, axes = make_figure(share * WIDTH * height / width + 0.2 * bool(columns))
    _draw_mosaic(axes[0, 0], rows, columns)
    return figure


@styled
def plot_points(
    real: ArrayLike, clouds: Mapping[str, ArrayLike], shares: Mapping[str, tuple]
) -> Figure:
    """A panel for each of clouds of points (N, 2) in [-1.7, 1.7], over the real points
    (M, 2); shares: of each, its precision and recall.
    """
    figure, axes = make_figure(2.05, 1, len(clouds))
    for ax, (name, points) in zip(axes[0], clouds.items(), strict=True):
        for each, colour in ((real, "0.7"), (points, COLOURS[1])):
            ax.scatter(*np.asarray(each).T, s=3, linewidths=0, color=colour)
        ax.set(
            title="{}\nprecision {:.2f}, recall {:.2f}".format(name, *shares[name]),
            aspect="equal",
        )
        ax.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), xticks=(), yticks=())
    return figure


def plot_losses() -> Figure:
    """The generator's two losses and their slopes, over the logit that the
    discriminator gives to a fake.
    """
    s = np.linspace(-6, 4, 200)
    losses = {
        "non-saturating: −log D": np.logaddexp(0, -s),
        "saturating: log(1 − D)": -np.logaddexp(0, s),
    }
    slopes = {
        "non-saturating": -1 / (1 + np.exp(s)),
        "saturating": -1 / (1 + np.exp(-s)),
    }
    return plot_panels(
        s, {"loss of G": losses, "its slope": slopes}, "logit of D(G(z))"
    )


@styled
def plot_grey(
    rows: Rows,
    readings: Sequence[int],
    grounds: Sequence[int],
    ratios: Mapping[str, Sequence[float]],
) -> Figure:
    """Left digits on two grounds, below them what was read in the last; right {what a
    judge saw: ratio by ground}.
    """
    figure, axes = make_figure(1.6, 1, 2, width_ratios=(2.2, 1))
    mosaic, ax = axes[0]
    side = _draw_mosaic(mosaic, rows)
    mosaic.xaxis.tick_bottom()
    mosaic.set_xticks((np.arange(len(readings)) + 0.5) * side - 0.5, readings)
    mosaic.set_xlabel("read by a judge that never saw grey")
    for index, (name, values) in enumerate(ratios.items()):
        ax.plot(grounds, values, **line_style(index))
        place = {"xytext": (0, 5), "textcoords": "offset points", "ha": "right"}
        ax.annotate(
            name, (grounds[-1], values[-1]), color=line_style(index)["color"], **place
        )
    ax.set(
        yscale="log",
        xlabel="background (of 255)",
        ylabel="Fréchet ratio",
        title="by a judge trained on",
    )
    ax.margins(y=0.2)
    return figure


@styled
def plot_factors(
    rows: Rows, factors: Mapping[str, Estimate], recalls: Sequence[float]
) -> Figure:
    """A row a setting: samples, the factor of those that have one, with its interval,
    on a scale of logarithms, and the recall of each.
    """
    stacked = _stack(rows)
    figure, axes = make_figure(
        0.6 * WIDTH * len(stacked) / stacked.shape[1], 1, 2, width_ratios=(2, 1)
    )
    mosaic, ax = axes[0]
    side = _draw_mosaic(mosaic, rows)
    for place, (name, recall) in enumerate(zip(rows, recalls, strict=True)):
        y = (place + 0.5) * side - 0.5
        ax.annotate(
            f"{recall:.2f}",
            (1.03, y),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7,
        )
        if name in factors:
            mean, low, high = factors[name]
            ax.errorbar(
                mean, y, xerr=[[mean - low], [high - mean]], capsize=2, **line_style(0)
            )
    ax.axvline(1, color=COLOURS[6], linestyle="--", linewidth=0.8)
    ax.set(
        xscale="log",
        xlim=(0.3, 40),
        xlabel="Fréchet ratio: factor",
        ylim=mosaic.get_ylim(),
        yticks=[],
    )
    ax.set_xticks([0.5, 1, 2, 5, 20], ["½", "1", "2", "5", "20"])
    ax.set_title("recall", loc="right", fontsize=7)
    ax.minorticks_off()
    return figure


# What leads to each of the maps: the first of G and the last of D are a product.
_LAYERS = {
    "G": ["conv$^T$, batch norm,\nReLU"] * 3 + ["conv$^T$, tanh"],
    "D": ["", *["conv, batch norm,\nleaky ReLU"] * 3],
}


def _stack(rows: Rows) -> np.ndarray:
    """Rows of images (R, C, S, S), of mosaics' rows."""
    parts = [np.asarray(images) for images in rows.values()]
    if any(part.ndim not in (3, 4) or part.dtype != np.uint8 for part in parts):
        found = [f"{part.dtype} {part.shape}" for part in parts]
        raise ValueError(
            f"expected grey images uint8 (C, S, S) or (R, C, S, S) in each row, got {', '.join(found)}; gan.to_uint8 "
            "makes them of samples."
        )
    return np.concatenate([part if part.ndim == 4 else part[None] for part in parts])


def _draw_mosaic(ax: Axes, rows: Rows, columns: Sequence[str] = ()) -> int:
    """Draw it, and return the side of an image with its border, in pixels."""
    padded = np.pad(_stack(rows), [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=255)
    number, across, side, _ = padded.shape
    ax.imshow(
        padded.swapaxes(1, 2).reshape(number * side, across * side),
        cmap="gray",
        vmin=0,
        vmax=255,
    )
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.set_xticks((np.arange(len(columns)) + 0.5) * side - 0.5, columns)
    sizes = [
        len(np.asarray(images)) if np.ndim(images) == 4 else 1
        for images in rows.values()
    ]
    middles = np.cumsum(sizes) - np.array(sizes) / 2
    ax.set_yticks(middles * side - 0.5, [*rows])
    return side
