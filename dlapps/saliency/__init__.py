"""Saliency: maps of the pixels that a class score depends on, and tests of a map.

Every method takes a network, which is any nn.Module in eval mode that takes pixels and
gives logits, and returns maps (N, H, W) float32 on the images' device.

images: (N, C, H, W) with any number of channels, float32 in [0, 1], or whatever else
    `images.as_pictures` takes.
targets: a number, the name of one of the network's `class_names`, N of them, or None
    for the predicted classes.

Weights, the images' `.grad` and the network's hooks are left as they were, whatever
fails. `smooth_grad` and `grad_cam` run in the precision that the caller opened
(`runtime.autocast`), the others always in float32, since bfloat16 visibly changes their
maps. Pixels outside [0, 1] or of another shape or type, a class out of range, a network
in training mode or without logits (N, K), and an unknown layer or one that no score
depends on raise a ValueError of one sentence.
"""

from dlapps.saliency.faithfulness import (
    centre_prior,
    deletion_insertion,
    make_grids,
    random_map,
)
from dlapps.saliency.maps import (
    grad_cam,
    guided_backprop,
    input_gradient,
    integrated_gradients,
    smooth_grad,
)

__all__ = [
    "centre_prior",
    "deletion_insertion",
    "grad_cam",
    "guided_backprop",
    "input_gradient",
    "integrated_gradients",
    "make_grids",
    "random_map",
    "smooth_grad",
]
