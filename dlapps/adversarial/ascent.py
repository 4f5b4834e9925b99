"""Attacks that climb a loss within a ball: one loop, and two small functions (normalise, project) for the norms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlapps.adversarial.examples import AdversarialExamples, Goal, make_goal, round_to_8_bits, score_examples
from dlapps.class_scores import Classes, Objective, float32_logits, pick, pixel_gradient
from dlapps.runtime import make_generator

# The practical steps by eta = 1 in units of (pixel - mean) / std; this is the mean std of the three colours.
PRACTICAL_STEP = 0.226


def fool(
    network: nn.Module, images: Tensor, targets: Classes, step_size: float = PRACTICAL_STEP, num_steps: int = 100
) -> AdversarialExamples:
    """x <- x + eta g / ||g||_2 with g = d S_target / d x, until the target wins (practical; Szegedy et al. 2014).

    step_size: eta, the length of a step in pixel units. The practical's eta = 1 is in units of (pixel - mean) / std;
    a step along z = (x - m) / s of length 1 is one of length s, about .226, along x. A picture stops once the target
    wins on its 8-bit rounding too: of those that stop at the first success, some are lost when saved.
    """
    goal = make_goal(network, images, None, targets)

    def move(x: Tensor, clean: Tensor, gradient: Tensor) -> Tensor:
        return x + step_size * normalise(gradient, "l2")

    return _ascend(network, images, images, goal, _target_score, move, num_steps, stop_early=True)


def fgsm(
    network: nn.Module, images: Tensor, epsilon: float, labels: Classes | None = None, targets: Classes | None = None
) -> AdversarialExamples:
    """x + epsilon sign(d loss / d x), loss the cross-entropy (Goodfellow, Shlens & Szegedy 2015)."""
    return pgd(network, images, epsilon, labels, targets, num_steps=1, step_size=epsilon, random_start=False)


def pgd(
    network: nn.Module,
    images: Tensor,
    epsilon: float,
    labels: Classes | None = None,
    targets: Classes | None = None,
    norm: str = "linf",
    num_steps: int = 10,
    step_size: float | None = None,
    random_start: bool = True,
    stop_early: bool = False,
    seed: int = 0,
) -> AdversarialExamples:
    """Steps up the cross-entropy, each projected back to ||x' - x|| <= epsilon (Madry et al. 2018).

    norm: "linf" or "l2". step_size: 2.5 epsilon / num_steps by default, as in the paper. random_start: begin anywhere
    in the ball. stop_early: a picture stops once its 8-bit rounding reaches the goal, instead of gaining confidence.
    """
    if epsilon < 0 or num_steps < 1:
        raise ValueError(f"expected epsilon >= 0 and num_steps >= 1, got {epsilon} and {num_steps}; change them.")
    goal = make_goal(network, images, labels, targets)
    step_size = 2.5 * epsilon / num_steps if step_size is None else step_size
    start = images
    if random_start:
        start = (images + epsilon * _random_direction(images, norm, seed)).clamp(0, 1)

    def move(x: Tensor, clean: Tensor, gradient: Tensor) -> Tensor:
        return clean + project(x + step_size * normalise(gradient, norm) - clean, norm, epsilon)

    return _ascend(network, images, start, goal, Goal.loss, move, num_steps, stop_early)


def universal_perturbation(
    network: nn.Module,
    images: Tensor,
    epsilon: float,
    labels: Classes | None = None,
    targets: Classes | None = None,
    num_steps: int = 20,
) -> Tensor:
    """One perturbation (3, H, W) for all pictures (Moosavi-Dezfooli et al. 2017), within epsilon in the maximum norm.

    Signed steps of 2.5 epsilon / num_steps up the loss summed over the pictures, as Shafahi et al. (2020) do. Score it
    with `score_examples(network, images, (images + perturbation).clamp(0, 1), goal)`, on pictures it never saw too.
    """
    goal = make_goal(network, images, labels, targets)
    perturbation = torch.zeros_like(images[0])
    for _ in range(num_steps):
        perturbed = (images + perturbation).clamp(0, 1)
        gradient, _ = pixel_gradient(network, perturbed, _by_rows(Goal.loss, goal))
        step = 2.5 * epsilon / num_steps * normalise(gradient.sum(0), "linf")
        perturbation = project(perturbation + step, "linf", epsilon)
    return perturbation


def normalise(gradients: Tensor, norm: str) -> Tensor:
    """The steepest direction of length 1 in a norm, for each picture; 0 where the gradient is."""
    if norm == "linf":
        return gradients.sign()
    return gradients / _lengths(gradients, norm).clamp(min=1e-12)


def project(perturbations: Tensor, norm: str, epsilon: float) -> Tensor:
    """The nearest perturbations of length epsilon at most in a norm."""
    if norm == "linf":
        return perturbations.clamp(-epsilon, epsilon)
    return perturbations * (epsilon / _lengths(perturbations, norm).clamp(min=1e-12)).clamp(max=1)


def _lengths(perturbations: Tensor, norm: str) -> Tensor:
    if norm != "l2":
        raise ValueError(f"expected norm linf or l2, got {norm!r}; choose one of them.")
    return perturbations.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def _random_direction(images: Tensor, norm: str, seed: int) -> Tensor:
    """Anywhere in the ball of radius 1; drawn on the CPU: the same whatever the device."""
    generator = make_generator(seed)
    if norm == "linf":
        direction = 2 * torch.rand(images.shape, generator=generator, device="cpu") - 1
    else:
        direction = normalise(torch.randn(images.shape, generator=generator, device="cpu"), norm)
        direction *= torch.rand(len(images), 1, 1, 1, generator=generator, device="cpu")
    return direction.to(images.device)


def _target_score(goal: Goal, logits: Tensor) -> Tensor:
    return pick(logits, goal.classes)


def _ascend(
    network: nn.Module,
    clean: Tensor,
    start: Tensor,
    goal: Goal,
    objective: Callable[[Goal, Tensor], Tensor],
    move: Callable[[Tensor, Tensor, Tensor], Tensor],
    num_steps: int,
    stop_early: bool,
) -> AdversarialExamples:
    """The loop of every gradient attack; pictures that are done leave the batch."""
    images, active = start.clone(), torch.arange(len(clean), device=clean.device)
    steps = torch.full((len(clean),), num_steps, device=clean.device)
    confidences = torch.full((num_steps + 1, len(clean)), torch.nan, device=clean.device)
    for step in range(num_steps):
        todo = goal[active]
        gradient, logits = pixel_gradient(network, images[active], _by_rows(objective, todo))
        confidences[step, active] = todo.confidence(logits)
        if stop_early:
            done = _is_done(network, images[active], logits, todo)
            steps[active[done]] = step
            active, gradient = active[~done], gradient[~done]
            if len(active) == 0:
                break
        images[active] = move(images[active], clean[active], gradient).clamp(0, 1)
    return score_examples(network, clean, images, goal, steps, confidences)


def _by_rows(objective: Callable[[Goal, Tensor], Tensor], goal: Goal) -> Objective:
    """Of a goal for all pictures, an objective that takes the logits of some of them."""
    return lambda logits, rows: objective(goal[rows], logits)


def _is_done(network: nn.Module, images: Tensor, logits: Tensor, goal: Goal) -> Tensor:
    """Whether the goal is reached, and still is after rounding; only what seems done is looked at twice."""
    done = goal.is_reached(logits)
    if done.any():
        rounded = round_to_8_bits(images[done])
        done[done.clone()] = goal[done].is_reached(float32_logits(network, rounded))
    return done
