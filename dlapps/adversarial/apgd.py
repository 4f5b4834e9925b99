"""Auto-PGD: projected gradient ascent that chooses its own steps, so that no defence is judged by a badly tuned one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.adversarial.examples import (
    AdversarialExamples,
    Goal,
    Loss,
    by_rows,
    cross_entropy,
    make_goal,
    score_examples,
)
from dlapps.adversarial.norms import Ball, PerPicture, as_lengths, normalise
from dlapps.core.class_scores import Classes, Images, check_input, pixel_gradient

# The paper's alpha, the weight of a new step beside the last one, and rho, the share of steps that have to rise.
NEW_STEP, RISING = 0.75, 0.75


def apgd(
    network: nn.Module,
    images: Images,
    epsilon: PerPicture,
    labels: Classes | None = None,
    targets: Classes | None = None,
    norm: str = "linf",
    num_steps: int = 100,
    num_restarts: int = 1,
    seed: int = 0,
    loss: Loss = cross_entropy,
) -> AdversarialExamples:
    """PGD with momentum, its step 2 epsilon at first, halved where the loss stops rising (Croce & Hein 2020, Alg. 1).

    Arguments as in `pgd`. Kept is the picture of the highest loss seen, but one that reaches the goal (as floats)
    before one that does not. Pictures that no start has fooled yet get another one, num_restarts in all.
    """
    check_counts(num_steps=num_steps, num_restarts=num_restarts)
    images = check_input(network, images)
    radii = as_lengths("epsilon", epsilon, images, 1.0 if norm == "linf" else None)
    goal = make_goal(network, images, labels, targets)
    found, left = images.clone(), torch.arange(len(images), device=images.device)
    highest = torch.full_like(images[:, 0, 0, 0], -torch.inf)
    for restart in range(num_restarts):
        ball = Ball(images[left], norm, radii[left.cpu()])
        best = _climb(network, ball, goal[left], loss, num_steps, seed + restart)
        better = best.reached | (best.values > highest[left])
        found[left[better]], highest[left[better]] = best.images[better], best.values[better]
        left = left[~best.reached]
        if len(left) == 0:
            break
    return score_examples(network, images, Ball(images, norm, radii).settle(found), goal)


def choose_checkpoints(num_steps: int) -> list[int]:
    """The steps ceil(p_j N) at which step sizes may be halved: p is .22 at first, later ones lie closer and closer."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return [math.ceil(round(share, 6) * num_steps) for share in shares[1:-1]]


def _climb(network: nn.Module, ball: Ball, goal: Goal, loss: Loss, num_steps: int, seed: int) -> _Best:
    x = before = ball.nearest(ball.draw(seed))
    best, steps = _Best(x), _StepSizes(2 * ball.radii, num_steps)
    for step in range(num_steps + 1):
        gradients, logits = pixel_gradient(network, x, by_rows(loss, goal))
        values = loss(logits, goal)
        best.update(x, gradients, values, goal.is_reached(logits))
        halved = _column(steps.update(step, values, best.values))
        x = torch.where(halved, best.images, x)
        gradients = torch.where(halved, best.gradients, gradients)
        ahead = ball.nearest(x + steps.sizes * normalise(gradients, ball.norm))
        if step:
            ahead = ball.nearest(x + NEW_STEP * (ahead - x) + (1 - NEW_STEP) * (x - before))
        x, before = ahead, x
    return best


class _Best:
    """The best pictures of one start: their losses (N,), whether they reach the goal (N,), and the gradients there."""

    def __init__(self, x: Tensor) -> None:
        self.images, self.gradients = x, torch.zeros_like(x)
        self.values = torch.full_like(x[:, 0, 0, 0], -torch.inf)
        self.reached = torch.zeros_like(self.values, dtype=torch.bool)

    def update(self, x: Tensor, gradients: Tensor, values: Tensor, reached: Tensor) -> None:
        better = torch.where(reached == self.reached, values > self.values, reached)
        self.images = torch.where(_column(better), x, self.images)
        self.gradients = torch.where(_column(better), gradients, self.gradients)
        self.values, self.reached = torch.where(better, values, self.values), self.reached | reached


class _StepSizes:
    """The length of each picture's next step, sizes (N, 1, 1, 1), and what its halving depends on."""

    def __init__(self, sizes: Tensor, num_steps: int) -> None:
        self.sizes, self.checkpoints, self.last_checkpoint = sizes, choose_checkpoints(num_steps), 0
        self.rises = torch.zeros_like(sizes.flatten())
        self.last_values = self.last_best = torch.full_like(self.rises, torch.inf)
        self.halved = torch.ones_like(self.rises, dtype=torch.bool)

    def update(self, step: int, values: Tensor, best_values: Tensor) -> Tensor:
        """Halve at a checkpoint where few steps rose, or a size that was kept found nothing better; bool (N,)."""
        self.rises, self.last_values = self.rises + (values > self.last_values), values
        if step not in self.checkpoints:
            return torch.zeros_like(self.halved)
        few = self.rises < RISING * (step - self.last_checkpoint)
        self.halved = few | (~self.halved & (best_values == self.last_best))
        self.sizes = torch.where(_column(self.halved), self.sizes / 2, self.sizes)
        self.rises = torch.zeros_like(self.rises)
        self.last_best = best_values
        self.last_checkpoint = step
        return self.halved


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
