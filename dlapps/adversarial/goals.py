"""What an attack is after, and the losses that it can raise to get there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlapps.class_scores import Classes, Images, check_input, choose_classes, pick


@dataclass(frozen=True)
class Goal:
    """What an attack is after: classes (N,) to reach (targeted), or to be read as no longer."""

    classes: Tensor
    targeted: bool

    def __getitem__(self, rows: slice | Tensor) -> Goal:
        return Goal(self.classes[rows], self.targeted)

    def is_reached(self, logits: Tensor) -> Tensor:
        """bool (N,) from logits (N, K)."""
        return (logits.argmax(1) == self.classes) == self.targeted

    def confidence(self, logits: Tensor) -> Tensor:
        """Probability (N,) of the classes."""
        return pick(logits.softmax(1), self.classes)


# (logits (N, K), goal) -> (N,), what an attack raises.
Loss = Callable[[Tensor, Goal], Tensor]


def cross_entropy(logits: Tensor, goal: Goal) -> Tensor:
    """-log of the probability (N,) of the goal's classes, negative where they are targets."""
    entropy = logits.logsumexp(1) - pick(logits, goal.classes)
    return -entropy if goal.targeted else entropy


def margin(logits: Tensor, goal: Goal) -> Tensor:
    """max over the other classes of S_i, less S_c (N,), its negative for targets: > 0 where the goal is reached.

    The f_6 of Carlini & Wagner (2017), section V.A, not cut off at 0. Unlike the cross-entropy, its gradient does not
    vanish where a network is certain.
    """
    own = pick(logits, goal.classes)
    others = logits.scatter(1, goal.classes[:, None], -torch.inf).amax(1)
    return own - others if goal.targeted else others - own


def make_goal(network: nn.Module, images: Images, labels: Classes | None, targets: Classes | None) -> Goal:
    """Towards the targets if given, else away from the labels, else away from the predicted classes."""
    images = check_input(network, images)
    if labels is not None and targets is not None:
        raise ValueError("expected labels (to leave) or targets (to reach), got both; pass one of them.")
    given = labels if targets is None else targets
    return Goal(choose_classes(network, images, given), targeted=targets is not None)
