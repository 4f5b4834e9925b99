"""The goal of an attack, its ball around the clean images, and its success."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.checks import check_length, check_name
from dlapps.core.class_scores import (
    Classes,
    Images,
    check_classes,
    check_input,
    choose_classes,
    float32_logits,
)
from dlapps.core.images import as_pictures, round_to_8_bits
from dlapps.core.runtime import make_generator


@dataclass(frozen=True)
class Goal:
    """The classes (N,) that an attack is to reach, if targeted, or else to leave."""

    classes: Tensor
    targeted: bool

    def __getitem__(self, rows: slice | Tensor) -> Goal:
        return Goal(self.classes[rows], self.targeted)

    @property
    def sign(self) -> int:
        """1 for an attack up the loss of labels, -1 for one down that of targets."""
        return -1 if self.targeted else 1

    def is_reached(self, logits: Tensor) -> Tensor:
        """Whether logits (N, K) reach the goal, bool (N,)."""
        is_predicted = logits.argmax(1) == self.classes
        return is_predicted if self.targeted else ~is_predicted


def make_goal(
    network: nn.Module, images: Tensor, labels: Classes | None, targets: Classes | None
) -> Goal:
    """Aim at the targets, else away from the labels or the predicted classes.

    Raises ValueError for classes that the network does not have.
    """
    if labels is not None and targets is not None:
        raise ValueError(
            "expected labels (to leave) or targets (to reach), got both; "
            "pass one of them."
        )
    targeted = targets is not None
    wanted = targets if targeted else labels
    classes = choose_classes(network, images, wanted)
    if wanted is not None:
        check_classes(network, images, classes)
    return Goal(classes, targeted)


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the loss of an attack, -log p_c (N,) of logits (N, K) and classes c."""
    return F.cross_entropy(logits, classes, reduction="none")


@dataclass(frozen=True)
class AdversarialExamples:
    """The images that an attack made of the clean ones, both (N, C, H, W) in [0, 1].

    goal: what the attack was to reach.
    success: (N,) bool, whether the image reaches the goal, and still does when rounded
        to 8 bits, which may carry it out of the ball by half of 1/255.
    predicted: (N,) int64, the classes of the rounded images. Both are read in float32.
    steps: (N,), how many the attack made before it stopped; 0 if it does not count
        them.
    """

    clean: Tensor
    images: Tensor
    goal: Goal
    success: Tensor
    predicted: Tensor
    steps: Tensor

    @property
    def l2(self) -> Tensor:
        """Length (N,) of the perturbations in pixel units.

        It is the root of the sum of squares over the whole picture.
        """
        return l2_lengths(self.images - self.clean).float()

    @property
    def linf(self) -> Tensor:
        """Largest change (N,) of one colour of one pixel, in pixel units."""
        return (self.images - self.clean).flatten(1).abs().amax(1)


def score_examples(
    network: nn.Module,
    clean: Images,
    images: Images,
    goal: Goal,
    steps: Tensor | int = 0,
) -> AdversarialExamples:
    """Decide which images (N, C, H, W) of your own attack reach the goal.

    clean: the pictures (N, C, H, W) that they were made of.
    goal: the class (N,) that each of them was to reach or to leave.
    steps: how many the attack made for each of them.

    Raises ValueError for another number or size of clean pictures, or another number of
    classes.
    """
    clean = check_input(network, clean)
    images = as_pictures(images)
    if clean.shape != images.shape:
        raise ValueError(
            f"expected clean pictures {tuple(images.shape)}, one an image, got "
            f"{tuple(clean.shape)}; pass those that the attack began with."
        )
    if goal.classes.shape != (len(images),):
        raise ValueError(
            f"expected a goal of {len(images)} classes, one an image, got "
            f"{tuple(goal.classes.shape)}; take as many rows of it."
        )
    check_classes(network, images, goal.classes)
    return decide_success(network, clean, images, goal, steps)


def decide_success(
    network: nn.Module, clean: Tensor, images: Tensor, goal: Goal, steps: Tensor | int
) -> AdversarialExamples:
    """Decide in float32 which images reach the goal as floats and as 8-bit pixels."""
    logits = float32_logits(network, images)
    rounded_logits = float32_logits(network, round_to_8_bits(images))
    return AdversarialExamples(
        clean,
        images,
        goal,
        success=goal.is_reached(logits) & goal.is_reached(rounded_logits),
        predicted=rounded_logits.argmax(1),
        steps=torch.zeros_like(goal.classes) + steps,
    )


class Ball:
    """The pictures in [0, 1] within epsilon of clean ones (N, C, H, W).

    The radius is a little less than epsilon, since float32 rounds a pixel by up to
    2^-25 and must carry no picture outside.

    norm: "linf" or "l2".
    """

    def __init__(self, clean: Tensor, norm: str, epsilon: float) -> None:
        check_name("norm", norm, ("linf", "l2"))
        check_length("epsilon", epsilon, most=1.0 if norm == "linf" else math.inf)
        rounding = 2**-24
        if norm == "l2":
            rounding *= math.sqrt(clean[0].numel())
        self.clean = clean
        self.norm = norm
        self.radius = max(0.0, epsilon - rounding)

    def nearest(self, pictures: Tensor) -> Tensor:
        """Return the nearest pictures inside."""
        change = project(pictures - self.clean, self.norm, self.radius)
        # In place: new memory takes longer than these sums.
        return change.add_(self.clean).clamp_(0, 1)

    def draw(self, seed: int) -> Tensor:
        """Draw pictures from anywhere inside."""
        direction = random_direction(self.clean, self.norm, seed)
        return (self.clean + self.radius * direction).clamp(0, 1)


def unit_direction(gradients: Tensor, norm: str) -> Tensor:
    """Return the steepest direction of length 1 in a norm, for each picture.

    It is 0 where the gradient is 0.
    """
    if norm == "linf":
        return gradients.sign()
    lengths = gradients.flatten(1).norm(dim=1).clamp(min=1e-12)
    return gradients / lengths.view(-1, 1, 1, 1)


def project(perturbations: Tensor, norm: str, radius: float) -> Tensor:
    """Return the nearest perturbations (N, C, H, W) no longer than the radius."""
    if norm == "linf":
        return perturbations.clamp(-radius, radius)
    factors = radius / l2_lengths(perturbations).clamp(min=1e-12)
    factors = factors.clamp(max=1).to(perturbations.dtype)
    return perturbations * factors.view(-1, 1, 1, 1)


def l2_lengths(perturbations: Tensor) -> Tensor:
    """Return the root (N,) of the sum of squares of each perturbation (N, C, H, W).

    The sum is in float64: in float32 the length of a large picture may be off by 1e-4.
    """
    flat = perturbations.flatten(1)
    return torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64)


def random_direction(images: Tensor, norm: str, seed: int) -> Tensor:
    """Draw from anywhere in the ball of radius 1, in the shape of the images.

    It is drawn on the CPU, so that it is the same on every device.
    """
    generator = make_generator(seed)
    if norm == "linf":
        uniform = torch.rand(images.shape, generator=generator, device="cpu")
        return (2 * uniform - 1).to(images.device)
    gaussian = torch.randn(images.shape, generator=generator, device="cpu")
    lengths = torch.rand(len(images), 1, 1, 1, generator=generator, device="cpu")
    return (lengths * unit_direction(gaussian, norm)).to(images.device)
