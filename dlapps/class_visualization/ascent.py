"""The ascent: what is raised, how it is climbed, the pictures on the way, and who
recognises them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from dlapps import check_counts
from dlapps.class_visualization.ingredients import (
    L2,
    Crop,
    Fourier,
    Jitter,
    Parametrisation,
    Pixels,
    Regulariser,
    Seen,
    TotalVariation,
    Transform,
    Warp,
    class_score,
    evaluate,
)
from dlapps.core.class_scores import (
    Classes,
    check_eval_mode,
    chunk_size,
    expand_classes,
    float32,
    float32_logits,
    ranks,
)
from dlapps.core.images import as_pictures
from dlapps.core.runtime import Bar, device_of, make_generator


@dataclass(frozen=True)
class Settings:
    """How to climb the objective, a function of what is `Seen`, less the regularisers.

    It is the logit of the target by default; of a channel, give a network that ends in
    its layer and its average.
    normalised: each picture's gradient is divided by its L2 norm, so that with SGD
    step_size is the length of a step, in the units of the parametrisation. blur_every:
    steps between blurs of .5 pixels, 0 for never. Change one thing with
    `dataclasses.replace(PRACTICAL, num_steps=1000)`.
    """

    parametrisation: Parametrisation
    num_steps: int
    step_size: float
    optimiser: Callable[..., torch.optim.Optimizer]
    normalised: bool
    regularisers: tuple[Regulariser, ...] = ()
    transforms: tuple[Transform, ...] = ()
    blur_every: int = 0
    objective: Callable[[Seen], Tensor] = class_score

    def __post_init__(self) -> None:
        check_counts(0, num_steps=self.num_steps, blur_every=self.blur_every)
        if not 0 <= self.step_size < math.inf:
            raise ValueError(
                f"expected a finite step_size >= 0, got {self.step_size}; change it."
            )
        if self.optimiser is torch.optim.LBFGS:
            raise ValueError(
                "expected an optimiser that takes one gradient a step, got LBFGS; take SGD or Adam."
            )


# The practical's: lr 5, lambda 1e-3, 200 iterations, blur of .5 every 10, jitter 16, in
# its own units.
PRACTICAL = Settings(
    parametrisation=Pixels(),
    num_steps=200,
    step_size=5.0,
    optimiser=torch.optim.SGD,
    normalised=True,
    regularisers=(L2(1e-3),),
    transforms=(Jitter(16),),
    blur_every=10,
)
# Olah et al. 2017, with a wider range of scales: what is seen at one size only, another
# network does not recognise.
MODERN = Settings(
    parametrisation=Fourier(),
    num_steps=200,
    step_size=0.02,
    optimiser=torch.optim.Adam,
    normalised=False,
    regularisers=(TotalVariation(2e-3),),
    transforms=(Jitter(16), Warp((0.7, 1.3), 15.0), Jitter(8)),
)
# What is seen in any window of the picture, large and small, is what other networks
# recognise; the contrast is that of natural pictures. Noise on top (`Noise(0.2)`) helps
# where the network stands it.
ROBUST = Settings(
    parametrisation=Fourier(contrast=1.0, standardised=True),
    num_steps=150,
    step_size=1.5,
    optimiser=torch.optim.SGD,
    normalised=True,
    transforms=(Crop((0.3, 0.9), 128),),
)


@dataclass(frozen=True)
class Visualization:
    """Pictures (N, 3, H, W) float32 in [0, 1], their targets (N,), and the way there.

    scores (S + 1, N): the objective, which is the logit of the target unless the settings
    has another, at each step, as the network saw the picture (moved, in the precision
    of the run); the last row is the final picture's, as it is, in float32. frames (F,
    N, 3, H, W): the pictures after frame_steps (F,) steps; the final one alone where
    `keep_every` is 0. class_names: the network's, for `judge`.
    """

    images: Tensor
    targets: Tensor
    scores: Tensor
    frames: Tensor
    frame_steps: Tensor
    class_names: tuple[str, ...]


def visualize(
    network: nn.Module,
    targets: Classes,
    settings: Settings = PRACTICAL,
    *,
    initial: Tensor | np.ndarray | None = None,
    size: int = 224,
    seed: int = 0,
    keep_every: int = 0,
) -> Visualization:
    """Pictures that maximise S_c(x) - R(x) by gradient ascent on x (Simonyan, Vedaldi &
    Zisserman 2014, section 2).

    targets: one class (a number, or a name of the network's `class_names`), or N of
    them, each of which gets its picture; all start from the same noise and see the same
    transforms, so that a picture does not depend on the batch.
    initial: pictures (1 or N, 3, H, W) float32 in [0, 1] to start from; else noise of
    side `size`, drawn on the CPU, on the network's device. Each step: the transforms
    move the picture, the network reads it, the gradient of score less regularisers is
    climbed through the parametrisation, the picture is brought back into [0, 1]; every
    blur_every steps, from the first, it is blurred.

    PRACTICAL moves z = (x - mean) / std (ImageNet's) and does to z what the practical
    does: z starts from N(0, 1), R is lambda ||z||^2 summed over all pixels, a step is 5
    g / ||g||_2 with g = d (S_c - R) / d z, and z is clamped to what x in [0, 1] allows,
    at the start too. In pixels such a step has a length of about 5 x .226 = 1.13.
    MODERN moves the spectrum of decorrelated colours with Adam (Olah, Mordvintsev &
    Schubert 2017). The network runs in the precision that the caller opened
    (`runtime.autocast`), everything else in float32.

    Raises ValueError for a class out of range, bad pixels, a number of pictures that is
    neither 1 nor N, a network in training mode.
    """
    check_eval_mode(network)
    check_counts(size=size)
    check_counts(0, keep_every=keep_every)
    initial = None if initial is None else as_pictures(initial, 3)
    device = device_of(network) if initial is None else initial.device
    number = (
        1 if isinstance(targets, (int, str)) or np.ndim(targets) == 0 else len(targets)
    )
    names = tuple(getattr(network, "class_names", ()))
    targets = expand_classes(targets, number, device, names)
    generator, form = make_generator(seed), settings.parametrisation
    if initial is not None and len(initial) not in (1, number):
        raise ValueError(
            f"expected 1 or {number} initial pictures, got {len(initial)}; pass one a target."
        )
    with float32(targets):
        start = form.constrain(
            form.noise(size, generator) if initial is None else form.encode(initial)
        )
        parameter = (
            start.expand(number, *start.shape[1:]).clone().to(device).requires_grad_()
        )
    optimiser = settings.optimiser([parameter], lr=settings.step_size)
    scores, frames = [], {}
    for step in Bar(range(settings.num_steps), "steps"):
        if keep_every and step % keep_every == 0:
            frames[step] = _decode(settings, parameter)
        scores.append(
            _climb(network, targets, settings, parameter, optimiser, generator)
        )
        _tidy(settings, parameter, step)
    pictures = frames[settings.num_steps] = _decode(settings, parameter)
    with torch.no_grad(), float32(pictures):
        parts = zip(
            *(whole.split(chunk_size(pictures)) for whole in (pictures, targets)),
            strict=True,
        )
        scores.append(
            torch.cat(
                [
                    evaluate(network, settings.objective, part, part, rows)
                    for part, rows in parts
                ]
            )
        )
    shown, steps = (
        torch.stack(list(frames.values())),
        torch.tensor(list(frames), device=device),
    )
    return Visualization(pictures, targets, torch.stack(scores), shown, steps, names)


def _climb(
    network: nn.Module,
    targets: Tensor,
    settings: Settings,
    parameter: Tensor,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> Tensor:
    """One step of the parameter, in place; returns the scores (N,) before it."""
    with torch.enable_grad():
        with float32(parameter):
            seen = pictures = settings.parametrisation.decode(parameter)
            for transform in settings.transforms:
                seen = transform(seen, generator)
            penalty = sum(
                regulariser(pictures) for regulariser in settings.regularisers
            )
        scores = evaluate(network, settings.objective, pictures, seen, targets)
        (gradient,) = torch.autograd.grad((scores - penalty).sum(), parameter)
    if settings.normalised:
        axes = tuple(range(1, gradient.ndim))
        length = torch.linalg.vector_norm(gradient, dim=axes, keepdim=True)
        gradient = gradient / length.clamp(min=1e-12)
    parameter.grad = -gradient
    optimiser.step()
    return scores.detach()


@torch.no_grad()
def _tidy(settings: Settings, parameter: Tensor, step: int) -> None:
    """Bring the parameter back into the valid range, and blur when it is time, in
    place.
    """
    form = settings.parametrisation
    parameter.copy_(form.constrain(parameter))
    if settings.blur_every and step % settings.blur_every == 0:
        with float32(parameter):
            parameter.copy_(form.encode(gaussian_blur(form.decode(parameter), 5, 0.5)))


@torch.no_grad()
def _decode(settings: Settings, parameter: Tensor) -> Tensor:
    with float32(parameter):
        return settings.parametrisation.decode(parameter).clamp(0, 1)


def judge(network: nn.Module, drawn: Visualization) -> Tensor:
    """The rank (N,) int64 that each picture's class has for another network, 1 for the
    highest score.

    The picture is read as a file keeps it, in 8 bits, in float32. Raises ValueError for
    a judge whose `class_names` are not the drawer's.
    """
    check_eval_mode(network)
    names = tuple(getattr(network, "class_names", ()))
    if names != drawn.class_names:
        raise ValueError(
            f"expected a judge of the drawer's {len(drawn.class_names)} classes, got one of {len(names)} whose "
            "class_names are others; take a network that was trained on the same classes."
        )
    return ranks(
        float32_logits(network, (drawn.images * 255).round() / 255), drawn.targets
    )
