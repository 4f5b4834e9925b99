"""Attacks that look for the smallest change: in the maximum norm, in length, in number of pixels."""

import torch
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.adversarial.examples import (
    AdversarialExamples,
    Goal,
    make_goal,
    score_examples,
)
from dlapps.core.class_scores import (
    Classes,
    Images,
    RowValues,
    check_input,
    check_range,
    float32,
    float32_logits,
    pick,
    pixel_gradient,
)


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
