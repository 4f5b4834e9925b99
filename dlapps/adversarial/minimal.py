"""Attacks that look for the smallest change: in the maximum norm, in length, in number of pixels."""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import differential_evolution
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.adversarial.ascent import pgd
from dlapps.adversarial.examples import (
    AdversarialExamples,
    Goal,
    by_rows,
    cross_entropy,
    make_goal,
    round_to_8_bits,
    score_examples,
    survives,
)
from dlapps.adversarial.norms import normalise
from dlapps.core.class_scores import (
    Classes,
    Images,
    RowValues,
    check_input,
    check_range,
    float32,
    float32_logits,
    forward,
    pick,
    pixel_gradient,
)


def smallest_epsilon(
    network: nn.Module,
    images: Images,
    labels: Classes | None = None,
    targets: Classes | None = None,
    most: float = 16 / 255,
    num_rounds: int = 8,
    attack: Callable[..., AdversarialExamples] = pgd,
) -> Tensor:
    """The least epsilon (N,) at which an attack reaches the goal as floats, by bisection; inf where `most` does not.

    The bisection is one of logarithms, from most down to most / 256: after R rounds the factor between bounds is
    256^(1 / 2^R), 2 % by default. 0 where the goal is reached already. attack: takes the arguments of `pgd`; one whose
    steps are too coarse at `most` finds nothing below either.
    """
    check_counts(num_rounds=num_rounds)
    images = check_input(network, images)
    goal = make_goal(network, images, labels, targets)
    name = "targets" if goal.targeted else "labels"
    rows = (~goal.is_reached(float32_logits(network, images))).nonzero()[:, 0]
    high = torch.zeros_like(images[:, 0, 0, 0])
    low = torch.full_like(images[:, 0, 0, 0], most / 256)
    high[rows] = most
    for trial in range(num_rounds + 1):
        # The first trial is at the upper bound; a picture that withstands it is left alone.
        radii = (low * high).sqrt()[rows] if trial else high[rows]
        if not len(rows):
            break
        examples = attack(network, images[rows], radii, **{name: goal.classes[rows]})
        fooled = survives(network, examples, "none")
        high[rows[fooled]], low[rows[~fooled]] = radii[fooled], radii[~fooled]
        if not trial:
            high[rows[~fooled]], rows = torch.inf, rows[fooled]
    return high


def ddn(
    network: nn.Module,
    images: Images,
    labels: Classes | None = None,
    targets: Classes | None = None,
    num_steps: int = 100,
    gamma: float = 0.05,
) -> AdversarialExamples:
    """The shortest change found by decoupling direction and norm (Rony et al. 2019, Algorithm 1).

    Steps up the cross-entropy by the normalised gradient (their length falls from 1 to .01 by a cosine), each put on a
    sphere whose radius, 1 at first, shrinks by 1 - gamma where the goal is reached and grows by 1 + gamma where not.
    Kept is the shortest change that reaches it as floats; the clean picture where none does. Always in float32.
    """
    check_counts(num_steps=num_steps)
    if not 0 < gamma < 1:
        raise ValueError(f"expected gamma in (0, 1), got {gamma}; change it.")
    images = check_input(network, images)
    goal = make_goal(network, images, labels, targets)
    x, best, shortest = images, images, torch.full_like(images[:, :1, :1, :1], torch.inf)
    radii = torch.ones_like(shortest)
    for step in range(num_steps):
        with float32(images):
            gradient, logits = pixel_gradient(network, x, by_rows(cross_entropy, goal))
        reached = goal.is_reached(logits).view(-1, 1, 1, 1)
        length = (x - images).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        better = reached & (length < shortest)
        best, shortest = torch.where(better, x, best), torch.where(better, length, shortest)
        radii = radii * torch.where(reached, 1 - gamma, 1 + gamma)
        step_size = 0.01 + 0.99 * (1 + math.cos(math.pi * step / num_steps)) / 2
        change = x + step_size * normalise(gradient, "l2") - images
        x = (images + radii * normalise(change, "l2")).clamp(0, 1)
    return score_examples(network, images, best, goal)


def deep_fool(
    network: nn.Module,
    images: Images,
    labels: Classes | None = None,
    overshoot: float = 0.02,
    num_steps: int = 50,
    num_candidates: int = 9,
) -> AdversarialExamples:
    """Step onto the nearest of the boundaries with the strongest rivals, as if they were planes, until one is crossed.

    r = |f| / ||w||_2^2 w, with f = S_label - S_rival and w = d (S_rival - S_label) / d x, for the rival with the least
    |f| / ||w||_2; the picture is x + (1 + overshoot) sum of r (Moosavi-Dezfooli, Fawzi & Frossard 2016). To |f| are
    added 1e-4, so that a step taken on a boundary leaves it; the authors' code adds them to |f| / ||w||_2.
    num_candidates: rivals, K - 1 at most. Stops, as in the paper, at the first success in floats, which rounding to 8
    bits mostly undoes: see `survives(…, "none")` beside `success`. Always in float32: bfloat16 is coarser than the
    distance to a boundary.
    """
    check_counts(num_steps=num_steps, num_candidates=num_candidates)
    if not 0 <= overshoot < float("inf"):
        raise ValueError(f"expected a finite overshoot >= 0, got {overshoot}; change it.")
    images = check_input(network, images)
    goal = make_goal(network, images, labels, None)
    logits = float32_logits(network, images)
    check_range(goal.classes, logits)
    others = logits.scatter(1, goal.classes[:, None], -torch.inf)
    rivals = others.topk(min(num_candidates, logits.shape[1] - 1)).indices
    total, active = torch.zeros_like(images), torch.arange(len(images), device=images.device)
    steps = torch.full((len(images),), num_steps, device=images.device)
    for step in range(num_steps):
        moved = (images + (1 + overshoot) * total).clamp(0, 1)
        logits = float32_logits(network, moved[active])
        done = goal[active].is_reached(logits)
        steps[active[done]] = step
        active = active[~done]
        if len(active) == 0:
            break
        total[active] += _to_nearest_boundary(network, moved[active], goal[active], rivals[active])
    moved = (images + (1 + overshoot) * total).clamp(0, 1)
    return score_examples(network, images, moved, goal, steps)


def _to_nearest_boundary(network: nn.Module, images: Tensor, goal: Goal, rivals: Tensor) -> Tensor:
    """The shortest step (N, C, H, W) to a boundary with one of the rivals (N, R), were they planes."""
    nearest = torch.full((len(images),), torch.inf, device=images.device)
    best = torch.zeros_like(images)
    for rival in rivals.T:
        with float32(images):
            gradient, logits = pixel_gradient(network, images, _lead(rival, goal.classes))
        gap = (pick(logits, goal.classes) - pick(logits, rival)).abs() + 1e-4
        length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
        closer = gap / length < nearest
        nearest = torch.where(closer, gap / length, nearest)
        step = (gap / length.square()).view(-1, 1, 1, 1) * gradient
        best = torch.where(closer.view(-1, 1, 1, 1), step, best)
    return best


def _lead(rivals: Tensor, classes: Tensor) -> RowValues:
    """How far the logit of a rival is above that of the class, both (N,)."""
    return lambda logits, rows: pick(logits, rivals[rows]) - pick(logits, classes[rows])


def one_pixel(
    network: nn.Module,
    images: Images,
    labels: Classes | None = None,
    targets: Classes | None = None,
    num_pixels: int = 1,
    num_steps: int = 30,
    population: int = 50,
    seed: int = 0,
) -> AdversarialExamples:
    """Change the colour of num_pixels pixels, found by differential evolution (Su, Vargas & Sakurai 2019).

    No gradient: num_steps generations of `population` candidates (row, column, a value for each channel), the
    picture's probability the only answer. The paper takes 400 candidates and 100 generations.
    """
    check_counts(num_steps=num_steps, num_pixels=num_pixels)
    images = check_input(network, images)
    goal = make_goal(network, images, labels, targets)
    found = images.clone()
    steps = torch.zeros(len(images), dtype=torch.long, device=images.device)
    # Else it is an index error of the search.
    check_range(goal.classes, float32_logits(network, images[:1]))
    for number, image in enumerate(images):
        one = goal[number : number + 1]
        found[number], steps[number] = _evolve(network, image, one, num_pixels, num_steps, population, seed)
    return score_examples(network, images, found, goal, steps)


def _evolve(
    network: nn.Module, image: Tensor, goal: Goal, num_pixels: int, num_steps: int, population: int, seed: int
) -> tuple[Tensor, int]:
    """The picture (C, H, W) at the end, and the number of generations."""
    sign = -1 if goal.targeted else 1

    def cost(solutions: np.ndarray) -> np.ndarray:
        logits = forward(network, _paint(image, solutions.T))
        return sign * logits.softmax(1)[:, goal.classes[0]].cpu().double().numpy()

    def is_done(solution: np.ndarray, convergence: float) -> bool:
        return bool(goal.is_reached(float32_logits(network, _paint(image, solution[None]))))

    bounds = [(0, side - 1e-3) for side in image.shape[1:]] + [(0, 1)] * len(image)
    generator = np.random.default_rng(seed)
    lowest, highest = np.transpose(bounds * num_pixels)
    first = generator.uniform(lowest, highest, size=(max(population, 5), len(lowest)))
    best = differential_evolution(
        cost, bounds * num_pixels, maxiter=num_steps, init=first, vectorized=True, updating="deferred", tol=0,
        polish=False, recombination=1, seed=generator, callback=is_done,
    )  # fmt: skip
    return _paint(image, best.x[None])[0], best.nit


def _paint(image: Tensor, solutions: np.ndarray) -> Tensor:
    """Copies (S, C, H, W) of an image, each with its pixels (S, (2 + C) P) painted, in colours of 8 bits."""
    pixels = torch.tensor(solutions, dtype=image.dtype, device=image.device).unflatten(1, (-1, 2 + len(image)))
    rows, columns = pixels[..., 0].long(), pixels[..., 1].long()
    copies = image.repeat(len(solutions), 1, 1, 1)
    numbers = torch.arange(len(copies), device=image.device)[:, None]
    copies[numbers, :, rows, columns] = round_to_8_bits(pixels[..., 2:])
    return copies
