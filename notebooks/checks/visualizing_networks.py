"""Checks of Chapter 2: of what a gradient is taken, its units, and bounds of pixels."""

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
    trained = any(weight.requires_grad for weight in its.network.parameters())
    frozen = not (its.network.training or trained)
    why = "in training mode dropout is random, and weights fill their own gradients"
    expect(frozen, "a frozen network in eval mode", "another", why)
    gradient = its.gradient(lambda x: x.square().sum((1, 2, 3)), its.pixels)
    got = f"{gradient.mean():.3g} on average"
    why = "all of the chapter follows this gradient"
    expect(same(gradient, 2 * its.pixels), "2 x of the sum of squares of x", got, why)


def maps(its: Variables) -> None:
    """Let `maps` (N, H, W) be the saliency maps of `pixels`: the gradient of the
    predicted class's score, the logit, its absolute value, and of the three colours the
    maximum.
    """
    number, _, height, width = its.pixels.shape
    wanted = (number, height, width)
    shape = tuple(its.maps.shape)
    why = "a pixel has one value, the largest absolute one of its three colours"
    expect(shape == wanted, f"maps {wanted}", shape, why)
    expect(its.maps.min() >= 0, "maps from 0 on", f"{its.maps.min():.3g}", why)
    images = its.pixels[:2].clone().requires_grad_()
    logits = its.network(images)
    loss = F.cross_entropy(logits, logits.argmax(1), reduction="sum")
    (by_loss,) = torch.autograd.grad(loss, images, retain_graph=True)
    (by_score,) = torch.autograd.grad(logits.amax(1).sum(), images)
    got = "another one"
    if _parallel(its.maps[:2], by_loss.abs().amax(1)):
        got = "that of the cross-entropy"
    fits = _parallel(its.maps[:2], by_score.abs().amax(1))
    why = (
        "the loss mixes the class with its rivals, and hardly moves where the network "
        "is sure"
    )
    expect(fits, "the gradient of the predicted class's score", got, why)


def _parallel(first: Tensor, second: Tensor) -> bool:
    cosines = torch.cosine_similarity(first.flatten(1), second.flatten(1))
    return bool((cosines > 0.999).all())


def cam(its: Variables) -> None:
    """Let `cam` (4, 256, 256) be Grad-CAM of each of `four` for its own one of
    `classes`, at the last `features`: what is positive of their sum, weighted by the
    mean of the gradient of `head_score` over positions, enlarged bilinearly.
    """
    why = "the grid is asked for each of its classes in turn"
    expect_same(len(its.four), len(its.cam), "maps", why)
    one = _parallel(its.cam[:1], its.cam[1:])
    expect(not one, "Grad-CAM for four classes", "the same map for all", why)
    layer = "backbone.features.12"
    wanted = saliency.grad_cam(its.network, its.four[:1], layer, its.classes[:1])
    why = "weights are means of the gradient over positions, and negative sums are 0"
    fits = _parallel(wanted, its.cam[:1])
    expect(fits, f"Grad-CAM at {layer}", "another map", why)


def climb(its: Variables) -> None:
    """Write `climb(score, x)`: the image x (1, 3, H, W) and what it is after each step,
    rounded to 8 bits, (steps + 1, 3, H, W), until the network takes the last for the
    `target`. A step goes up the gradient of the score by a length of 0.226, and is
    clamped to [0, 1]. Let `by_logit` be what it makes of `goose` and `target_score`.
    """
    fits = same(its.by_logit[:1], its.goose)
    why = "the way is shown, not only its end"
    expect(fits, "the goose first", "another image", why)
    _expect_saved(its, "by_logit[-1:]", its.by_logit[-1:])


def fool_all(its: Variables) -> None:
    """Let `clean` be the `pixels` of this profile, and `fooled` what `adversarial.fool`
    makes of these.
    """
    _expect_saved(its, "fooled.images", its.fooled.images[its.fooled.success])


def _expect_saved(its: Variables, name: str, images: Tensor) -> None:
    expect_pixels(images, name)
    classes = its.network(round_to_8_bits(images)).argmax(1)
    lost = int((classes != its.target).sum())
    wanted = f"`{name}` to stay the target in 8 bits"
    why = "an image at the border of the target class falls back when it is saved"
    expect(lost == 0, wanted, f"{lost} that do not", why)


def draw_loop(its: Variables) -> None:
    """Let `draw(x, label, num_steps, drawer=network, jitter=16, blurs=True, rate=5,
    weight=1e-3)` return x and what it becomes after each step, (num_steps + 1, 3, H,
    W). A step climbs the class score of `drawer`, less `weight` times the sum of the
    squares of z, by a length of `rate` in z, which is (x - mu) / sigma; then x = mu +
    sigma z is clamped to [0, 1]. The image is rolled for each step by up to `jitter`
    pixels in both directions and rolled back, and blurred every ten steps if `blurs`.
    """
    states = its.draw(its.noise, its.wombat, 5)
    expect_pixels(states, "draw(noise, wombat, 5)")
    why = "the way is shown, not only its end"
    expect_same(6, len(states), "images after 5 steps", why)
    scores = its.network(states[[0, -1]])[:, its.wombat]
    rise = scores[1:] - scores[:1]
    why = "an ascent climbs the score of its class"
    expect(rise.min() > 0, "a class score that rises", f"{rise.min():+.3g}", why)
