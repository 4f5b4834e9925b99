"""Checks of Chapter 2: of what a gradient is taken, and over what it is pooled."""

from torch import Tensor

from checks.expect import Variables, expect_same
from dlapps import saliency


def gradient(its: Variables) -> None:
    """Write `gradient(score, x)`: the derivative of `score(x)`, which has a number for
    each image, with respect to the images `x` (N, 3, H, W), of the same shape.
    """

    def sum_of_squares(x: Tensor) -> Tensor:
        return x.square().sum((1, 2, 3))

    got = its.gradient(sum_of_squares, its.pixels)
    why = "all of the chapter follows this gradient"
    expect_same(2 * its.pixels, got, "as 2 x, of the sum of squares of x", why)


def maps(its: Variables) -> None:
    """Let `maps` (N, H, W) be the saliency maps of `pixels`: the gradient of the
    predicted class's score, the logit, its absolute value, and of the three colours the
    maximum.
    """
    wanted = saliency.input_gradient(its.network, its.pixels[:2])
    why = (
        "a pixel has the largest absolute gradient of its three colours, "
        "and the loss in place of the score would mix the class with its rivals"
    )
    expect_same(wanted, its.maps[:2], "as the first two maps", why)


def cam(its: Variables) -> None:
    """Let `cam` (4, 256, 256) be Grad-CAM of each of `four` for its own one of
    `classes`, at the last `features`: what is positive of their sum, weighted by the
    mean of the gradient of `head_score` over positions, enlarged bilinearly.
    """
    layer = "backbone.features.12"
    wanted = saliency.grad_cam(its.network, its.four, layer, its.classes)
    why = (
        "each map is of its own class, weights are means of the gradient over "
        "positions, and negative sums are 0"
    )
    expect_same(wanted, its.cam, "as Grad-CAM", why)
