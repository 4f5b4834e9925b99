"""Pictures in rows with a name each, and pictures above a network's answers."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from dlapps.plots import COLOURS, make_figure, show_picture, styled

Ranking = Sequence[tuple[str, float]]


def draw_row(
    axes: np.ndarray, name: str, pictures: Sequence[np.ndarray] | Tensor
) -> None:
    """Draw pictures with a name to the left of the first.

    A picture is an array (H, W) or (H, W, 3), or pixels (C, H, W) in [0, 1].
    """
    for ax, picture in zip(axes, pictures, strict=True):
        show_picture(ax, picture)
    first = axes[0]
    first.text(-0.15, 0.5, name, ha="right", va="center", transform=first.transAxes)


@styled
def plot_answers(
    pictures: Mapping[str, Tensor], answers: Sequence[Ranking], marked: Sequence[str]
) -> Figure:
    """Plot pictures side by side, and below the first of them a network's answers.

    pictures: (3, H, W) in [0, 1], by title.
    answers: (class name, probability) from high to low, for the first pictures.
    marked: the class whose bar is filled, for each of these.
    """
    figure, axes = make_figure(2.3, 2, len(pictures), height_ratios=[1.6, 0.8])
    for ax, (title, picture) in zip(axes[0], pictures.items(), strict=True):
        show_picture(ax, picture, title)
    for ax in axes[1]:
        ax.set_axis_off()
    for ax, ranking, filled in zip(axes[1], answers, marked, strict=False):
        for place, (name, share) in enumerate(ranking):
            colour = COLOURS[0] if name == filled else "white"
            ax.barh(-place, share, 0.35, color=colour, edgecolor=COLOURS[0])
            ax.text(0, 0.24 - place, f"{name} {share:.0%}", va="bottom", fontsize=7)
        ax.set_xlim(0, 1)
        ax.set_ylim(0.6 - len(ranking), 0.9)
    return figure
