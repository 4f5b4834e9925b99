"""Saliency: maps of the pixels that a class score depends on, and whether a map tells the truth about it.

Every method takes a network (pixels in, logits out, eval mode), images (N, 3, H, W) float32 in [0, 1] and target
classes (an int, N of them, or None for the predicted ones), and gives maps (N, H, W) float32 on the images' device.
Weights, the images' `.grad` and the network's hooks are left as they were, whatever fails. Errors are ValueErrors of
one sentence: pixels outside [0, 1] or of another shape or type, a class out of range, a network in training mode, a
layer that is none. `smooth_grad` and `grad_cam` run in the precision that the caller opened (`runtime.autocast`), the
others always in float32, since bfloat16 visibly changes them.
"""

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
