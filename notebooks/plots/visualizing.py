"""Figures of Chapter 2: a gradient, races of scores, digits, thresholds."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from dlapps.plots import COLOURS, WIDTH, make_figure, show_picture, styled
from plots.pictures import draw_row


@styled
def plot_slope(picture: Tensor, slope: Tensor) -> Figure:
    """Plot a picture and a signed map of it, red where it is positive.

    picture: (3, H, W) in [0, 1].
    slope: (H, W); colours end at the 99th percentile of its absolute values.
    """
    figure, axes = make_figure(1.9, 1, 2)
    figure.set_layout_engine("compressed")  # the two side by side
    left, right = axes[0]
    show_picture(left, picture)
    highest = float(slope.abs().quantile(0.99))
    right.imshow(slope.numpy(), cmap="RdBu_r", vmin=-highest, vmax=highest)
    right.set_axis_off()
    return figure


@styled
def plot_races(races: Mapping[str, Tensor], target: int, name: str) -> Figure:
    """Plot a panel for each race: scores of a target class and of its best rival.

    races: scores (T, K) of all classes after each step, by the title of the panel.
    target: the class of this name.
    """
    figure, axes = make_figure(1.9, 1, len(races), sharey=True)
    for ax, (title, scores) in zip(axes[0], races.items(), strict=True):
        rivals = scores.index_fill(1, torch.tensor(target), -torch.inf)
        ax.plot(scores[:, target], color=COLOURS[1], label=name)
        ax.plot(rivals.amax(1), "--", color=COLOURS[0], label="its best rival")
        ax.set_title(title)
        ax.set_xlabel("step")
    axes[0, 0].set_ylabel("score")
    axes[0, -1].legend()
    return figure


@styled
def plot_digits(
    rows: Mapping[str, tuple[Tensor, Sequence[int]]], truths: Sequence[int]
) -> Figure:
    """Plot a row of digits for each name, with what a network reads above each.

    Wrong answers are orange.

    rows: digits (N, 1, H, W) in [0, 1] and answers (N,) by the label of the row.
    truths: (N,).
    """
    columns = len(truths)
    cell = WIDTH / (columns + 1.6)
    figure, axes = make_figure(1.32 * cell * len(rows), len(rows), columns)
    for row, (name, (digits, answers)) in zip(axes, rows.items(), strict=True):
        draw_row(row, name, digits)
        for ax, answer, truth in zip(row, answers, truths, strict=True):
            colour = "black" if answer == truth else COLOURS[1]
            ax.set_title(str(int(answer)), color=colour)
    return figure


@styled
def plot_grounds(
    greys: ArrayLike,
    responses: Tensor,
    grounds: ArrayLike,
    accuracies: Mapping[str, Sequence[float]],
) -> Figure:
    """Plot what filters make of a grey, and accuracies on grounds of a grey.

    greys: (G,) from black to white. responses: (R, G), a curve for each filter.
    grounds: (S,). accuracies: shares (S,), by network.
    """
    figure, axes = make_figure(2.0, 1, 2)
    left, right = axes[0]
    left.plot(greys, responses.T, color=COLOURS[0], linewidth=0.9)
    left.set_xlabel("grey of the pixel")
    left.set_ylabel("output of the filter")
    for marker, (name, shares) in zip("os", accuracies.items(), strict=True):
        right.plot(grounds, 100 * np.asarray(shares), marker=marker, label=name)
    right.set_xlabel("grey of the ground")
    right.set_ylabel("accuracy (%)")
    right.set_ylim(bottom=0)
    right.legend(loc="lower left")
    return figure


def animate(rows: Sequence[Tensor]) -> bytes:
    """Make an animated PNG of rows of pictures side by side, a row for each moment.

    rows: (columns, 3, H, W) in [0, 1].
    """
    height = rows[0].shape[2]
    strips = [torch.cat(list(row), dim=2) for row in rows]
    levels = (255 * torch.cat(strips, dim=1)).round().byte().permute(1, 2, 0)
    sheet = Image.fromarray(levels.numpy()).quantize(64)  # fewer colours, fewer bytes
    moments = []
    for top in range(0, sheet.height, height):
        moments.append(sheet.crop((0, top, sheet.width, top + height)))
    file = io.BytesIO()
    following = moments[1:]
    moments[0].save(file, "PNG", save_all=True, append_images=following, duration=200)
    return file.getvalue()
