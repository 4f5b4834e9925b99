"""Chapter 2's defence: digits read by networks with and without adversarial training,
three seeds of each.

Below it the training and the attacks that judge it; wrong input is not looked for.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import datasets
from dlapps.adversarial import AdversarialExamples, Goal, pgd, score_examples
from dlapps.adversarial.digits import make_digit_network
from dlapps.adversarial.examples import (
    Ball,
    by_rows,
    cross_entropy,
    make_goal,
    random_direction,
)
from dlapps.core import runtime
from dlapps.core.class_scores import Classes, forward, pick, pixel_gradient
from dlapps.core.images import as_pictures
from dlapps.core.training import (
    make_one_cycle,
    minimise,
    run_epochs,
    seeded,
    to_float16,
    write_checked,
)
from labreport import paths, results
from labreport.sweeps import sweep
from studies.attack_methods import linf_ball, survives
from studies.runs import cached, nest

SEEDS = (0, 1, 2)
# The epsilon of the training, and its epochs; plain training needs fewer.
TRAININGS = {"robust": (0.3, 6), "plain": (0.0, 3)}
# Test digits of the curves, and of the accuracy at .3, each so many apart: the first
# ones are harder than the others.
EPSILONS = (0.05, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4)
NUM_CURVE, NUM_JUDGED, NUM_QUERIES = 250, 2500, 5000
BATCH_SIZE, LEARNING_RATE = 128, 5e-3
# Steps of PGD for each batch of the training.
TRAINING_STEPS = 4
# Share of the training in which epsilon rises to its value: from the start at .3, a
# network learns nothing for long.
WARM_UP = 0.3
# The paper's alpha, the weight of a new step beside the last one, and rho, the share of
# steps that have to rise.
NEW_STEP, RISING = 0.75, 0.75
# After these shares of the queries a square has half the area (the authors' code, where
# they are counted of 10,000).
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
# Share of the picture that the first squares cover.
AREA = 0.8


@functools.cache
def load_digits() -> tuple[Tensor, Tensor]:
    """Test digits (10000, 1, 28, 28) in [0, 1], and their labels."""
    test = datasets.load_mnist("test")
    return as_pictures(test.images), torch.from_numpy(test.labels)


def train(name: str, seed: int) -> nn.Module:
    """One training, taken up where it was stopped; four minutes on one core."""
    digits, (epsilon, num_epochs) = datasets.load_mnist("train"), TRAININGS[name]
    checkpoint = paths.cache() / "defence" / f"{name} {seed}.pt"
    return fit_digits(
        digits.images, digits.labels, epsilon, num_epochs, seed, checkpoint
    )


def withstand(network: nn.Module, epsilon: float, number: int, seed: int) -> float:
    """Share of test digits still read as labelled, as floats within epsilon, after APGD
    and Square.

    The second needs no gradient and attacks the digits that the first has left: the
    worst of both for each digit.
    """
    images, labels = (part[:: len(part) // number] for part in load_digits())
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
    """What one network withstands."""
    network, (images, labels) = train(name, seed), load_digits()
    clean = float((network(images).argmax(1) == labels).float().mean())
    curve = [withstand(network, epsilon, NUM_CURVE, seed) for epsilon in EPSILONS]
    return {
        "clean": round(clean, 4),
        "accuracy": withstand(network, 0.3, NUM_JUDGED, seed),
        "curve": curve,
    }


def make_visualizing_defence() -> Path:
    """Both networks over seeds, and the weights of the first; an hour on one core."""
    calls = {
        (name, seed): cached(measure, name, seed)
        for seed in SEEDS
        for name in TRAININGS
    }
    found = dict(sweep(calls, "defence"))
    runs = nest({run: {"scores": found[run]} for run in calls})
    shares = ["clean", "accuracy", "curve"]
    weights = {name: to_float16(train(name, 0)) for name in TRAININGS}
    write_checked(paths.networks() / "visualizing-defence.pt", weights)
    settings = {
        "epsilons": EPSILONS,
        "num_judged": NUM_JUDGED,
        "num_queries": NUM_QUERIES,
    }
    return results.save(
        "visualizing-defence", settings | {"shares": shares, "runs": runs}, SEEDS
    )


def fit_digits(
    images: np.ndarray,
    labels: np.ndarray,
    epsilon: float,
    num_epochs: int = 6,
    seed: int = 0,
    checkpoint: Path | None = None,
) -> nn.Module:
    """min over weights of E[max over ||d|| <= epsilon of L(x + d, y)] (Madry et al.
    2018, eq. 2.1), L-infinity.

    Of digits uint8 (N, 28, 28) and labels (N,): a network trained on what `pgd` makes
    of each batch, in eval mode without gradients. epsilon: 0 is plain training. The
    same seed gives the same network.
    """
    digits, classes = as_pictures(images), torch.as_tensor(labels).long()
    with runtime.drawn_from(seed):
        network = make_digit_network()
    num_batches = -(-len(digits) // BATCH_SIZE)
    optimiser, schedule = make_one_cycle(
        {network: LEARNING_RATE}, 0.0, num_batches * num_epochs
    )

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, list[float]]:
        losses = []
        for number, rows in enumerate(
            torch.randperm(len(digits), generator=generator).split(BATCH_SIZE)
        ):
            x, y = digits[rows], classes[rows]
            radius = epsilon * min(
                1, (epoch + number / num_batches) / num_epochs / WARM_UP
            )
            start = int(torch.randint(2**31, (), generator=generator))
            with runtime.autocast("cpu"):
                if radius:
                    x = pgd(
                        network, x, radius, y, num_steps=TRAINING_STEPS, seed=start
                    ).images
                loss = F.cross_entropy(network(x).float(), y)
            minimise(loss, optimiser)
            schedule.step()
            losses.append(loss.item())
        return {"loss": [sum(losses) / len(losses)]}

    identity: dict[str, Any] = {"data": digits, "labels": classes, "epsilon": epsilon}
    identity |= {"num_steps": TRAINING_STEPS, "seed": seed, "num_epochs": num_epochs}
    parts, train = (
        {"optimiser": optimiser, "schedule": schedule},
        seeded(train_epoch, seed),
    )
    run_epochs(train, network, parts, identity, num_epochs, checkpoint=checkpoint)
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
    """PGD with momentum, its step 2 epsilon at first, halved where the loss stops
    rising (Croce & Hein 2020, Alg. 1).

    In the maximum norm. The result is the picture of the highest loss seen, but one
    that reaches the goal (as floats) before one that does not. Pictures that no start
    has fooled yet get another one, num_restarts in all.
    """
    goal = make_goal(network, images, labels, None)
    found, left = images.clone(), torch.arange(len(images), device=images.device)
    highest = torch.full_like(images[:, 0, 0, 0], -torch.inf)
    for restart in range(num_restarts):
        best = _climb(
            network,
            linf_ball(images[left], epsilon),
            goal[left],
            num_steps,
            seed + restart,
        )
        better = best.reached | (best.values > highest[left])
        found[left[better]], highest[left[better]] = (
            best.images[better],
            best.values[better],
        )
        left = left[~best.reached]
        if len(left) == 0:
            break
    return score_examples(
        network, images, linf_ball(images, epsilon).settle(found), goal
    )


def choose_checkpoints(num_steps: int) -> list[int]:
    """The steps ceil(p_j N) at which step sizes may be halved: p is .22 at first, later
    ones lie closer and closer.
    """
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return [math.ceil(round(share, 6) * num_steps) for share in shares[1:-1]]


def _climb(
    network: nn.Module, ball: Ball, goal: Goal, num_steps: int, seed: int
) -> _Best:
    x = before = ball.nearest(ball.draw(seed))
    best, steps = _Best(x), StepSizes(2 * ball.radii, num_steps)
    for step in range(num_steps + 1):
        gradients, logits = pixel_gradient(network, x, by_rows(cross_entropy, goal))
        values = cross_entropy(logits, goal)
        best.update(x, gradients, values, goal.is_reached(logits))
        halved = _column(steps.update(step, values, best.values))
        x = torch.where(halved, best.images, x)
        gradients = torch.where(halved, best.gradients, gradients)
        ahead = ball.nearest(x + steps.sizes * gradients.sign())
        if step:
            ahead = ball.nearest(
                x + NEW_STEP * (ahead - x) + (1 - NEW_STEP) * (x - before)
            )
        x, before = ahead, x
    return best


class _Best:
    """The best pictures of one start: their losses (N,), whether they reach the goal
    (N,), and the gradients there.
    """

    def __init__(self, x: Tensor) -> None:
        self.images, self.gradients = x, torch.zeros_like(x)
        self.values = torch.full_like(x[:, 0, 0, 0], -torch.inf)
        self.reached = torch.zeros_like(self.values, dtype=torch.bool)

    def update(
        self, x: Tensor, gradients: Tensor, values: Tensor, reached: Tensor
    ) -> None:
        better = torch.where(reached == self.reached, values > self.values, reached)
        self.images = torch.where(_column(better), x, self.images)
        self.gradients = torch.where(_column(better), gradients, self.gradients)
        self.values, self.reached = (
            torch.where(better, values, self.values),
            self.reached | reached,
        )


class StepSizes:
    """The length of each picture's next step, sizes (N, 1, 1, 1), and what its halving
    depends on.
    """

    def __init__(self, sizes: Tensor, num_steps: int) -> None:
        self.sizes, self.checkpoints, self.last_checkpoint = (
            sizes,
            choose_checkpoints(num_steps),
            0,
        )
        self.rises = torch.zeros_like(sizes.flatten())
        self.last_values = self.last_best = torch.full_like(self.rises, torch.inf)
        self.halved = torch.ones_like(self.rises, dtype=torch.bool)

    def update(self, step: int, values: Tensor, best_values: Tensor) -> Tensor:
        """Halve at a checkpoint where few steps rose, or a size that was not halved
        found nothing better; bool (N,).
        """
        self.rises, self.last_values = self.rises + (values > self.last_values), values
        if step not in self.checkpoints:
            return torch.zeros_like(self.halved)
        few = self.rises < RISING * (step - self.last_checkpoint)
        self.halved = few | (~self.halved & (best_values == self.last_best))
        self.sizes = torch.where(_column(self.halved), self.sizes / 2, self.sizes)
        self.rises = torch.zeros_like(self.rises)
        self.last_best, self.last_checkpoint = best_values, step
        return self.halved


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def margin(logits: Tensor, goal: Goal) -> Tensor:
    """max over the other classes of S_i, less S_c (N,): > 0 where another class than
    the label wins.

    The f_6 of Carlini & Wagner (2017), section V.A, not cut off at 0.
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
    """Squares of +-epsilon at random places, those that raise the margin
    (Andriushchenko et al. 2020), L-infinity.

    Starts from vertical stripes of +-epsilon. It asks for scores alone, never for a
    gradient. A picture stops at its first success as floats.
    """
    ball, goal = linf_ball(images, epsilon), make_goal(network, images, labels, None)
    generator = runtime.make_generator(seed)
    tried = (
        images + ball.radii * random_direction(images[:, :, :1], "linf", seed).sign()
    ).clamp(0, 1)
    best, margins = tried.clone(), torch.full_like(images[:, 0, 0, 0], -torch.inf)
    left = torch.arange(len(images), device=images.device)
    for query in range(num_queries):
        found = margin(forward(network, tried), goal[left])
        better = found > margins[left]
        best[left[better]], margins[left[better]] = tried[better], found[better]
        left = left[margins[left] <= 0]
        if len(left) == 0:
            break
        share = AREA / 2 ** sum(query >= halving * num_queries for halving in HALVINGS)
        tried = _paint_square(
            best[left], images[left], ball.radii[left], share, generator
        )
    return score_examples(network, images, ball.settle(best), goal)


def _paint_square(
    best: Tensor, clean: Tensor, radii: Tensor, area: float, generator: torch.Generator
) -> Tensor:
    """The best pictures with a square, at one place for all, of the clean ones
    +-epsilon, a sign a colour.
    """
    number, channels, height, width = clean.shape
    side = min(max(round(math.sqrt(area * height * width)), 1), height, width)
    top, start = (
        int(torch.randint(size - side + 1, (), generator=generator, device="cpu"))
        for size in (height, width)
    )
    window = (
        slice(None),
        slice(None),
        slice(top, top + side),
        slice(start, start + side),
    )
    signs = (
        2
        * torch.randint(2, (number, channels, 1, 1), generator=generator, device="cpu")
        - 1
    )
    painted = best.clone()
    painted[window] = (clean[window] + radii * signs.to(clean)).clamp(0, 1)
    return painted
