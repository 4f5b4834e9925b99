"""Chapter 2, looking into networks: of what the gradient is taken, in which units, and what is kept in bounds."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import saliency
from dlapps.adversarial import AdversarialExamples, round_to_8_bits
from dlapps.class_visualization import Ascent, Visualization
from dlapps.classroom.checks.expect import expect, expect_pixels
from dlapps.notebook import Chapter


def the_network_is_frozen(network: nn.Module) -> str | None:
    """Gradients are taken with respect to the pixels, and the weights stay as they are. With gradients of the weights
    too, each backward pass costs twice as much and fills .grad of every layer."""
    moving = sum(parameter.requires_grad for parameter in network.parameters())
    return expect(not moving, "weights without gradients", f"{moving} parameters that ask for one")


def one_map_for_each_picture(pixels: Tensor, maps: Tensor) -> str | None:
    """A saliency map has one value a pixel, (N, H, W): the absolute gradient, the maximum over the three colours. It
    says how much the score depends on a pixel, and a sign or a mean over colours lets contributions cancel."""
    wanted = (len(pixels), *pixels.shape[2:])
    fault = expect_pixels(pixels, "pixels") or expect(tuple(maps.shape) == wanted, f"maps {wanted}", tuple(maps.shape))
    return fault or expect(maps.min() >= 0, "maps from 0 on", f"values from {float(maps.min()):.3g}")


def the_gradient_of_the_score(network: nn.Module, pixels: Tensor, maps: Tensor) -> str | None:
    """The map is the gradient of the class score, the logit. That of the cross-entropy or of the probability mixes the
    class with its rivals, and vanishes where the network is sure."""
    images = pixels[:2].clone().requires_grad_()
    logits = network(images)
    classes = logits.argmax(1)
    wanted, loss = (
        torch.autograd.grad(value, images, retain_graph=True)[0].abs().amax(1)
        for value in (logits.gather(1, classes[:, None]).sum(), F.cross_entropy(logits, classes, reduction="sum"))
    )
    got = "that of the cross-entropy" if _parallel(maps[:2], loss) else "another one"
    return expect(_parallel(maps[:2], wanted), "the gradient of the predicted class's score", got)


def _parallel(first: Tensor, second: Tensor) -> bool:
    return bool((torch.cosine_similarity(first.flatten(1), second.flatten(1)) > 0.999).all())


def same_seed_same_map(
    network: nn.Module, four: Tensor, classes: Tensor, smooth: Tensor, chapter: Chapter
) -> str | None:
    """SmoothGrad adds noise, drawn from a generator with a seed. Without one, two maps of a picture differ by the noise
    alone, and nobody can tell a finding from a draw."""
    again = saliency.smooth_grad(network, four[:1], classes[:1], num_samples=chapter.profile.num_samples)
    wanted = "the same map of a picture when it is made again with seed 0"
    return expect(_parallel(again, smooth[:1]), wanted, "another one")


def fooled_pictures_are_pictures(fooled: AdversarialExamples) -> str | None:
    """After each step the picture is clamped to [0, 1], what a screen can show. A picture outside of it fools the
    network as an array only, and is another one as soon as it is saved."""
    return expect_pixels(fooled.images, "fooled.images")


def fooled_after_saving(network: nn.Module, fooled: AdversarialExamples, target: int) -> str | None:
    """Whether an attack worked is asked of the picture as a file keeps it, in 256 levels. Many a picture that stops at
    the border of the target class falls back when it is rounded."""
    read = network(round_to_8_bits(fooled.images)).argmax(1)
    lost = int((fooled.success & (read != target)).sum())
    return expect(not lost, "successes that keep the target after rounding to 8 bits", f"{lost} that do not")


# As the exercise names its attacks.
BUDGETS = {"FGSM 2/255": ("linf", 2 / 255), "PGD-10 1/255": ("linf", 1 / 255), "PGD-10 L2 0.5": ("l2", 0.5)}


def epsilon_in_pixels(examples: Mapping[str, AdversarialExamples]) -> str | None:
    """An epsilon of 2/255 moves no colour by more than two of 255 levels. On normalised tensors the same number is
    about four times smaller, attacks cannot be compared, and clamping to [0, 1] destroys the picture."""
    for name, (norm, bound) in BUDGETS.items():
        size = float(getattr(examples[name], norm).max())
        if size > bound * 1.001:
            return f"expected {name} within {bound:.4f} in pixels, got {size:.4f}"
    return next(filter(None, (expect_pixels(made.images, name) for name, made in examples.items())), None)


def step_of_the_practical(preset: Ascent) -> str | None:
    """The practical's 5 is the length of a step, 5 g / ||g||, in units of (pixel - mean) / deviation. Without the norm,
    or with an optimiser that scales the gradient itself, the same number means another step in each picture."""
    found = preset.step_size, preset.normalised, preset.optimiser.__name__
    got = "{} with normalised={} and {}".format(*found)
    return expect(found == (5.0, True, "SGD"), "steps of 5 along the normalised gradient, by SGD", got)


def drawn_pictures_are_pictures(drawn: Visualization, grown: Visualization) -> str | None:
    """A picture of a class is clamped to the valid range after each step. Where it is not, the ascent raises the score
    by contrast alone, with colours that do not exist."""
    return expect_pixels(drawn.frames[:, 0], "drawn.frames") or expect_pixels(grown.images, "grown.images")
