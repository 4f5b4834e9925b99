"""Figures of Chapter 4: mosaics of images, clouds of points, courses of trainings."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from dlapps.plots import COLOURS, LINE_STYLES, MARKERS, WIDTH, make_figure, styled
from plots.points import draw_points, name_rows

# Images by the title of their row or rows: uint8 (C, S, S) or (R, C, S, S).
Rows = Mapping[str, ArrayLike]
# Points (N, 2) to logits (N, 1) of being real.
Discriminator = Callable[[torch.Tensor], torch.Tensor]

# From D = 0, fake, to D = 1, real.
LANDSCAPE = LinearSegmentedColormap.from_list(
    "landscape", ["#E79CC2", "white", "#93BDEB"]
)
# D changes little where it is near 1/2, so the colours end before 0 and 1.
DOUBT = (0.3, 0.7)
REACH = 2.0  # of the axes, on which points of the ring are drawn
# Points that show what precision and recall are: the last four of the data are alone.
SOME_DATA = [(0, 0), (0.5, 0.8), (0.9, 0.1), (0.3, -0.6), (-0.5, 0.4), (1.2, 0.9)]
SOME_DATA += [(0.1, 0.9), (-0.4, -0.5), (2.6, 0.6), (2.9, 0.1), (3.1, 0.8), (2.7, -0.3)]
SOME_SAMPLES = [(0.1, 0.3), (0.6, 0.2), (0.4, -0.1), (-0.1, 0.6), (0.8, 0.6)]
SOME_SAMPLES += [(-1.2, 1.3)]


@styled
def plot_mosaic(rows: Rows, columns: Sequence[str] = (), share: float = 1.0) -> Figure:
    """Plot images edge to edge, with titles beside rows and above columns.

    rows: {title: images (C, S, S), or of several rows (R, C, S, S)}, uint8, as many in
    each row.
    columns: their titles, if any.
    share: how much of the text's width the mosaic takes.
    """
    figure, axes = make_figure(1)
    ratio = _draw_mosaic(axes[0, 0], rows, columns)
    figure.set_figheight(share * WIDTH * ratio + 0.1)
    return figure


@styled
def plot_landscapes(
    real: ArrayLike,
    games: Mapping[str, Mapping[int, tuple[ArrayLike, Discriminator]]],
    reaches: Sequence[float],
) -> Figure:
    """Plot the points of generators over the real ones and D's landscape.

    real: (M, 2) in [-2, 2].
    games: {title: {round: (points (N, 2), logits of D as a function of points)}}, a
        row each.
    reaches: the axes of a row go from -reach to reach; D is drawn from -2 to 2.
    """
    num_columns = max(len(game) for game in games.values())
    figure, axes = make_figure(1.45 * len(games), len(games), num_columns)
    extent = (-REACH, REACH, -REACH, REACH)
    axis = torch.linspace(-REACH, REACH, 60)
    plane = torch.cartesian_prod(axis, axis).flip(1)  # row by row from below
    for row, (title, game), reach in zip(axes, games.items(), reaches, strict=True):
        row[0].set_ylabel(title)
        for ax, (number, (points, discriminator)) in zip(
            row, game.items(), strict=True
        ):
            landscape = discriminator(plane).sigmoid().view(60, 60)
            image = ax.imshow(
                landscape.detach().numpy(),
                cmap=LANDSCAPE,
                vmin=DOUBT[0],
                vmax=DOUBT[1],
                origin="lower",
                extent=extent,
                interpolation="bilinear",
            )
            _draw_points(ax, real, "0.45")
            _draw_points(ax, points, COLOURS[1])
            _make_square(ax, f"{number} rounds", reach)
    bar = figure.colorbar(image, ax=axes, fraction=0.02, pad=0.01, extend="both")
    bar.set_label("D")
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
def plot_balls(k: int = 3) -> Figure:
    """Plot precision and recall on a few points: balls around the data and samples.

    A ball reaches to the k-th nearest neighbour in its set.
    """
    data = np.array(SOME_DATA)
    samples = np.array(SOME_SAMPLES)
    figure, axes = make_figure(1.75, 1, 2, sharex=True, sharey=True)
    left, right = axes[0]
    precision = _draw_balls(left, k, data, samples, "0.45", COLOURS[1])
    recall = _draw_balls(right, k, samples, data, COLOURS[1], "0.45")
    left.set_title(f"precision: samples in a ball of the data: {precision}")
    right.set_title(f"recall: data in a ball of the samples: {recall}")
    return figure


def _draw_balls(
    ax: Axes,
    k: int,
    centres: np.ndarray,
    tested: np.ndarray,
    ball: str,
    colour: str,
) -> str:
    """Draw balls around centres and the tested points; return how many are inside."""
    between = np.linalg.norm(centres[:, None] - centres, axis=2)
    radii = np.sort(between, axis=1)[:, k]
    for centre, radius in zip(centres, radii, strict=True):
        ax.add_patch(Circle(centre, radius, color=ball, alpha=0.13, linewidth=0))
    apart = np.linalg.norm(tested[:, None] - centres, axis=2)
    inside = (apart <= radii).any(1)
    ax.scatter(centres[:, 0], centres[:, 1], s=9, color=ball)
    x, y = tested.T
    ax.plot(x[inside], y[inside], "o", color=colour)
    ax.plot(x[~inside], y[~inside], "o", color=colour, markerfacecolor="white")
    ax.set_aspect("equal")
    ax.set_axis_off()
    return f"{inside.sum()} of {len(tested)}"


@styled
def plot_course(
    frames: ArrayLike,
    moments: Sequence[int],
    batches: ArrayLike,
    losses: Mapping[str, ArrayLike],
) -> Figure:
    """Plot samples in the course of a training, and its losses below.

    frames: uint8 (F, R, S, S), a column of R samples for each of the moments (F,).
    batches: (T,), where the losses (T,) were taken.
    """
    columns = np.asarray(frames).swapaxes(0, 1)
    ratio = 0.9 * WIDTH * columns.shape[0] / columns.shape[1]
    figure, axes = make_figure(ratio + 1.9, 2, 1, height_ratios=(ratio, 1.5))
    mosaic, ax = axes[:, 0]
    titles = [str(moment) for moment in moments]
    _draw_mosaic(mosaic, {"": columns}, titles)
    mosaic.set_aspect("auto")
    mosaic.set_title("samples after so many batches")
    for index, (name, values) in enumerate(losses.items()):
        style = LINE_STYLES[index]
        ax.plot(batches, values, style, label=name, color=COLOURS[index], linewidth=1)
    # Below each column of samples lies its moment.
    half = (moments[-1] - moments[0]) / (len(moments) - 1) / 2
    ax.set_xlim(moments[0] - half, moments[-1] + half)
    ax.set_xlabel("batches")
    ax.set_ylabel("loss")
    ax.legend()
    return figure


@styled
def plot_arms(
    recalls: Mapping[str, Sequence[float]],
    gradients: Mapping[str, Sequence[ArrayLike]],
) -> Figure:
    """Plot the recall of all trainings, and how long the generator's gradient was.

    recalls: {loss: a value for each training}.
    gradients: {loss: lengths (T,) in the course of each training}.
    """
    figure, axes = make_figure(1.8, 1, 2)
    of_recall, of_gradient = axes[0]
    for y, (loss, values) in enumerate(recalls.items()):
        draw_points(of_recall, y, values, COLOURS[y])
        for lengths in gradients[loss]:
            share = np.linspace(0, 1, len(np.asarray(lengths)))
            of_gradient.plot(share, lengths, linewidth=1, color=COLOURS[y])
    name_rows(of_recall, list(recalls))
    of_recall.set_xlabel("recall")
    of_gradient.set_yscale("log")
    of_gradient.set_xlabel("share of the training")
    of_gradient.set_ylabel("length of the gradient")
    return figure


@styled
def plot_grey(
    rows: Rows,
    readings: Sequence[int],
    grounds: Sequence[int],
    recalls: Mapping[str, Sequence[float]],
) -> Figure:
    """Plot digits on backgrounds, and the recall of such digits over the background.

    readings: the digit of each column that a classifier read in the last row.
    grounds: levels from 0 to 255.
    recalls: {what a classifier was trained on: the recall on each ground}.
    """
    figure, axes = make_figure(1.7, 1, 2, width_ratios=(2.2, 1))
    mosaic, ax = axes[0]
    _draw_mosaic(mosaic, rows, [str(digit) for digit in readings])
    mosaic.xaxis.tick_bottom()
    mosaic.set_xlabel("read on grey by the classifier that saw black")
    for index, (name, values) in enumerate(recalls.items()):
        style = {"color": COLOURS[index], "marker": MARKERS[index]}
        ax.plot(grounds, values, label=f"saw {name}", **style)
    ax.set_xlabel("background (of 255)")
    ax.set_ylabel("recall")
    ax.set_ylim(-0.05, 1.05)
    ax.legend(handlelength=1, loc="center right", bbox_to_anchor=(1.02, 0.6))
    return figure


def _draw_mosaic(ax: Axes, rows: Rows, columns: Sequence[str] = ()) -> float:
    """Draw images with a white border each; return the height per width."""
    blocks = []
    for images in rows.values():
        block = np.asarray(images)
        blocks.append(block if block.ndim == 4 else block[None])
    border = [(0, 0), (0, 0), (1, 1), (1, 1)]
    images = np.pad(np.concatenate(blocks), border, constant_values=255)
    num_rows, num_columns, side, _ = images.shape
    mosaic = images.swapaxes(1, 2).reshape(num_rows * side, num_columns * side)
    extent = (0, num_columns, num_rows, 0)
    ax.imshow(mosaic, cmap="gray", vmin=0, vmax=255, extent=extent)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns)
    sizes = np.array([len(block) for block in blocks])
    ax.set_yticks(np.cumsum(sizes) - sizes / 2, list(rows))
    return num_rows / num_columns
