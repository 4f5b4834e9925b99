"""Attacks that raise the target's score until it wins, or a loss within a ball."""

import torch
from torch import Tensor, nn

from dlapps.adversarial.examples import (
    AdversarialExamples,
    Ball,
    Goal,
    cross_entropy,
    decide_success,
    make_goal,
    unit_direction,
)
from dlapps.core.checks import check_counts, check_length, check_positive
from dlapps.core.class_scores import (
    Classes,
    Images,
    check_input,
    float32_logits,
    pixel_gradient,
)
from dlapps.core.images import round_to_8_bits
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
    """Step x <- x + eta g / ||g||_2, g = d S_target / d x, until the target wins.

    This is the attack of the practical; the idea is that of Szegedy et al. 2014. A
    picture stops once the target also wins on its 8-bit rounding: of pictures that stop
    at the first success, some are lost when they are saved.

    targets: the classes that are to win.
    step_size: eta, the length of a step in pixel units. The practical's eta = 1 is in
        units of z = (x - mean) / std, where a step of length 1 is one of length std,
        about .226, of the pixels x.
    num_steps: at most.
    """
    check_counts(num_steps=num_steps)
    check_positive(step_size=step_size)
    if targets is None:
        raise ValueError(
            "expected targets, the classes that are to win, got None; "
            "name one for each image."
        )
    images = check_input(network, images)
    goal = make_goal(network, images, None, targets)
    x = images.clone()
    steps = torch.full_like(goal.classes, num_steps)
    active = torch.arange(len(images), device=images.device)
    for step in Bar(range(num_steps), "steps"):
        gradient, logits = pixel_gradient(network, x[active], goal.classes[active])
        done = _is_done(network, x[active], logits, goal[active])
        steps[active[done]] = step
        active = active[~done]
        if len(active) == 0:
            break
        direction = unit_direction(gradient[~done], "l2")
        x[active] = (x[active] + step_size * direction).clamp(0, 1)
    return decide_success(network, images, x, goal, steps)


def _is_done(network: nn.Module, images: Tensor, logits: Tensor, goal: Goal) -> Tensor:
    """Whether images with these logits reach the goal, and still do in float32, before
    rounding and after.

    The network reads only the images that may be done again.
    """
    done = goal.is_reached(logits)
    rows = done.nonzero().flatten()
    if len(rows) > 0:
        candidates = images[rows]
        for read in (candidates, round_to_8_bits(candidates)):
            done[rows] &= goal[rows].is_reached(float32_logits(network, read))
    return done


def fgsm(
    network: nn.Module,
    images: Images,
    epsilon: float,
    labels: Classes | None = None,
) -> AdversarialExamples:
    """Step once, to x + epsilon sign(d loss / d x).

    The loss is the cross-entropy of the labels (Goodfellow, Shlens & Szegedy 2015).

    epsilon: in pixel units, at most 1.
    """
    images = check_input(network, images)
    ball = Ball(images, "linf", epsilon)
    goal = make_goal(network, images, labels, None)
    gradient, _ = pixel_gradient(network, images, goal.classes, cross_entropy)
    x = ball.nearest(images + epsilon * gradient.sign())
    return decide_success(network, images, x, goal, steps=1)


def pgd(
    network: nn.Module,
    images: Images,
    epsilon: float,
    labels: Classes | None = None,
    targets: Classes | None = None,
    norm: str = "linf",
    num_steps: int = 10,
    step_size: float | None = None,
    random_start: bool = True,
    seed: int = 0,
) -> AdversarialExamples:
    """Step x <- P(x + alpha d) up the loss, d the steepest direction.

    P projects to ||x - clean|| <= epsilon (Madry et al. 2018, section 2.1). The loss is
    the cross-entropy of the labels; with targets the steps go down their loss.

    epsilon: in pixel units, at most 1 in "linf".
    norm: "linf", in which d is the sign of the gradient g, or "l2", in which it is
        g / ||g||_2.
    step_size: alpha, by default 2.5 epsilon / num_steps as in the paper.
    random_start: whether to begin anywhere in the ball, or at the clean picture.
    seed: of the random start.
    """
    check_counts(num_steps=num_steps)
    images = check_input(network, images)
    ball = Ball(images, norm, epsilon)
    if step_size is None:
        step_size = 2.5 * epsilon / num_steps
    check_length("step_size", step_size)
    goal = make_goal(network, images, labels, targets)
    alpha = goal.sign * step_size
    x = ball.draw(seed) if random_start else images
    for _ in Bar(range(num_steps), "steps"):
        gradient, _ = pixel_gradient(network, x, goal.classes, cross_entropy)
        x = ball.nearest(x + alpha * unit_direction(gradient, norm))
    return decide_success(network, images, x, goal, num_steps)
