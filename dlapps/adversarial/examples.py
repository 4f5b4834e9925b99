"""What an attack is after, how far it may go, what it made, and whether that holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import check_name
from dlapps.core.class_scores import (
    Classes,
    Images,
    RowValues,
    check_input,
    check_range,
    choose_classes,
    float32_logits,
)
from dlapps.core.runtime import make_generator


@dataclass(frozen=True)
class Goal:
    """What an attack is after: classes (N,) to reach (targeted), or to be read as no
    longer.
    """

    classes: Tensor
    targeted: bool

    def __getitem__(self, rows: slice | Tensor) -> Goal:
        return Goal(self.classes[rows], self.targeted)

    def is_reached(self, logits: Tensor) -> Tensor:
        """bool (N,) from logits (N, K); ValueError for classes outside 0 to K - 1."""
        check_range(self.classes, logits)
        return (logits.argmax(1) == self.classes) == self.targeted


def cross_entropy(logits: Tensor, goal: Goal) -> Tensor:
    """-log of the probability (N,) of the goal's classes, negative where they are
    targets.
    """
    check_range(goal.classes, logits)
    entropy = F.cross_entropy(logits, goal.classes, reduction="none")
    return -entropy if goal.targeted else entropy


def by_rows(loss: Callable[[Tensor, Goal], Tensor], goal: Goal) -> RowValues:
    """Of a loss (N,) of all pictures' logits (N, K), one that takes the logits of some
    of them.
    """
    return lambda logits, rows: loss(logits, goal[rows])


@dataclass(frozen=True)
class AdversarialExamples:
    """What an attack made of the clean images, both (N, C, H, W) in [0, 1].

    The images are floats, within epsilon where there is one. success (N,) bool: they
    reach the goal, and still do when rounded to 8 bits, which may carry them out of the
    ball by half of 1/255. predicted (N,) int64: the classes of the rounded ones. Both
    are read in float32. steps (N,): made before the attack stopped, 0 of one that does
    not count.
    """

    clean: Tensor
    images: Tensor
    goal: Goal
    success: Tensor
    predicted: Tensor
    steps: Tensor

    @property
    def l2(self) -> Tensor:
        """Length (N,) of the perturbations in pixel units: root of the sum of squares
        over the whole picture.
        """
        return (self.images - self.clean).flatten(1).norm(dim=1)

    @property
    def linf(self) -> Tensor:
        """Largest change (N,) of one colour of one pixel, in pixel units."""
        return (self.images - self.clean).flatten(1).abs().amax(1)


def round_to_8_bits(images: Tensor) -> Tensor:
    """Pixels in [0, 1] as a PNG keeps them: multiples of 1 / 255."""
    return (images * 255).round() / 255


def make_goal(
    network: nn.Module, images: Images, labels: Classes | None, targets: Classes | None
) -> Goal:
    """Towards the targets, else away from the labels, else away from the predicted
    classes.
    """
    images = check_input(network, images)
    if labels is not None and targets is not None:
        raise ValueError(
            "expected labels (to leave) or targets (to reach), got both; pass one of them."
        )
    classes = choose_classes(network, images, labels if targets is None else targets)
    return Goal(classes, targeted=targets is not None)


def score_examples(
    network: nn.Module,
    clean: Images,
    images: Images,
    goal: Goal,
    steps: Tensor | int = 0,
) -> AdversarialExamples:
    """Decide in float32 which images (N, C, H, W) reach the goal, as they are and
    rounded to 8 bits.
    """
    clean, images = check_input(network, clean), check_input(network, images)
    rounded = round_to_8_bits(images)
    logits = float32_logits(network, rounded)
    success = goal.is_reached(logits)
    # Most of those that a whole number of levels was added to are of 8 bits already.
    again = success & ((rounded - images).flatten(1).abs().amax(1) > 1e-6)
    if again.any():
        success[again] = goal[again].is_reached(float32_logits(network, images[again]))
    steps = steps if isinstance(steps, Tensor) else torch.full_like(goal.classes, steps)
    return AdversarialExamples(clean, images, goal, success, logits.argmax(1), steps)


# A number, or one a picture.
PerPicture = float | Sequence[float] | np.ndarray | Tensor


def as_lengths(
    name: str, values: PerPicture, images: Tensor, most: float | None = None
) -> Tensor:
    """A length for each picture, in doubles (N, 1, 1, 1), on the CPU."""
    column = torch.as_tensor(values, dtype=torch.float64, device="cpu")
    number, limit = len(images), torch.finfo(images.dtype).max if most is None else most
    if (
        column.shape not in {(), (number,)}
        or not ((column >= 0) & (column <= limit)).all()
    ):
        raise ValueError(
            f"expected {name} >= 0, finite{'' if most is None else f', at most {most:g} (pixels lie in [0, 1])'}, a "
            f"number or one for each of {number} pictures, got {values}; change it."
        )
    return column.expand(number).view(-1, 1, 1, 1)


class Ball:
    """The pictures in [0, 1] within epsilon (N, 1, 1, 1) of clean ones (N, C, H, W) in
    a norm.

    epsilon: in doubles, on the CPU, as `as_lengths` has it; radii: in the pictures'
    type, on their device.
    """

    def __init__(self, clean: Tensor, norm: str, epsilon: Tensor) -> None:
        check_name("norm", norm, ("linf", "l2"))
        self.clean, self.norm, self.epsilon, self.radii = (
            clean,
            norm,
            epsilon,
            epsilon.to(clean),
        )

    def nearest(self, pictures: Tensor) -> Tensor:
        """The nearest pictures inside, but for rounding."""
        return (
            project(pictures - self.clean, self.norm, self.radii)
            .add_(self.clean)
            .clamp_(0, 1)
        )

    def draw(self, seed: int) -> Tensor:
        """Pictures from anywhere inside."""
        return (
            self.clean + self.radii * random_direction(self.clean, self.norm, seed)
        ).clamp_(0, 1)

    def settle(self, pictures: Tensor) -> Tensor:
        """Pictures inside, moved by no more than rounding took them outside: x +
        epsilon may be further from x.
        """
        radii = _round_down(self.epsilon)
        if self.norm == "linf":
            # Where a sum of two float32 is not exact in doubles, it lies far from the
            # next float32.
            clean = self.clean.cpu().double()
            low, high = -_round_down(radii - clean), _round_down(radii + clean)
            return pictures.clamp(low.to(pictures), high.to(pictures))
        # A pixel is rounded by 2^-25 at most, and the length by less than a millionth.
        room = 2**-25 * math.sqrt(self.clean[0].numel())
        change = project(
            pictures - self.clean,
            self.norm,
            ((1 - 1e-6) * radii - room).clamp(min=0).to(pictures),
        )
        return (self.clean + change).clamp_(0, 1)


def _round_down(values: Tensor) -> Tensor:
    """Doubles on the CPU to the largest float32 that are not above them."""
    nearest = values.float()
    return torch.where(
        nearest > values,
        nearest.nextafter(torch.tensor(-torch.inf, device="cpu")),
        nearest,
    )


def normalise(gradients: Tensor, norm: str) -> Tensor:
    """The steepest direction of length 1 in a norm, for each picture; 0 where the
    gradient is.
    """
    return gradients.sign() if norm == "linf" else gradients / _lengths(gradients)


def project(perturbations: Tensor, norm: str, epsilon: Tensor) -> Tensor:
    """The nearest perturbations of length epsilon (N, 1, 1, 1) at most in a norm."""
    if norm == "linf":
        return perturbations.clamp(-epsilon, epsilon)
    return perturbations * (epsilon / _lengths(perturbations)).clamp_(max=1)


def _lengths(perturbations: Tensor) -> Tensor:
    """Of each picture, (N, 1, 1, 1), root of the sum of squares; above 0, to divide by."""
    return (
        torch.linalg.vector_norm(perturbations.flatten(1), dim=1)
        .clamp_(min=1e-12)
        .view(-1, 1, 1, 1)
    )


def random_direction(images: Tensor, norm: str, seed: int) -> Tensor:
    """Anywhere in the ball of radius 1; drawn on the CPU: the same whatever the device."""
    generator = make_generator(seed)
    if norm == "linf":
        direction = 2 * torch.rand(images.shape, generator=generator, device="cpu") - 1
    else:
        direction = normalise(
            torch.randn(images.shape, generator=generator, device="cpu"), norm
        )
        direction *= torch.rand(len(images), 1, 1, 1, generator=generator, device="cpu")
    return direction.to(images.device)
