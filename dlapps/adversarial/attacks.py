"""Attacks: up the target's score until it wins, and up a loss within a ball."""

import torch
from torch import Tensor, nn

from dlapps import check_counts, check_positive
from dlapps.adversarial.examples import (
    AdversarialExamples,
    Ball,
    Goal,
    PerPicture,
    as_lengths,
    by_rows,
    cross_entropy,
    make_goal,
    normalise,
    round_to_8_bits,
    score_examples,
)
from dlapps.core.class_scores import (
    Classes,
    Images,
    check_input,
    float32_logits,
    pick,
    pixel_gradient,
)
from dlapps.core.runtime import Bar

# The practical steps by eta = 1 in units of (pixel - mean) / std; this is the mean std
# of the three colours.
PRACTICAL_STEP = 0.226


def fool(
    network: nn.Module,
    images: Images,
    targets: Classes,
    step_size: float = PRACTICAL_STEP,
    num_steps: int = 100,
) -> AdversarialExamples:
    """x <- x + eta g / ||g||_2 with g = d S_target / d x, until the target wins
    (practical; Szegedy et al. 2014).

    step_size: eta, the length of a step in pixel units. The practical's eta = 1 is in
    units of (pixel - mean) / std; a step along z = (x - m) / s of length 1 is one of
    length s, about .226, along x. A picture stops once the target wins on its 8-bit
    rounding too: of those that stop at the first success, some are lost when saved.
    """
    check_counts(num_steps=num_steps)
    check_positive(step_size=step_size)
    if targets is None:
        raise ValueError(
            "expected targets, the classes that are to win, got None; name one for each image."
        )
    images = check_input(network, images)
    goal = make_goal(network, images, None, targets)
    x, active = images.clone(), torch.arange(len(images), device=images.device)
    steps = torch.full_like(active, num_steps)
    for step in Bar(range(num_steps), "steps"):
        todo = goal[active]
        gradient, logits = pixel_gradient(
            network, x[active], by_rows(_target_score, todo)
        )
        done = _is_done(network, x[active], logits, todo)
        steps[active[done]] = step
        active, gradient = active[~done], gradient[~done]
        if len(active) == 0:
            break
        x[active] = (x[active] + step_size * normalise(gradient, "l2")).clamp_(0, 1)
    return score_examples(network, images, x, goal, steps)


def _target_score(logits: Tensor, goal: Goal) -> Tensor:
    return pick(logits, goal.classes)


def _is_done(network: nn.Module, images: Tensor, logits: Tensor, goal: Goal) -> Tensor:
    """Whether the goal is reached, and still is after rounding; only what seems done is
    read again.
    """
    done = goal.is_reached(logits)
    if done.any():
        rounded = round_to_8_bits(images[done])
        done[done.clone()] = goal[done].is_reached(float32_logits(network, rounded))
    return done


def fgsm(
    network: nn.Module,
    images: Images,
    epsilon: PerPicture,
    labels: Classes | None = None,
    targets: Classes | None = None,
) -> AdversarialExamples:
    """x + epsilon sign(d loss / d x), loss the cross-entropy (Goodfellow, Shlens &
    Szegedy 2015).
    """
    return pgd(
        network,
        images,
        epsilon,
        labels,
        targets,
        num_steps=1,
        step_size=epsilon,
        random_start=False,
    )


def pgd(
    network: nn.Module,
    images: Images,
    epsilon: PerPicture,
    labels: Classes | None = None,
    targets: Classes | None = None,
    norm: str = "linf",
    num_steps: int = 10,
    step_size: PerPicture | None = None,
    random_start: bool = True,
    seed: int = 0,
) -> AdversarialExamples:
    """Steps up the cross-entropy, each projected back to ||x' - x|| <= epsilon (Madry
    et al. 2018).

    epsilon: a number or one a picture; at most 1 in "linf". norm: "linf" or "l2".
    step_size: 2.5 epsilon / num_steps by default, as in the paper. random_start: begin
    anywhere in the ball.
    """
    check_counts(num_steps=num_steps)
    images = check_input(network, images)
    radii = as_lengths("epsilon", epsilon, images, 1.0 if norm == "linf" else None)
    steps = (
        2.5 * radii / num_steps
        if step_size is None
        else as_lengths("step_size", step_size, images)
    )
    # Halved and doubled as Python's numbers, moved as the pictures'.
    ball, steps = Ball(images, norm, radii), steps.to(images)
    goal = make_goal(network, images, labels, targets)
    x = ball.draw(seed) if random_start else images
    for _ in Bar(range(num_steps), "steps"):
        gradient, _ = pixel_gradient(network, x, by_rows(cross_entropy, goal))
        x = ball.nearest(normalise(gradient, norm).mul_(steps).add_(x))
    return score_examples(network, images, ball.settle(x), goal, num_steps)
