"""Saliency: maps of the pixels that a class score depends on, and whether a map tells the truth about it."""

from dlapps.saliency.crops import crop_to_window
from dlapps.saliency.faithfulness import (
    DeletionInsertion,
    centre_prior,
    deletion_insertion,
    random_map,
    randomise_weights,
    rank_correlations,
    sanity_check,
)
from dlapps.saliency.maps import grad_cam, guided_backprop, input_gradient, integrated_gradients, smooth_grad

__all__ = [
    "DeletionInsertion",
    "centre_prior",
    "crop_to_window",
    "deletion_insertion",
    "grad_cam",
    "guided_backprop",
    "input_gradient",
    "integrated_gradients",
    "random_map",
    "randomise_weights",
    "rank_correlations",
    "sanity_check",
    "smooth_grad",
]
