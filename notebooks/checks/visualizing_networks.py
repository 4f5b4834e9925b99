"""Chapter 2, looking into networks: of what the gradient is taken, in which units, and
what is kept in bounds.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from checks.expect import Variables, expect, expect_pixels, expect_same, same
from dlapps import saliency
from dlapps.adversarial import round_to_8_bits


def gradient(its: Variables) -> None:
    """Write `gradient(score, x)`: the derivative of `score(x)`, which has a number for
    each image, with respect to the images `x` (N, 3, H, W), of the same shape.
    """
    weights = [weight.requires_grad for weight in its.network.parameters()]
    why = (
        "in training mode dropout draws at random, and weights fill their own gradients"
    )
    frozen = not any([its.network.training, *weights])
    expect(frozen, "a frozen network in eval mode", "another", why)
    found = its.gradient(lambda x: x.square().sum((1, 2, 3)), its.pixels)
    got, why = (
        f"{found.mean():.3g} on average",
        "all of the chapter follows this gradient",
    )
    expect(same(found, 2 * its.pixels), "2 x of the sum of squares of x", got, why)


def maps(its: Variables) -> None:
    """Let `maps` (N, H, W) be the saliency maps of `pixels`: the gradient of the
    predicted class's score, the logit, its absolute value, and of the three colours the
    maximum.
    """
    wanted, got = (len(its.pixels), *its.pixels.shape[2:]), tuple(its.maps.shape)
    why = "a pixel has one value, the largest absolute one of its three colours"
    expect(got == wanted, f"maps {wanted}", got, why)
    expect(its.maps.min() >= 0, "maps from 0 on", f"{its.maps.min():.3g}", why)
    images = its.pixels[:2].clone().requires_grad_()
    logits = its.network(images)
    values = (
        logits.amax(1).sum(),
        F.cross_entropy(logits, logits.argmax(1), reduction="sum"),
    )
    gradients = (
        torch.autograd.grad(value, images, retain_graph=True)[0] for value in values
    )
    score, loss = (_parallel(its.maps[:2], each.abs().amax(1)) for each in gradients)
    why = "the loss mixes the class with its rivals, and hardly moves where the network is sure"
    other = "that of the cross-entropy" if loss else "another one"
    expect(score, "the gradient of the predicted class's score", other, why)


def _parallel(first: Tensor, second: Tensor) -> bool:
    return bool(
        (torch.cosine_similarity(first.flatten(1), second.flatten(1)) > 0.999).all()
    )


def grid(its: Variables) -> None:
    """Make four kinds of maps of `four`, each copy for its own one of `classes`, with
    the functions of `saliency`: `plain`, the input gradient; `smooth`, SmoothGrad of so
    many `samples`; `guided`, guided backpropagation; `cam`, Grad-CAM at the layer
    `"backbone.features.12"`.
    """
    first = its.network, its.four[:1], its.classes[:1]
    again = _parallel(
        saliency.smooth_grad(*first, num_samples=its.samples), its.smooth[:1]
    )
    why = "maps that differ by their noise alone cannot be told from a finding"
    expect(again, "the map that SmoothGrad makes with seed 0", "another", why)
    why = "the grid is asked for each of its classes in turn"
    numbers = [len(maps) for maps in (its.plain, its.smooth, its.guided, its.cam)]
    expect_same([len(its.four)] * 4, numbers, "maps of each kind", why)
    one = _parallel(its.cam[:1], its.cam[1:])
    expect(not one, "Grad-CAM for four classes", "the same map for all", why)


def fool(its: Variables) -> None:
    """Let `x` be the first of `pixels`, changed by steps of length `STEP` along the
    gradient of the target's score and clamped to [0, 1] after each, until the network
    takes what a file of 8 bits keeps of it for the target, and `steps` their number.
    Let `fooled` be what `adversarial.fool` makes of all `pixels`.
    """
    for name, images in (
        ("x", its.x),
        ("fooled.images", its.fooled.images[its.fooled.success]),
    ):
        expect_pixels(images, name)
        lost = int((its.network(round_to_8_bits(images)).argmax(1) != its.target).sum())
        why = "an image at the border of the target class falls back when it is saved"
        expect(
            not lost,
            f"`{name}` to stay the target in 8 bits",
            f"{lost} that do not",
            why,
        )


def draw_loop(its: Variables) -> None:
    """Let `draw(num_steps, jitter=16)` return an image of WOMBAT of this `size`,
    climbed from noise by steps of length 5 in z; with a jitter it is rolled for each
    step, and blurred every ten steps.
    """
    start, end = its.draw(0, 0).clamp(0, 1), its.draw(5)
    expect_pixels(end, "draw(5)")
    _expect_rise(its.network(end)[:, its.WOMBAT] - its.network(start)[:, its.WOMBAT])


def grown(its: Variables) -> None:
    """Let `grown` be what `visualize` makes for `lite0`, twice a spoonbill by `recipe`,
    of `begin` as the initial images, with every tenth image kept.
    """
    expect_pixels(its.grown.images, "grown.images")
    why = "noise is the control: what appears there as well is not of the photograph"
    expect_same(len(its.begin), len(its.grown.images), "images", why)
    rise = (its.lite0(its.grown.images) - its.lite0(its.begin))[
        1:
    ]  # a photograph's may fall
    _expect_rise(rise[:, its.lite0.class_names.index("spoonbill")])


def _expect_rise(rise: Tensor) -> None:
    why = "an ascent climbs the score of its class"
    expect(rise.min() > 0, "a class score that rises", f"{rise.min():+.3g}", why)
