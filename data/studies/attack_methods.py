"""Attacks, controls and damages that only Chapter 2's studies compare; wrong input is not looked for."""

import io
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.optimize import differential_evolution
from torch import Tensor, nn

from dlapps.adversarial import AdversarialExamples, Goal, pgd, round_to_8_bits, score_examples
from dlapps.adversarial import examples as basics
from dlapps.core.class_scores import Classes, RowValues, float32, float32_logits, forward, pick, pixel_gradient
from dlapps.core.images import from_pixels, stack_pixels
from dlapps.core.runtime import Bar, make_generator

# (pictures (N, C, H, W), generator) -> pictures, moved in one of many ways.
Transform = Callable[[Tensor, torch.Generator], Tensor]
Attack = Callable[..., AdversarialExamples]
# DeepFool's: what the paper adds to a step, the most steps, and how many of the class's rivals it compares.
OVERSHOOT, DEEP_FOOL_STEPS, NUM_RIVALS = 0.02, 50, 9
# Pictures of a step of the universal perturbation.
BATCH_SIZE = 16


def survives(network: nn.Module, examples: AdversarialExamples, damage: str) -> Tensor:
    """bool (N,): whether each picture still reaches its goal after some damage, in float32.

    damage: "none" (the floats that the attack made), "8 bits", "jpeg" (quality 90) or "resize" (to .75 of its side and
    back). JPEG and resize work on the picture rounded to 8 bits.
    """
    return examples.goal.is_reached(float32_logits(network, DAMAGES[damage](examples.images)))


def jpeg(images: Tensor, quality: int = 90) -> Tensor:
    """Pictures (N, 1 or 3, H, W) after JPEG, in memory."""
    files, (channels, height, width) = [io.BytesIO() for _ in images], images.shape[1:]
    for picture, file in zip(from_pixels(images), files, strict=True):
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return stack_pixels(map(Image.open, files), size=(height, width))[:, :channels].to(images.device)


def resize(images: Tensor, scale: float = 0.75) -> Tensor:
    """Pictures (N, C, H, W) made smaller, to `scale` of their sides, and brought back, bilinear."""
    sides = [max(1, round(scale * side)) for side in images.shape[2:]]
    small = F.interpolate(images, sides, mode="bilinear", antialias=True)
    return F.interpolate(small, images.shape[2:], mode="bilinear").clamp(0, 1)


DAMAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda images: images,
    "8 bits": round_to_8_bits,
    "jpeg": jpeg,
    "resize": lambda images: resize(round_to_8_bits(images)),
}


def linf_ball(images: Tensor, epsilon: float | Tensor) -> basics.Ball:
    """The pictures within epsilon of these in the maximum norm."""
    return basics.Ball(images, "linf", basics.as_lengths("epsilon", epsilon, images, 1.0))


def sign_noise(
    network: nn.Module, images: Tensor, epsilon: float | Tensor, labels: Classes | None = None
) -> AdversarialExamples:
    """x + epsilon times random signs: FGSM without the gradient, the control of every attack of that size."""
    ball, goal = linf_ball(images, epsilon), basics.make_goal(network, images, labels, None)
    noise = ball.radii * basics.random_direction(images, "linf", 0).sign()
    return score_examples(network, images, ball.settle((images + noise).clamp(0, 1)), goal)


def universal_perturbation(
    network: nn.Module, images: Tensor, epsilon: float, num_passes: int, transform: Transform
) -> Tensor:
    """One perturbation (C, H, W) for all pictures (Moosavi-Dezfooli et al. 2017), within epsilon in the maximum norm.

    Signed steps up the loss of 16 pictures at a time, as Shafahi et al. (2020) do; they shrink from epsilon / 5 to 0.
    transform: moves the pictures beneath it, by another draw at each step, so that few pictures do for many.
    """
    goal, generator = basics.make_goal(network, images, None, None), make_generator(0)
    perturbation = torch.zeros_like(images[0])
    orders = [torch.randperm(len(images), generator=generator, device="cpu") for _ in range(num_passes)]
    batches = [rows for order in orders for rows in order.to(images.device).split(BATCH_SIZE)]
    for step, rows in enumerate(batches):
        moved = (transform(images[rows], generator) + perturbation).clamp(0, 1)
        gradient, _ = pixel_gradient(network, moved, basics.by_rows(basics.cross_entropy, goal[rows]))
        size = 0.2 * epsilon * (1 - step / len(batches))
        perturbation = basics.project(
            perturbation + size * basics.normalise(gradient.sum(0), "linf"), "linf", torch.tensor(epsilon)
        )
    # What x + perturbation, rounded, may be further away.
    limit = max(epsilon - 2**-24, 0)
    return perturbation.clamp(-limit, limit)


def transferable_pgd(
    network: nn.Module,
    images: Tensor,
    epsilon: float,
    labels: Classes | None = None,
    momentum: float = 0.0,
    transform: Transform | None = None,
    num_steps: int = 10,
) -> AdversarialExamples:
    """PGD in the maximum norm whose pictures are to fool other networks too, or the same one after damage.

    momentum: mu in v <- mu v + g / ||g||_1, v taken for the gradient g (MI-FGSM: Dong et al. 2018). transform: each
    gradient is taken at pictures that it moved, by other draws at each step (DI-FGSM: Xie et al. 2019).
    """
    ball, goal = linf_ball(images, epsilon), basics.make_goal(network, images, labels, None)
    x, velocity = ball.draw(0), torch.zeros_like(images)
    step_size = (2.5 * ball.epsilon / num_steps).to(images)
    for step in range(num_steps):
        moved = partial(_transformed_logits, network, transform, step) if transform else network
        gradient, _ = pixel_gradient(moved, x, basics.by_rows(basics.cross_entropy, goal))
        if momentum:
            gradient = gradient / gradient.abs().sum((1, 2, 3), keepdim=True).clamp(min=1e-12)
            velocity = gradient = momentum * velocity + gradient
        x = ball.nearest(x + step_size * gradient.sign())
    return score_examples(network, images, ball.settle(x), goal, num_steps)


def _transformed_logits(network: nn.Module, transform: Transform, seed: int, pictures: Tensor) -> Tensor:
    return network(transform(pictures, make_generator(seed)))


def resize_and_pad(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Input diversity (Xie et al. 2019): every second time smaller, by up to a tenth, somewhere on a grey ground."""
    if torch.rand((), generator=generator, device="cpu") < 0.5:
        return pictures
    scale = 0.9 + 0.1 * torch.rand((), generator=generator, device="cpu").item()
    height, width = pictures.shape[2:]
    small = F.interpolate(pictures, (round(scale * height), round(scale * width)), mode="nearest")
    rows, columns = height - small.shape[2], width - small.shape[3]
    top, left = (int(torch.randint(free + 1, (), generator=generator, device="cpu")) for free in (rows, columns))
    return F.pad(small, (left, columns - left, top, rows - top), value=0.5)


def compress_or_resize(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """What a website does to uploads: JPEG of quality 60 to 95, or .5 to .95 of the side and back.

    JPEG has no useful gradient, so it passes straight through (Athalye, Carlini & Wagner 2018).
    """
    strength = torch.rand((), generator=generator, device="cpu").item()
    if torch.rand((), generator=generator, device="cpu") < 0.5:
        return resize(pictures, 0.5 + 0.45 * strength)
    return pictures + (jpeg(pictures, 60 + round(35 * strength)) - pictures).detach()


def smallest_epsilon(
    network: nn.Module, images: Tensor, most: float = 16 / 255, attack: Attack = pgd, **aim: Classes
) -> Tensor:
    """The least epsilon (N,) at which an attack reaches the goal as floats, by bisection; inf where `most` does not.

    The bisection is one of logarithms, from most down to most / 256: after eight rounds the bounds differ by 2 %. 0
    where the goal is reached already. attack: takes the arguments of `pgd`; one whose steps are too coarse at `most`
    finds nothing below either. aim: labels or targets, as for `pgd`.
    """
    goal = basics.make_goal(network, images, aim.get("labels"), aim.get("targets"))
    name = "targets" if goal.targeted else "labels"
    rows = (~goal.is_reached(float32_logits(network, images))).nonzero()[:, 0]
    high = torch.zeros_like(images[:, 0, 0, 0])
    low = torch.full_like(high, most / 256)
    high[rows] = most
    for trial in range(9):
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


def ddn(network: nn.Module, images: Tensor, labels: Classes | None = None, num_steps: int = 100) -> AdversarialExamples:
    """The shortest change found by decoupling direction and norm (Rony et al. 2019, Algorithm 1).

    Steps up the cross-entropy by the normalised gradient (their length falls from 1 to .01 by a cosine), each put on a
    sphere whose radius, 1 at first, shrinks by .95 where the goal is reached and grows by 1.05 where not. The result is
    the shortest change that reaches it as floats; the clean picture where none does. Always in float32.
    """
    goal = basics.make_goal(network, images, labels, None)
    x, best, shortest = images, images, torch.full_like(images[:, :1, :1, :1], torch.inf)
    radii = torch.ones_like(shortest)
    for step in range(num_steps):
        with float32(images):
            gradient, logits = pixel_gradient(network, x, basics.by_rows(basics.cross_entropy, goal))
        reached = goal.is_reached(logits).view(-1, 1, 1, 1)
        length = (x - images).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        better = reached & (length < shortest)
        best, shortest = torch.where(better, x, best), torch.where(better, length, shortest)
        radii = radii * torch.where(reached, 0.95, 1.05)
        step_size = 0.01 + 0.99 * (1 + math.cos(math.pi * step / num_steps)) / 2
        change = x + step_size * basics.normalise(gradient, "l2") - images
        x = (images + radii * basics.normalise(change, "l2")).clamp(0, 1)
    return score_examples(network, images, best, goal)


def one_pixel(network: nn.Module, images: Tensor, num_steps: int, population: int) -> AdversarialExamples:
    """Change the colour of a pixel, found by differential evolution (Su, Vargas & Sakurai 2019).

    No gradient: num_steps generations of `population` candidates (row, column, a value for each channel), the
    picture's probability the only answer. The paper takes 400 candidates and 100 generations.
    """
    goal = basics.make_goal(network, images, None, None)
    found = [_evolve(network, image, goal[row : row + 1], num_steps, population) for row, image in enumerate(images)]
    return score_examples(network, images, torch.stack(found), goal)


def _evolve(network: nn.Module, image: Tensor, goal: Goal, num_steps: int, population: int) -> Tensor:
    """The picture (C, H, W) at the end."""

    def cost(solutions: np.ndarray) -> np.ndarray:
        probabilities = forward(network, _paint(image, solutions.T)).softmax(1)
        return probabilities[:, goal.classes[0]].cpu().double().numpy()

    def is_done(solution: np.ndarray, convergence: float) -> bool:
        return bool(goal.is_reached(float32_logits(network, _paint(image, solution[None]))))

    bounds = [(0, side - 1e-3) for side in image.shape[1:]] + [(0, 1)] * len(image)
    generator = np.random.default_rng(0)
    lowest, highest = np.transpose(bounds)
    first = generator.uniform(lowest, highest, size=(population, len(bounds)))
    best = differential_evolution(
        cost, bounds, maxiter=num_steps, init=first, vectorized=True, updating="deferred", tol=0,
        polish=False, recombination=1, seed=generator, callback=is_done,
    )  # fmt: skip
    return _paint(image, best.x[None])[0]


def _paint(image: Tensor, solutions: np.ndarray) -> Tensor:
    """Copies (S, C, H, W) of an image, each with its pixel (S, 2 + C) painted, in a colour of 8 bits."""
    pixels = torch.tensor(solutions, dtype=image.dtype, device=image.device)
    rows, columns = pixels[:, :2].long().T
    copies = image.repeat(len(solutions), 1, 1, 1)
    copies[torch.arange(len(copies), device=image.device), :, rows, columns] = round_to_8_bits(pixels[:, 2:])
    return copies


def deep_fool(network: nn.Module, images: Tensor, labels: Classes | None = None) -> AdversarialExamples:
    """Step onto the nearest of the boundaries with the strongest rivals, as if they were planes, until one is crossed.

    r = |f| / ||w||_2^2 w, with f = S_label - S_rival and w = d (S_rival - S_label) / d x, for the rival with the least
    |f| / ||w||_2; the picture is x + 1.02 times the sum of r (Moosavi-Dezfooli, Fawzi & Frossard 2016). To |f| are
    added 1e-4, so that a step taken on a boundary leaves it; the authors' code adds them to |f| / ||w||_2. Stops, as in
    the paper, at the first success in floats, which rounding to 8 bits mostly undoes: `success` is rare. Always in
    float32: bfloat16 is coarser than the distance to a boundary.
    """
    goal = basics.make_goal(network, images, labels, None)
    logits = float32_logits(network, images)
    others = logits.scatter(1, goal.classes[:, None], -torch.inf)
    rivals = others.topk(min(NUM_RIVALS, logits.shape[1] - 1)).indices
    total, active = torch.zeros_like(images), torch.arange(len(images), device=images.device)
    steps = torch.full_like(active, DEEP_FOOL_STEPS)
    for step in Bar(range(DEEP_FOOL_STEPS), "steps"):
        moved = (images + (1 + OVERSHOOT) * total).clamp(0, 1)
        logits = float32_logits(network, moved[active])
        done = goal[active].is_reached(logits)
        steps[active[done]] = step
        active = active[~done]
        if len(active) == 0:
            break
        total[active] += _to_nearest_boundary(network, moved[active], goal[active], rivals[active])
    moved = (images + (1 + OVERSHOOT) * total).clamp(0, 1)
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
