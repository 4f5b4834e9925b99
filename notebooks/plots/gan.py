"""Figures of Chapter 4: networks, mosaics of images, clouds of points, and losses."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from dlapps.plots import (
    COLOURS,
    LINE_STYLES,
    MARKERS,
    WIDTH,
    make_figure,
    plot_panels,
    styled,
)
from plots.diagrams import Block, plot_diagram

# Images by the title of their row or rows: uint8 (C, S, S) or (R, C, S, S).
Rows = Mapping[str, ArrayLike]

BLUE = "#CFE0F5"
PINK = "#F6D3E4"
# From D = 0, fake, to D = 1, real.
LANDSCAPE = LinearSegmentedColormap.from_list(
    "landscape", ["#E79CC2", "white", "#93BDEB"]
)
# D changes little where it is near 1/2, so the colours end before 0 and 1.
DOUBT = (0.3, 0.7)
REACH = 2.0  # of the axes, on which points of the ring are drawn


def plot_networks() -> Figure:
    """Plot the assignment's generator and, below it, its discriminator.

    Blocks have the shapes of the maps, and below them the layers that lead to them.
    """
    up = "conv$^T$, batch norm,\nReLU"
    generator = [
        ("128×4×4", 0.34, up),
        ("64×8×8", 0.46, up),
        ("32×16×16", 0.58, up),
        ("image\n1×32×32", 0.7, "conv$^T$, tanh"),
    ]
    down = "conv, batch norm,\nleaky ReLU"
    discriminator = [
        ("32×16×16", 0.58, down),
        ("64×8×8", 0.46, down),
        ("128×4×4", 0.34, down),
        ("logit", 0.34, "conv"),
    ]
    image = Block(0.45, -0.75, 0.82, 0.7, "image\n1×32×32", colour=PINK)
    upper = _make_chain(Block(0.45, 0.55, 0.6, 0.34, "z: 100"), generator, BLUE)
    return plot_diagram(upper + _make_chain(image, discriminator, PINK))


def _make_chain(
    start: Block, maps: Sequence[tuple[str, float, str]], colour: str
) -> list[Block]:
    """Return blocks from left to right.

    maps: the text and the height of each block, and the layers that lead to it.
    """
    chain = [start]
    for place, (shape, height, layers) in enumerate(maps, 1):
        x = start.x + 1.25 * place
        chain.append(Block(x, start.y, 0.82, height, shape, layers, colour, chain[-1]))
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
def plot_landscapes(
    real: ArrayLike,
    moments: Mapping[str, tuple[ArrayLike, ArrayLike]],
    reach: float = REACH,
) -> Figure:
    """Plot the points of a generator over the real ones and D's landscape.

    real: (M, 2) in [-2, 2].
    moments: {title: (points (N, 2), D (S, S) in [0, 1] from below on the same square)}.
    reach: the axes go from -reach to reach.
    """
    height = 1.75 if len(moments) < 5 else 1.55
    figure, axes = make_figure(height, 1, len(moments))
    extent = (-REACH, REACH, -REACH, REACH)
    for ax, (title, (points, landscape)) in zip(axes[0], moments.items(), strict=True):
        image = ax.imshow(
            np.asarray(landscape),
            cmap=LANDSCAPE,
            vmin=DOUBT[0],
            vmax=DOUBT[1],
            origin="lower",
            extent=extent,
            interpolation="bilinear",
        )
        _draw_points(ax, real, "0.45")
        _draw_points(ax, points, COLOURS[1])
        _make_square(ax, title, reach)
    bar = figure.colorbar(image, ax=list(axes[0]), fraction=0.02, pad=0.01)
    bar.set_ticks([DOUBT[0], 0.5, DOUBT[1]], labels=["≤ .3", ".5", "≥ .7"])
    bar.set_label("D")
    bar.ax.spines["outline"].set_visible(False)
    return figure


@styled
def plot_paths(
    real: ArrayLike, moments: Mapping[str, ArrayLike], paths: ArrayLike
) -> Figure:
    """Plot points on their way from noise to the real ones, and some whole paths.

    real: (M, 2) in [-2, 2].
    moments: {title: points (N, 2)}, a panel each.
    paths: (T, K, 2), drawn in a last panel, with a dot where each begins.
    """
    figure, axes = make_figure(1.75, 1, len(moments) + 1)
    for ax, (title, points) in zip(axes[0], moments.items(), strict=False):
        _draw_points(ax, real, "0.6")
        _draw_points(ax, points, COLOURS[2])
        _make_square(ax, title)
    last = axes[0, -1]
    _draw_points(last, real, "0.6")
    x, y = np.moveaxis(np.asarray(paths), 2, 0)
    last.plot(x, y, color=COLOURS[2], linewidth=0.6)
    last.scatter(x[0], y[0], s=5, linewidths=0, color=COLOURS[1], zorder=3)
    _make_square(last, "paths")
    return figure


def _draw_points(ax: Axes, points: ArrayLike, colour: str) -> None:
    x, y = np.asarray(points).T
    ax.scatter(x, y, s=3, linewidths=0, color=colour)


def _make_square(ax: Axes, title: str, reach: float = REACH) -> None:
    ax.set_title(title)
    ax.set_aspect("equal")
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    ax.set(xticks=[], yticks=[])


@styled
def plot_points(
    real: ArrayLike,
    clouds: Mapping[str, ArrayLike],
    shares: Mapping[str, tuple[float, float]],
) -> Figure:
    """Plot one panel for each cloud of points, over the real points.

    real: (M, 2) in [-2, 2].
    clouds: (N, 2) by name.
    shares: the precision and the recall of each cloud.
    """
    figure, axes = make_figure(2.1, 1, len(clouds))
    for ax, (name, points) in zip(axes[0], clouds.items(), strict=True):
        precision, recall = shares[name]
        _draw_points(ax, real, "0.7")
        _draw_points(ax, points, COLOURS[1])
        _make_square(ax, f"{name}\nprecision {precision:.2f}\nrecall {recall:.2f}")
    return figure


@styled
def plot_balls(real: ArrayLike, samples: ArrayLike, k: int = 3) -> Figure:
    """Plot precision and recall: balls around real points, and around samples.

    A ball reaches to the k-th nearest neighbour in its set. real: (M, 2).
    samples: (N, 2).
    """
    figure, axes = make_figure(1.75, 1, 2, sharex=True, sharey=True)
    pairs = {
        "precision: samples in a ball of the data": (real, samples, "0.45", COLOURS[1]),
        "recall: data in a ball of the samples": (samples, real, COLOURS[1], "0.45"),
    }
    for ax, (title, (centres, tested, ball, colour)) in zip(
        axes[0], pairs.items(), strict=True
    ):
        centres = np.asarray(centres)
        tested = np.asarray(tested)
        between = np.linalg.norm(centres[:, None] - centres, axis=2)
        radii = np.sort(between, axis=1)[:, k]
        for centre, radius in zip(centres, radii, strict=True):
            ax.add_patch(Circle(centre, radius, color=ball, alpha=0.13, linewidth=0))
        apart = np.linalg.norm(tested[:, None] - centres, axis=2)
        inside = (apart <= radii).any(1)
        ax.scatter(*centres.T, s=9, color=ball)
        ax.scatter(*tested[inside].T, s=16, color=colour)
        missed = tested[~inside]
        ax.scatter(*missed.T, s=16, facecolor="white", edgecolor=colour)
        ax.set_title(f"{title}: {inside.sum()} of {len(tested)}")
        ax.set_aspect("equal")
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
    return figure


@styled
def plot_crossing() -> Figure:
    """Plot lines that cross in one point: their velocities there, and the mean."""
    figure, axes = make_figure(1.7, 1, 2)
    origins = np.array([[0.0, 0.2], [0.0, 1.8]])
    ends = np.array([[4.0, 1.8], [4.0, 0.2]])
    crossing = np.array([2.0, 1.0])
    for ax, title in zip(
        axes[0], ("two lines cross", "what v learns: the mean"), strict=True
    ):
        for origin, end in zip(origins, ends, strict=True):
            ax.plot(*np.stack([origin, end]).T, color="0.7", linewidth=1)
        ax.scatter(*origins.T, s=16, color="0.45")
        ax.scatter(*ends.T, s=16, color=COLOURS[2])
        ax.text(-0.15, 1.0, "noise", ha="right", va="center")
        ax.text(4.15, 1.0, "data", ha="left", va="center")
        ax.set_title(title)
        ax.set(xlim=(-0.9, 4.9), ylim=(-0.1, 2.1))
        ax.set_axis_off()
    velocities = (ends - origins) / 4
    for velocity in velocities:
        _draw_arrow(axes[0, 0], crossing, velocity, COLOURS[0])
    _draw_arrow(axes[0, 1], crossing, velocities.mean(0), COLOURS[1])
    return figure


def _draw_arrow(ax: Axes, start: np.ndarray, velocity: np.ndarray, colour: str) -> None:
    style = {"arrowstyle": "->", "color": colour, "linewidth": 1.6}
    x, y = start + 1.2 * velocity
    ax.annotate("", (x, y), (start[0], start[1]), arrowprops=style)


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
    mosaic.set_xlabel("read on grey by the first classifier")
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
def plot_stalls(rows: Rows, gradients: Mapping[str, ArrayLike]) -> Figure:
    """Plot samples, and beside them how long the generator's gradient was.

    rows: images by the title of their row.
    gradients: {the title of a row: lengths (T,) in the course of its training}.
    """
    images = np.concatenate(_as_blocks(rows))
    height = 0.62 * WIDTH * len(images) / images.shape[1] + 0.15
    figure, axes = make_figure(max(height, 1.7), 1, 2, width_ratios=(1.75, 1))
    mosaic, ax = axes[0]
    _draw_mosaic(mosaic, rows)
    for index, (name, lengths) in enumerate(gradients.items()):
        share = np.linspace(0, 1, len(np.asarray(lengths)))
        ax.plot(share, lengths, LINE_STYLES[index], label=name, linewidth=1)
    ax.set_yscale("log")
    ax.set_xlabel("share of the training")
    ax.set_ylabel("G's gradient")
    ax.legend(loc="center", bbox_to_anchor=(0.56, 0.55), handlelength=1.4)
    return figure


@styled
def plot_told(
    rows: Rows,
    ratios: Mapping[str, Mapping[str, ArrayLike]],
    share: float = 0.55,
) -> Figure:
    """Plot samples of networks, and beside each row the scores of all its trainings.

    rows: images by the title of their row.
    ratios: {a measure: {the title of a row: a value for each training}}.
    share: how much of the text's width the samples take, about.
    """
    images = np.concatenate(_as_blocks(rows))
    height = share * WIDTH * len(images) / images.shape[1] + 0.45
    widths = (2.3, *([1.0] * len(ratios)))
    figure, axes = make_figure(height, 1, 1 + len(ratios), width_ratios=widths)
    mosaic = axes[0, 0]
    side = _draw_mosaic(mosaic, rows)
    heights = dict(zip(rows, _middles(len(rows), side), strict=True))
    for index, (measure, trainings) in enumerate(ratios.items()):
        ax = axes[0, 1 + index]
        for name, values in trainings.items():
            y = np.full(len(np.asarray(values)), heights[name])
            style = {"color": COLOURS[index], "markersize": 3.5}
            # Marks that overlap are darker, so that one sees how many there are.
            ax.plot(values, y, MARKERS[index], alpha=0.6, markeredgewidth=0, **style)
        ax.set_xlabel(measure)
        ax.set_ylim(mosaic.get_ylim())
        ax.set_yticks([])
        low, high = ax.get_xlim()
        if high < 2:  # a share
            continue
        ax.set_xscale("log")
        candidates = [2, 3, 4, 5, 6, 8, 10, 15]
        if high > 5 * low:
            candidates = [5, 10, 30, 100, 300, 1000]
        elif high > 50:
            candidates = [50, 75, 100, 150, 200, 300]
        ticks = [tick for tick in candidates if low <= tick <= high]
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
    # The samples keep their shape, so they may be lower than the axes beside them.
    figure.draw_without_rendering()
    samples = mosaic.get_position()
    figure.set_layout_engine("none")
    for ax in axes[0, 1:]:
        place = ax.get_position()
        ax.set_position((place.x0, samples.y0, place.width, samples.height))
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
