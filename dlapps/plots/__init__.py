"""Arrays in, a matplotlib Figure out; nothing is saved, nothing shown, no global style touched."""

from dlapps.plots.general import plot_confusion, plot_curves, plot_grid, plot_pair
from dlapps.plots.predictions import plot_misread, plot_predictions
from dlapps.plots.style import COLOURS, MARKERS, WIDTH, make_figure, mean_and_spread, show_picture, styled

__all__ = [
    "COLOURS",
    "MARKERS",
    "WIDTH",
    "make_figure",
    "mean_and_spread",
    "plot_confusion",
    "plot_curves",
    "plot_grid",
    "plot_misread",
    "plot_pair",
    "plot_predictions",
    "show_picture",
    "styled",
]
