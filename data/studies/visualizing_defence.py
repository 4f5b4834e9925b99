"""Chapter 2's defence: digit networks with and without adversarial training.

Three seeds of each; below them the training, and the attacks that judge it. Input is
not checked.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import datasets
from dlapps.adversarial import AdversarialExamples, Goal, pgd, score_examples
from dlapps.adversarial.digits import make_digit_network
from dlapps.adversarial.examples import (
    Ball,
    cross_entropy,
    make_goal,
    random_direction,
)
from dlapps.core import runtime
from dlapps.core.class_scores import Classes, forward, pick, pixel_gradient
from dlapps.core.images import as_pictures
from dlapps.core.training import make_one_cycle, minimise, run_epochs
from dlapps.core.weights import to_float16, write_checked
from labreport import results
from labreport.report import find_report
from studies.attack_methods import survives
from studies.runs import cached, nest
from studies.sweeps import sweep

SEEDS = (0, 1, 2)


class Training(NamedTuple):
    """The epsilon of a training, 0 for a plain one, and its epochs."""

    epsilon: float
    num_epochs: int


TRAININGS = {"robust": Training(0.3, 6), "plain": Training(0.0, 3)}
EPSILONS = (0.05, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4)
# Test digits of the curves, and of the accuracy at .3. They are taken at equal
# distances: the first digits are harder than the others.
NUM_CURVE = 250
NUM_JUDGED = 2500
NUM_QUERIES = 5000
BATCH_SIZE = 128
LEARNING_RATE = 5e-3
# Steps of PGD for each batch of the training.
TRAINING_STEPS = 4
# Share of the training in which epsilon rises to its value: with .3 from the start, a
# network learns nothing for long.
WARM_UP = 0.3
# APGD's alpha, the weight of a new step beside the last one, and rho, the share of
# steps that have to rise.
NEW_STEP = 0.75
RISING = 0.75
# After these shares of the queries a square has half the area (the authors' code, which
# counts them of 10,000).
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
# Share of the picture that the first squares cover.
AREA = 0.8


@functools.cache
def load_digits() -> tuple[Tensor, Tensor]:
    """Test digits (10000, 1, 28, 28) in [0, 1], and their labels."""
    test = datasets.load_mnist("test")
    return as_pictures(test.images), torch.from_numpy(test.labels)


def train(name: str, seed: int) -> nn.Module:
    """Train a network, or go on where it was stopped; four minutes on one core."""
    digits = datasets.load_mnist("train")
    epsilon, num_epochs = TRAININGS[name]
    checkpoint = find_report().cache / "defence" / f"{name} {seed}.pt"
    return fit_digits(
        digits.images, digits.labels, epsilon, num_epochs, seed, checkpoint
    )


def withstand(network: nn.Module, epsilon: float, number: int, seed: int) -> float:
    """Share of test digits that are still classified correctly after APGD and Square.

    They are attacked as floats within epsilon. Square needs no gradient, and attacks
    the digits that APGD has left: the worst of both counts for each digit.
    """
    images, labels = load_digits()
    images = images[:: len(images) // number]
    labels = labels[:: len(labels) // number]
    examples = apgd(
        network, images, epsilon, labels, num_steps=20, num_restarts=2, seed=seed
    )
    left = ~survives(network, examples, "floats")
    if left.any():
        with runtime.autocast("cpu"):
            examples = square(
                network,
                images[left],
                epsilon,
                labels[left],
                num_queries=NUM_QUERIES,
                seed=seed,
            )
        left[left.clone()] = ~survives(network, examples, "floats")
    return round(float(left.float().mean()), 4)


def measure(name: str, seed: int) -> dict[str, Any]:
    """The scores of one network."""
    network = train(name, seed)
    images, labels = load_digits()
    clean = float((network(images).argmax(1) == labels).float().mean())
    curve = [withstand(network, epsilon, NUM_CURVE, seed) for epsilon in EPSILONS]
    return {
        "clean": round(clean, 4),
        "accuracy": withstand(network, 0.3, NUM_JUDGED, seed),
        "curve": curve,
    }


def make_visualizing_defence() -> Path:
    """Measure both networks over seeds, write those of seed 0: an hour on one core."""
    calls = {}
    for seed in SEEDS:
        for name in TRAININGS:
            calls[name, seed] = cached(measure, name, seed)
    scores = dict(sweep(calls, "defence"))
    weights = {name: to_float16(train(name, 0)) for name in TRAININGS}
    write_checked(find_report().networks / "visualizing-defence.pt", weights)
    parts = {
        "epsilons": EPSILONS,
        "num_judged": NUM_JUDGED,
        "num_queries": NUM_QUERIES,
        "shares": ["clean", "accuracy", "curve"],
        "runs": nest({run: {"scores": scores[run]} for run in calls}),
    }
    return results.save("visualizing-defence", parts, SEEDS)


def fit_digits(
    images: np.ndarray,
    labels: np.ndarray,
    epsilon: float,
    num_epochs: int = 6,
    seed: int = 0,
    checkpoint: Path | None = None,
) -> nn.Module:
    """Adversarial training of Madry et al. (2018) on digits uint8 (N, 28, 28).

    It minimises, over the weights, the mean of max L(x + d, y) over ||d|| <= epsilon
    (eq. 2.1), in the maximum norm: the network is trained on what `pgd` makes of each
    batch. epsilon = 0 is plain training. The same seed gives the same network, in eval
    mode and without gradients.
    """
    digits = as_pictures(images)
    classes = torch.as_tensor(labels).long()
    with runtime.drawn_from(seed):
        network = make_digit_network()
    num_batches = -(-len(digits) // BATCH_SIZE)
    optimiser, schedule = make_one_cycle(
        {network: LEARNING_RATE}, 0.0, num_batches * num_epochs
    )

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, list[float]]:
        losses = []
        order = torch.randperm(len(digits), generator=generator)
        for number, rows in enumerate(order.split(BATCH_SIZE)):
            x = digits[rows]
            y = classes[rows]
            progress = (epoch + number / num_batches) / num_epochs
            radius = epsilon * min(1, progress / WARM_UP)
            start = int(torch.randint(2**31, (), generator=generator))
            with runtime.autocast("cpu"):
                if radius:
                    examples = pgd(
                        network, x, radius, y, num_steps=TRAINING_STEPS, seed=start
                    )
                    x = examples.images
                loss = F.cross_entropy(network(x).float(), y)
            minimise(loss, optimiser)
            schedule.step()
            losses.append(loss.item())
        return {"loss": [sum(losses) / len(losses)]}

    identity = {
        "data": digits,
        "labels": classes,
        "epsilon": epsilon,
        "num_steps": TRAINING_STEPS,
    }
    parts = {"optimiser": optimiser, "schedule": schedule}
    run_epochs(
        train_epoch,
        network,
        parts,
        identity,
        num_epochs,
        seed,
        checkpoint=checkpoint,
    )
    return network.requires_grad_(False)


def apgd(
    network: nn.Module,
    images: Tensor,
    epsilon: float,
    labels: Classes | None = None,
    num_steps: int = 100,
    num_restarts: int = 1,
    seed: int = 0,
) -> AdversarialExamples:
    """APGD (Croce & Hein 2020, Alg. 1): PGD with momentum and steps that it adapts.

    In the maximum norm. The first steps are 2 epsilon long; they are halved if the loss
    stops rising. The result is the picture of the highest loss, but one that reaches
    the goal (as floats) comes before one that does not. Pictures that no start has
    fooled yet get another start, num_restarts in all.
    """
    goal = make_goal(network, images, labels, None)
    adversarial = images.clone()
    highest = torch.full_like(images[:, 0, 0, 0], -torch.inf)
    left = torch.arange(len(images), device=images.device)
    for restart in range(num_restarts):
        ball = Ball(images[left], "linf", epsilon)
        best = _climb(network, ball, goal[left], num_steps, seed + restart)
        better = best.reached | (best.values > highest[left])
        adversarial[left[better]] = best.images[better]
        highest[left[better]] = best.values[better]
        left = left[~best.reached]
        if len(left) == 0:
            break
    return score_examples(network, images, adversarial, goal)


def choose_checkpoints(num_steps: int) -> list[int]:
    """The steps ceil(p_j N) at which step sizes may be halved.

    p_1 is .22; later ones lie closer and closer.
    """
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return [math.ceil(round(share, 6) * num_steps) for share in shares[1:-1]]


def _climb(
    network: nn.Module, ball: Ball, goal: Goal, num_steps: int, seed: int
) -> _Best:
    x = before = ball.nearest(ball.draw(seed))
    best = _Best(x)
    sizes = torch.full_like(x[:, :1, :1, :1], 2 * ball.radius)
    steps = StepSizes(sizes, num_steps)
    for step in range(num_steps + 1):
        gradients, logits = pixel_gradient(network, x, goal.classes, cross_entropy)
        values = cross_entropy(logits, goal.classes)
        best.update(x, gradients, values, goal.is_reached(logits))
        halved = _column(steps.update(step, values, best.values))
        x = torch.where(halved, best.images, x)
        gradients = torch.where(halved, best.gradients, gradients)
        ahead = ball.nearest(x + steps.sizes * gradients.sign())
        if step:
            moved = x + NEW_STEP * (ahead - x) + (1 - NEW_STEP) * (x - before)
            ahead = ball.nearest(moved)
        before = x
        x = ahead
    return best


class _Best:
    """The best pictures of one start, and the gradients there.

    values: their losses (N,). reached: whether they reach the goal (N,).
    """

    def __init__(self, x: Tensor) -> None:
        self.images = x
        self.gradients = torch.zeros_like(x)
        self.values = torch.full_like(x[:, 0, 0, 0], -torch.inf)
        self.reached = torch.zeros_like(self.values, dtype=torch.bool)

    def update(
        self, x: Tensor, gradients: Tensor, values: Tensor, reached: Tensor
    ) -> None:
        better = torch.where(reached == self.reached, values > self.values, reached)
        self.images = torch.where(_column(better), x, self.images)
        self.gradients = torch.where(_column(better), gradients, self.gradients)
        self.values = torch.where(better, values, self.values)
        self.reached = self.reached | reached


class StepSizes:
    """The length of each picture's next step, sizes (N, 1, 1, 1)."""

    def __init__(self, sizes: Tensor, num_steps: int) -> None:
        self.sizes = sizes
        self.checkpoints = choose_checkpoints(num_steps)
        self.last_checkpoint = 0
        self.rises = torch.zeros_like(sizes.flatten())
        self.last_values = self.last_best = torch.full_like(self.rises, torch.inf)
        self.halved = torch.ones_like(self.rises, dtype=torch.bool)

    def update(self, step: int, values: Tensor, best_values: Tensor) -> Tensor:
        """Halve sizes, if this step is a checkpoint; returns for which, bool (N,).

        They are halved if few steps rose, or if a size that was not halved at the last
        checkpoint found nothing better.
        """
        self.rises = self.rises + (values > self.last_values)
        self.last_values = values
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


def margin(logits: Tensor, goal: Goal) -> Tensor:
    """max over the other classes of S_i, minus S_c (N,), > 0 if another class wins.

    It is the f_6 of Carlini & Wagner (2017), section V.A, not cut off at 0.
    """
    others = logits.scatter(1, goal.classes[:, None], -torch.inf).amax(1)
    return others - pick(logits, goal.classes)


def square(
    network: nn.Module,
    images: Tensor,
    epsilon: float,
    labels: Classes | None = None,
    num_queries: int = 1000,
    seed: int = 0,
) -> AdversarialExamples:
    """Square attack (Andriushchenko et al. 2020) in the maximum norm.

    It starts from vertical stripes of +-epsilon, paints squares of +-epsilon at random
    places, and keeps those that raise the margin. It asks for scores, never for a
    gradient. A picture stops at its first success as floats.
    """
    goal = make_goal(network, images, labels, None)
    generator = runtime.make_generator(seed)
    stripes = random_direction(images[:, :, :1], "linf", seed).sign()
    candidates = (images + epsilon * stripes).clamp(0, 1)
    best = candidates.clone()
    margins = torch.full_like(images[:, 0, 0, 0], -torch.inf)
    left = torch.arange(len(images), device=images.device)
    for query in range(num_queries):
        new_margins = margin(forward(network, candidates), goal[left])
        better = new_margins > margins[left]
        best[left[better]] = candidates[better]
        margins[left[better]] = new_margins[better]
        left = left[margins[left] <= 0]
        if len(left) == 0:
            break
        num_halvings = sum(query >= share * num_queries for share in HALVINGS)
        area = AREA / 2**num_halvings
        candidates = _paint_square(best[left], images[left], epsilon, area, generator)
    ball = Ball(images, "linf", epsilon)
    return score_examples(network, images, ball.nearest(best), goal)


def _paint_square(
    best: Tensor, clean: Tensor, epsilon: float, area: float, generator: torch.Generator
) -> Tensor:
    """The best pictures with a square of the clean ones +-epsilon.

    It lies at one place in all of them, with a sign for each colour.
    """
    number, channels, height, width = clean.shape
    side = min(max(round(math.sqrt(area * height * width)), 1), height, width)

    def draw(limit: int, *shape: int) -> Tensor:
        return torch.randint(limit, shape, generator=generator, device="cpu")

    top = int(draw(height - side + 1))
    left = int(draw(width - side + 1))
    window = (..., slice(top, top + side), slice(left, left + side))
    signs = 2 * draw(2, number, channels, 1, 1) - 1
    painted = best.clone()
    painted[window] = (clean[window] + epsilon * signs.to(clean)).clamp(0, 1)
    return painted
