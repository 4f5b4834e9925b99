"""Figures of Chapter 2: a gradient, attacked pictures, races, digits, thresholds."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from dlapps.plots import COLOURS, WIDTH, make_figure, show_picture, styled


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
    levels = np.asarray(slope)
    highest = np.percentile(np.abs(levels), 99)
    right.imshow(levels, cmap="RdBu_r", vmin=-highest, vmax=highest)
    right.set_axis_off()
    return figure


@styled
def plot_answers(
    pictures: Mapping[str, Tensor],
    answers: Sequence[Sequence[tuple[str, float]]],
    marked: str,
) -> Figure:
    """Plot pictures side by side, and below the first of them a network's answers.

    pictures: (3, H, W) in [0, 1], by title.
    answers: (class name, probability) from high to low, for the first pictures.
    marked: the class whose bars are orange.
    """
    figure, axes = make_figure(2.3, 2, len(pictures), height_ratios=[1.6, 0.8])
    for ax, (title, picture) in zip(axes[0], pictures.items(), strict=True):
        show_picture(ax, picture, title)
    for ax in axes[1]:
        ax.set_axis_off()
    for ax, ranking in zip(axes[1], answers, strict=False):
        for place, (name, share) in enumerate(ranking):
            colour = COLOURS[1] if name == marked else COLOURS[0]
            ax.barh(-place, share, color=colour, height=0.35)
            ax.text(0, 0.24 - place, f"{name} {share:.0%}", va="bottom", fontsize=7)
        ax.set_xlim(0, 1)
        ax.set_ylim(0.6 - len(ranking), 0.9)
    return figure


@styled
def plot_races(races: Mapping[str, tuple[ArrayLike, ArrayLike]], name: str) -> Figure:
    """Plot a panel for each race: scores of a target class and of its best rival.

    races: the two scores (T,), after each step, by the title of the panel.
    name: of the target class.
    """
    figure, axes = make_figure(1.9, 1, len(races), sharey=True)
    for ax, (title, (target, rival)) in zip(axes[0], races.items(), strict=True):
        steps = range(len(np.asarray(target)))
        ax.plot(steps, target, color=COLOURS[1], label=name)
        ax.plot(steps, rival, "--", color=COLOURS[0], label="its best rival")
        ax.set_title(title)
        ax.set_xlabel("step")
    axes[0, 0].set_ylabel("score")
    axes[0, -1].legend()
    return figure


@styled
def plot_digits(
    rows: Mapping[str, tuple[Sequence[ArrayLike], Sequence[int]]], truths: Sequence[int]
) -> Figure:
    """Plot a row of digits for each name, with what a network reads above each.

    Wrong answers are orange.

    rows: digits (N, H, W) in [0, 1] and answers (N,) by the label of the row.
    truths: (N,).
    """
    columns = len(truths)
    cell = WIDTH / (columns + 1.6)
    figure, axes = make_figure(1.32 * cell * len(rows), len(rows), columns)
    for row, (label, (digits, answers)) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for ax, digit, answer, truth in zip(row, digits, answers, truths, strict=True):
            ax.imshow(np.asarray(digit), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            wrong = int(answer) != int(truth)
            ax.set_title(str(int(answer)), color=COLOURS[1] if wrong else "black")
    return figure


@styled
def plot_grounds(
    greys: ArrayLike,
    responses: ArrayLike,
    grounds: ArrayLike,
    accuracies: Mapping[str, Sequence[float]],
) -> Figure:
    """Plot what filters make of a grey, and accuracies on grounds of a grey.

    greys: (G,) from black to white. responses: (R, G), a curve for each filter.
    grounds: (S,). accuracies: shares (S,), by network.
    """
    figure, axes = make_figure(2.0, 1, 2)
    left, right = axes[0]
    for response in np.asarray(responses):
        left.plot(greys, response, color=COLOURS[0], linewidth=0.9)
    left.set_xlabel("grey of the pixel")
    left.set_ylabel("output of the filter")
    for number, (name, shares) in enumerate(accuracies.items()):
        percent = 100 * np.asarray(shares)
        marker = "os"[number]
        right.plot(grounds, percent, marker=marker, color=COLOURS[number], label=name)
    right.set_xlabel("grey of the ground")
    right.set_ylabel("accuracy (%)")
    right.set_ylim(0, 103)
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
