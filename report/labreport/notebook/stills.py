"""What paper has of a figure that moves: some of its pictures in a row."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

WIDTH = 5.8  # of the text, in inches


def plot_row(pictures: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Pictures (H, W) or (H, W, 3) in one row, as wide as the text, each with a title."""
    cell = WIDTH / len(pictures)
    with mpl.rc_context(
        {"font.family": "sans-serif", "font.size": 8, "axes.titlesize": 8}
    ):
        figure = Figure(figsize=(WIDTH, 1.18 * cell), layout="constrained")
        axes = figure.subplots(1, len(pictures), squeeze=False)
        for ax, picture, title in zip(axes[0], pictures, titles, strict=True):
            ax.imshow(picture, cmap="gray" if np.ndim(picture) == 2 else None)
            ax.set_axis_off()
            ax.set_title(title)
    return figure


def plot_moments(frames: np.ndarray, steps: Sequence[int]) -> Figure:
    """Four frames (F, H, W, 3) of an animation in one row, closer to each other at its
    beginning, with their steps.
    """
    places = [round(share**2 * (len(frames) - 1)) for share in np.linspace(0, 1, 4)]
    return plot_row(
        list(frames[places]), [f"{int(steps[place])} steps" for place in places]
    )
