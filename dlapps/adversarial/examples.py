"""What an attack is after, what it made, and whether that holds: after saving, after JPEG, for another network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlapps.core.class_scores import (
    Classes,
    Images,
    RowValues,
    check_input,
    check_range,
    choose_classes,
    float32_logits,
    pick,
)


@dataclass(frozen=True)
class Goal:
    """What an attack is after: classes (N,) to reach (targeted), or to be read as no longer."""

    classes: Tensor
    targeted: bool

    def __getitem__(self, rows: slice | Tensor) -> Goal:
        return Goal(self.classes[rows], self.targeted)

    def is_reached(self, logits: Tensor) -> Tensor:
        """bool (N,) from logits (N, K); ValueError for classes that are none of the K."""
        check_range(self.classes, logits)
        return (logits.argmax(1) == self.classes) == self.targeted


# (logits (N, K), goal) -> (N,), what an attack raises.
Loss = Callable[[Tensor, Goal], Tensor]


def cross_entropy(logits: Tensor, goal: Goal) -> Tensor:
    """-log of the probability (N,) of the goal's classes, negative where they are targets."""
    entropy = logits.logsumexp(1) - pick(logits, goal.classes)
    return -entropy if goal.targeted else entropy


def by_rows(loss: Loss, goal: Goal) -> RowValues:
    """Of a loss for all pictures, one that takes the logits of some of them."""
    return lambda logits, rows: loss(logits, goal[rows])


@dataclass(frozen=True)
class AdversarialExamples:
    """What an attack made of the clean images, both (N, C, H, W) in [0, 1].

    The images are floats, within epsilon where there is one. success (N,) bool: they reach the goal, and still do when
    rounded to 8 bits, which may carry them out of the ball by half of 1/255 (`survives` has each alone). predicted
    (N,) int64: the classes of the rounded ones. Both are read in float32. steps (N,): made before the attack stopped, 0
    of one that does not count them.
    """

    clean: Tensor
    images: Tensor
    goal: Goal
    success: Tensor
    predicted: Tensor
    steps: Tensor

    @property
    def l2(self) -> Tensor:
        """Length (N,) of the perturbations in pixel units: root of the sum of squares over the whole picture."""
        return (self.images - self.clean).flatten(1).norm(dim=1)

    @property
    def linf(self) -> Tensor:
        """Largest change (N,) of one colour of one pixel, in pixel units."""
        return (self.images - self.clean).flatten(1).abs().amax(1)


def round_to_8_bits(images: Tensor) -> Tensor:
    """Pixels in [0, 1] as a PNG keeps them: multiples of 1 / 255."""
    return (images * 255).round() / 255


def make_goal(network: nn.Module, images: Images, labels: Classes | None, targets: Classes | None) -> Goal:
    """Towards the targets if given, else away from the labels, else away from the predicted classes."""
    images = check_input(network, images)
    if labels is not None and targets is not None:
        raise ValueError("expected labels (to leave) or targets (to reach), got both; pass one of them.")
    given = labels if targets is None else targets
    return Goal(choose_classes(network, images, given), targeted=targets is not None)


def score_examples(
    network: nn.Module, clean: Images, images: Images, goal: Goal, steps: Tensor | None = None
) -> AdversarialExamples:
    """Decide in float32 which images (N, C, H, W) reach the goal, as they are and rounded to 8 bits."""
    clean, images = check_input(network, clean), check_input(network, images)
    rounded = round_to_8_bits(images)
    logits = float32_logits(network, rounded)
    success = goal.is_reached(logits)
    # Most of those that a whole number of levels was added to are of 8 bits already.
    again = success & ((rounded - images).flatten(1).abs().amax(1) > 1e-6)
    if again.any():
        success[again] = goal[again].is_reached(float32_logits(network, images[again]))
    steps = torch.zeros(len(images), dtype=torch.long, device=images.device) if steps is None else steps
    return AdversarialExamples(clean, images, goal, success, logits.argmax(1), steps)
