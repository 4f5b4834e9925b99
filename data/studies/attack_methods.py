"""Attacks, controls and damages that only Chapter 2's studies compare.

Input is not checked.
"""

import io
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from dlapps.adversarial import (
    AdversarialExamples,
    Goal,
    round_to_8_bits,
    score_examples,
)
from dlapps.adversarial import examples as basics
from dlapps.core.class_scores import (
    Classes,
    Network,
    float32,
    float32_logits,
    pick,
    pixel_gradient,
)
from dlapps.core.images import from_pixels, stack_pixels
from dlapps.core.runtime import Bar, make_generator

# (pictures (N, C, H, W), generator) -> pictures, moved in one of many ways.
Transform = Callable[[Tensor, torch.Generator], Tensor]
# DeepFool's: what the paper adds to a step, the most steps, and the number of rivals
# that it compares.
OVERSHOOT = 0.02
DEEP_FOOL_STEPS = 50
NUM_RIVALS = 9


def survives(network: nn.Module, examples: AdversarialExamples, damage: str) -> Tensor:
    """Whether each picture still reaches its goal after some damage, bool (N,).

    damage: "floats" (none), "saved" (in 8 bits), or "jpeg" (quality 90, of the rounded
    picture). The network is evaluated in float32.
    """
    damaged = DAMAGES[damage](examples.images)
    return examples.goal.is_reached(float32_logits(network, damaged))


def jpeg(images: Tensor) -> Tensor:
    """Pictures (N, 1 or 3, H, W) after JPEG of quality 90, in memory."""
    compressed = []
    for picture in from_pixels(images):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=90)
        compressed.append(Image.open(file))
    _, channels, height, width = images.shape
    pixels = stack_pixels(compressed, size=(height, width))
    return pixels[:, :channels].to(images.device)


DAMAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "floats": lambda images: images,
    "saved": round_to_8_bits,
    "jpeg": jpeg,
}


def sign_noise(
    network: nn.Module,
    images: Tensor,
    epsilon: float,
    labels: Classes | None = None,
) -> AdversarialExamples:
    """x + epsilon times random signs: the control of every attack of that size.

    It is FGSM without the gradient.
    """
    ball = basics.Ball(images, "linf", epsilon)
    goal = basics.make_goal(network, images, labels, None)
    noise = epsilon * basics.random_direction(images, "linf", 0).sign()
    return score_examples(network, images, ball.nearest(images + noise), goal)


def transferable_pgd(
    network: nn.Module,
    images: Tensor,
    epsilon: float,
    labels: Classes | None = None,
    momentum: float = 0.0,
    transform: Transform | None = None,
    num_steps: int = 10,
) -> AdversarialExamples:
    """PGD in the maximum norm whose pictures are to fool other networks too.

    momentum: mu in v <- mu v + g / ||g||_1, which replaces the gradient g (MI-FGSM:
    Dong et al. 2018). transform: each gradient is taken at pictures that it moved, by
    other draws at each step (DI-FGSM: Xie et al. 2019).
    """
    ball = basics.Ball(images, "linf", epsilon)
    goal = basics.make_goal(network, images, labels, None)
    x = ball.draw(0)
    velocity = torch.zeros_like(images)
    step_size = 2.5 * epsilon / num_steps
    for step in range(num_steps):
        attacked: Network = network
        if transform:
            attacked = partial(_transformed_logits, network, transform, step)
        gradient, _ = pixel_gradient(attacked, x, goal.classes, basics.cross_entropy)
        if momentum:
            length = gradient.abs().sum((1, 2, 3), keepdim=True).clamp(min=1e-12)
            velocity = momentum * velocity + gradient / length
            gradient = velocity
        x = ball.nearest(x + step_size * gradient.sign())
    return score_examples(network, images, x, goal, num_steps)


def _transformed_logits(
    network: nn.Module, transform: Transform, seed: int, pictures: Tensor
) -> Tensor:
    return network(transform(pictures, make_generator(seed)))


def resize_and_pad(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Input diversity (Xie et al. 2019): half of the time smaller, on a grey ground.

    The pictures shrink by up to a tenth and lie somewhere on the ground.
    """
    if torch.rand((), generator=generator, device="cpu") < 0.5:
        return pictures
    scale = 0.9 + 0.1 * torch.rand((), generator=generator, device="cpu").item()
    height, width = pictures.shape[2:]
    size = (round(scale * height), round(scale * width))
    small = F.interpolate(pictures, size, mode="nearest")
    rows = height - size[0]
    columns = width - size[1]
    top = int(torch.randint(rows + 1, (), generator=generator, device="cpu"))
    left = int(torch.randint(columns + 1, (), generator=generator, device="cpu"))
    return F.pad(small, (left, columns - left, top, rows - top), value=0.5)


def deep_fool(
    network: nn.Module, images: Tensor, labels: Classes | None = None
) -> AdversarialExamples:
    """DeepFool (Moosavi-Dezfooli, Fawzi & Frossard 2016): the nearest boundary.

    Each step goes to the nearest of the boundaries with the strongest rivals, as if
    they were planes: r = |f| / ||w||_2^2 w, with f = S_label - S_rival and
    w = d (S_rival - S_label) / d x, for the rival with the least |f| / ||w||_2. The
    picture is x + 1.02 times the sum of r. 1e-4 is added to |f|, so that a step taken
    on a boundary leaves it; the authors' code adds it to |f| / ||w||_2. As in the
    paper, a picture stops at its first success in floats, which rounding to 8 bits
    mostly undoes: `success` is rare. Always in float32: bfloat16 is coarser than the
    distance to a boundary.
    """
    goal = basics.make_goal(network, images, labels, None)
    logits = float32_logits(network, images)
    others = logits.scatter(1, goal.classes[:, None], -torch.inf)
    rivals = others.topk(min(NUM_RIVALS, logits.shape[1] - 1)).indices
    total = torch.zeros_like(images)
    active = torch.arange(len(images), device=images.device)
    for _ in Bar(range(DEEP_FOOL_STEPS), "steps"):
        moved = (images + (1 + OVERSHOOT) * total).clamp(0, 1)
        logits = float32_logits(network, moved[active])
        active = active[~goal[active].is_reached(logits)]
        if len(active) == 0:
            break
        total[active] += _to_nearest_boundary(
            network, moved[active], goal[active], rivals[active]
        )
    moved = (images + (1 + OVERSHOOT) * total).clamp(0, 1)
    return score_examples(network, images, moved, goal)


def _to_nearest_boundary(
    network: nn.Module, images: Tensor, goal: Goal, rivals: Tensor
) -> Tensor:
    """The shortest step (N, C, H, W) to a boundary with one of the rivals (N, R).

    Boundaries are taken for planes.
    """
    nearest = torch.full((len(images),), torch.inf, device=images.device)
    best = torch.zeros_like(images)
    for rival in rivals.T:
        with float32(images):
            pairs = torch.stack([rival, goal.classes], dim=1)
            gradient, logits = pixel_gradient(network, images, pairs, _lead)
        gap = (pick(logits, goal.classes) - pick(logits, rival)).abs() + 1e-4
        length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
        closer = gap / length < nearest
        nearest = torch.where(closer, gap / length, nearest)
        step = (gap / length.square()).view(-1, 1, 1, 1) * gradient
        best = torch.where(closer.view(-1, 1, 1, 1), step, best)
    return best


def _lead(logits: Tensor, pairs: Tensor) -> Tensor:
    """How far the logit of a rival is above that of the class, pairs (N, 2) of both."""
    return pick(logits, pairs[:, 0]) - pick(logits, pairs[:, 1])
