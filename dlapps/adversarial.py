"""Adversarial examples: images changed a little so that a network errs.

Every attack takes a network, which is any nn.Module in eval mode that takes pixels and
gives logits.

images: (N, C, H, W) with any number of channels, float32 in [0, 1], or whatever else
    `images.as_pictures` takes.
labels: the classes from which the images are driven, by default the predicted ones.
epsilon, step_size: in pixel units (2 / 255, say).

The image is clipped to [0, 1] at each step. Gradients run in the precision that the
caller opened with `torch.autocast`; success is decided at the end in float32.

Everything stays on the images' device. Random starts are drawn on the CPU, so that they
are the same on every device. Bad pixels, classes out of range, a network in training
mode or without logits (N, K) and an epsilon that is not finite raise a ValueError.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core import paths
from dlapps.core.checks import check_between, check_counts
from dlapps.core.class_scores import (
    Classes,
    Images,
    check_input,
    choose_classes,
    choose_or_predict,
    float32_logits,
    pixel_gradient,
)
from dlapps.core.images import round_to_8_bits
from dlapps.core.runtime import channels_last, make_generator, progress
from dlapps.core.weights import load

# The practical steps by eta = 1 in units of (pixel - mean) / std; this is the mean std
# of the three colours.
PRACTICAL_STEP = 0.226


@dataclass(frozen=True)
class AdversarialExamples:
    """What an attack made of N images.

    images: (N, C, H, W), float32 in [0, 1].
    success: bool (N,), whether the network takes the image for the target, or, without
        a target, for another class than the label, both before and after rounding to 8
        bits, as a PNG stores it. It is also true of an image that was misread before.
    steps: int64 (N,), how many steps the attack made.
    """

    images: Tensor
    success: Tensor
    steps: Tensor


def fool(
    network: nn.Module,
    images: Images,
    targets: Classes,
    step_size: float = PRACTICAL_STEP,
    num_steps: int = 100,
) -> AdversarialExamples:
    """Step x <- x + eta g / ||g||_2, g = d S_target / d x, until the target wins.

    This is the attack of the practical; the idea is that of Szegedy et al. 2014. An
    image stops once the target also wins on its 8-bit rounding: of images that stop at
    the first success, some are lost when they are saved.

    targets: the classes that are to win.
    step_size: eta, the length of a step in pixel units. The practical's eta = 1 is in
        units of z = (x - mean) / std, where a step of length 1 is one of length std,
        about .226, of the pixels x.
    num_steps: at most.
    """
    check_counts(num_steps=num_steps)
    check_between(0, math.inf, step_size=step_size)
    images = check_input(network, images)
    classes = choose_classes(network, images, targets)
    x = images.clone()
    steps = torch.full_like(classes, num_steps)
    active = torch.arange(len(images), device=images.device)
    for step in progress(range(num_steps), "steps"):
        gradient, logits = pixel_gradient(network, x[active], classes[active])
        done = logits.argmax(1) == classes[active]
        # Only an image that wins as it is can win when saved.
        if done.any():
            rows = active[done]
            wins = _predict_twice(network, x[rows]) == classes[rows]
            done[done.clone()] = wins.all(0)
        steps[active[done]] = step
        active = active[~done]
        if len(active) == 0:
            break
        gradient = gradient[~done]
        lengths = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
        x[active] += step_size * gradient / lengths.view(-1, 1, 1, 1)
        x[active] = x[active].clamp(0, 1)
    success = (_predict_twice(network, x) == classes).all(0)
    return AdversarialExamples(x, success, steps)


def fgsm(
    network: nn.Module,
    images: Images,
    epsilon: float,
    labels: Classes | None = None,
) -> AdversarialExamples:
    """Step once, to x + epsilon sign(d loss / d x).

    The loss is the cross-entropy of the labels (Goodfellow, Shlens & Szegedy 2015).

    epsilon: at most 1.
    """
    return pgd(
        network,
        images,
        epsilon,
        labels,
        num_steps=1,
        step_size=epsilon,
        random_start=False,
    )


def pgd(
    network: nn.Module,
    images: Images,
    epsilon: float,
    labels: Classes | None = None,
    num_steps: int = 10,
    step_size: float | None = None,
    random_start: bool = True,
    seed: int = 0,
) -> AdversarialExamples:
    """Step x <- P(x + alpha sign(d loss / d x)), P onto max |x - clean| <= epsilon.

    The loss is the cross-entropy of the labels (Madry et al. 2018, section 2.1). Pixels
    stay within epsilon up to float32's rounding.

    epsilon: at most 1.
    step_size: alpha, by default 2.5 epsilon / num_steps as in the paper.
    random_start: whether to begin anywhere within epsilon, or at the clean image.
    seed: of the random start.
    """
    check_counts(num_steps=num_steps)
    check_between(0, 1, epsilon=epsilon)
    if step_size is None:
        step_size = 2.5 * epsilon / num_steps
    check_between(0, math.inf, step_size=step_size)
    clean = check_input(network, images)
    classes = choose_or_predict(network, clean, labels)
    x = clean
    if random_start:
        start = torch.rand(x.shape, generator=make_generator(seed), device="cpu")
        x = (clean + epsilon * (2 * start - 1).to(clean.device)).clamp(0, 1)
    for _ in progress(range(num_steps), "steps"):
        gradient, _ = pixel_gradient(network, x, classes, _cross_entropy)
        change = x + step_size * gradient.sign() - clean
        x = (clean + change.clamp(-epsilon, epsilon)).clamp(0, 1)
    success = (_predict_twice(network, x) != classes).all(0)
    return AdversarialExamples(x, success, torch.full_like(classes, num_steps))


def _cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    return F.cross_entropy(logits, classes, reduction="none")


def _predict_twice(network: nn.Module, images: Tensor) -> Tensor:
    """The predicted classes (2, N), before and after rounding to 8 bits."""
    as_floats = float32_logits(network, images).argmax(1)
    as_saved = float32_logits(network, round_to_8_bits(images)).argmax(1)
    return torch.stack([as_floats, as_saved])


def make_digit_network() -> nn.Sequential:
    """Make a network: pixels (N, 1, 28, 28) in [0, 1] to logits (N, 10)."""
    network = nn.Sequential(
        nn.Conv2d(1, 32, 5, stride=2, padding=2),  # (N, 32, 14, 14)
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),  # (N, 64, 7, 7)
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=2, padding=1),  # (N, 64, 4, 4)
        nn.ReLU(),
        nn.Flatten(),  # (N, 1024)
        nn.Linear(1024, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    return channels_last(network)


def load_digit_networks() -> dict[str, nn.Module]:
    """Load the networks of digits "robust" and "plain", in eval mode.

    The robust one was trained on adversarial examples at epsilon .3, the plain one on
    clean digits, both with seed 0.
    """
    path = paths.require_network("visualizing-defence.pt", "networks of digits")
    networks: dict[str, nn.Module] = {}
    for name, state in load(path).items():
        network = make_digit_network().eval().requires_grad_(False)
        network.load_state_dict(state)
        networks[name] = network
    return networks
