"""Arrays in, a matplotlib Figure out; nothing is saved, nothing shown, no global style touched."""

from dlapps.plots.dann import (
    draw_frame,
    plot_embedding_steps,
    plot_embeddings,
    plot_histories,
    plot_recipe,
    plot_recovered,
    plot_sweep,
)
from dlapps.plots.gan import (
    plot_class_histogram,
    plot_mosaic,
    plot_precision_recall,
    plot_small_multiples,
    plot_training,
)
from dlapps.plots.general import plot_confusion, plot_curves, plot_grid, plot_pair
from dlapps.plots.style import COLOURS, MARKERS, WIDTH, make_figure, show_picture, styled
from dlapps.plots.transfer import plot_misread, plot_predictions
from dlapps.plots.visualizing import plot_saliency, plot_score_card

__all__ = [
    "COLOURS",
    "MARKERS",
    "WIDTH",
    "draw_frame",
    "make_figure",
    "plot_class_histogram",
    "plot_confusion",
    "plot_curves",
    "plot_embedding_steps",
    "plot_embeddings",
    "plot_grid",
    "plot_histories",
    "plot_misread",
    "plot_mosaic",
    "plot_pair",
    "plot_precision_recall",
    "plot_predictions",
    "plot_recipe",
    "plot_recovered",
    "plot_saliency",
    "plot_score_card",
    "plot_small_multiples",
    "plot_sweep",
    "plot_training",
    "show_picture",
    "styled",
]
