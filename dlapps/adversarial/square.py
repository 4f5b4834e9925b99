"""The Square attack: a random search that asks a network for its scores alone, never for a gradient."""

import math

import torch
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.adversarial.examples import AdversarialExamples, make_goal, margin, score_examples
from dlapps.adversarial.norms import Ball, PerPicture, as_lengths, random_direction
from dlapps.core.class_scores import Classes, Images, check_input, forward
from dlapps.core.runtime import make_generator

# After these shares of the queries a square has half the area (the authors' code, where they are counted of 10,000).
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def square(
    network: nn.Module,
    images: Images,
    epsilon: PerPicture,
    labels: Classes | None = None,
    targets: Classes | None = None,
    num_queries: int = 1000,
    area: float = 0.8,
    seed: int = 0,
) -> AdversarialExamples:
    """Squares of +-epsilon at random places, kept where they raise the margin (Andriushchenko et al. 2020), L-infinity.

    Starts from vertical stripes of +-epsilon. area: share of the picture that the first squares cover (p in section
    3.2), halved nine times. A picture stops at its first success as floats; steps (N,): its queries.
    """
    check_counts(num_queries=num_queries)
    if not 0 < area <= 1:
        raise ValueError(f"expected an area in (0, 1], the share of a picture, got {area}; change it.")
    images = check_input(network, images)
    ball = Ball(images, "linf", as_lengths("epsilon", epsilon, images, 1.0))
    goal, generator = make_goal(network, images, labels, targets), make_generator(seed)
    tried = (images + ball.radii * random_direction(images[:, :, :1], "linf", seed).sign()).clamp(0, 1)
    best, margins = tried.clone(), torch.full_like(images[:, 0, 0, 0], -torch.inf)
    left = torch.arange(len(images), device=images.device)
    steps = torch.full_like(left, num_queries)
    for query in range(num_queries):
        found = margin(forward(network, tried), goal[left])
        better = found > margins[left]
        best[left[better]], margins[left[better]] = tried[better], found[better]
        steps[left[margins[left] > 0]] = query + 1
        left = left[margins[left] <= 0]
        if len(left) == 0:
            break
        share = area / 2 ** sum(query >= halving * num_queries for halving in HALVINGS)
        tried = _paint_square(best[left], images[left], ball.radii[left], share, generator)
    return score_examples(network, images, ball.settle(best), goal, steps)


def _paint_square(best: Tensor, clean: Tensor, radii: Tensor, area: float, generator: torch.Generator) -> Tensor:
    """The best pictures with a square, at one place for all, of the clean ones +-epsilon, a sign a colour."""
    number, channels, height, width = clean.shape
    side = min(max(round(math.sqrt(area * height * width)), 1), height, width)
    top, start = (
        int(torch.randint(size - side + 1, (), generator=generator, device="cpu")) for size in (height, width)
    )
    window = (slice(None), slice(None), slice(top, top + side), slice(start, start + side))
    signs = 2 * torch.randint(2, (number, channels, 1, 1), generator=generator, device="cpu") - 1
    painted = best.clone()
    painted[window] = (clean[window] + radii * signs.to(clean)).clamp(0, 1)
    return painted
