"""The printed form of a figure to explore: some of its pictures in a row."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

WIDTH = 5.8  # of the text, in inches


def plot_row(pictures: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Draw pictures (H, W, 3) in one row as wide as the text, with titles."""
    height = 1.18 * WIDTH / len(pictures)
    with mpl.rc_context(
        {"font.family": "sans-serif", "font.size": 8, "axes.titlesize": 8}
    ):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(1, len(pictures), squeeze=False)
        for ax, picture, title in zip(axes[0], pictures, titles, strict=True):
            ax.imshow(picture)
            ax.set_axis_off()
            ax.set_title(title)
    return figure
