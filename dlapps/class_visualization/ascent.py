"""Class visualisation by gradient ascent, and its pictures read by another network."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

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
from dlapps.core.checks import check_counts, check_length
from dlapps.core.class_scores import (
    Classes,
    check_classes,
    check_network,
    expand_classes,
    float32,
    float32_logits,
    ranks,
)
from dlapps.core.images import as_pictures, round_to_8_bits
from dlapps.core.runtime import Bar, device_of, make_generator


@dataclass(frozen=True)
class Settings:
    """How to climb the objective less the regularisers.

    Change one thing with `dataclasses.replace(PRACTICAL, num_steps=1000)`.

    normalised: whether each picture's gradient is divided by its L2 norm. With SGD
        step_size then is the length of a step, in the units of the parametrisation.
    blur_every: steps between blurs of .5 pixels, 0 for never.
    objective: a function of what is `Seen`, by default the logit of the target. To
        visualise a channel, pass a network that ends in its layer and an average.
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
        check_length("step_size", self.step_size)


# The practical's own values, in its own units.
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
# Olah et al. 2017, with a wider range of scales: other networks do not recognise what
# shows at one size only.
MODERN = Settings(
    parametrisation=Fourier(),
    num_steps=200,
    step_size=0.02,
    optimiser=torch.optim.Adam,
    normalised=False,
    regularisers=(TotalVariation(2e-3),),
    transforms=(Jitter(16), Warp((0.7, 1.3), 15.0), Jitter(8)),
)
# Other networks recognise what shows in every window of the picture, large and small.
# The contrast is that of natural pictures. `Noise(0.2)` as another transform helps with
# networks that tolerate it.
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
    """Pictures (N, 3, H, W) float32 in [0, 1], their targets (N,), and their scores.

    scores: (S + 1, N), the objective at each step, of the picture as the network saw it
        (transformed, in the precision of the run). The last row is that of the final
        picture as it is, in float32.
    class_names: the network's, for `judge`.
    """

    images: Tensor
    targets: Tensor
    scores: Tensor
    class_names: tuple[str, ...]


def visualize(
    network: nn.Module,
    targets: Classes,
    settings: Settings = PRACTICAL,
    *,
    initial: Tensor | np.ndarray | None = None,
    size: int = 224,
    seed: int = 0,
) -> Visualization:
    """Draw pictures that maximise S_c(x) - R(x), by gradient ascent on x.

    This is the class visualisation of Simonyan, Vedaldi & Zisserman 2014, section 2. In
    each step the transforms move the picture, the network reads it, the parameter goes
    up the gradient of the score less the regularisers, and the picture is brought back
    into [0, 1]. Every blur_every steps, from the first, it is blurred. All pictures
    start from the same noise and see the same transforms, so that a picture does not
    depend on the batch.

    targets: one class (a number, or a name of the network's `class_names`), or N of
        them, each of which gets its picture.
    initial: pictures (1 or N, 3, H, W) float32 in [0, 1] to start from. By default it
        is noise of side `size`, drawn on the CPU.

    PRACTICAL moves z = (x - mean) / std (ImageNet's) and does to z what the practical
    does: z starts from N(0, 1), R is lambda ||z||^2 summed over all pixels, a step is 5
    g / ||g||_2 with g = d (S_c - R) / d z, and z is clamped to what x in [0, 1] allows,
    at the start too. In pixels such a step has a length of about 5 x .226 = 1.13.
    MODERN moves the spectrum of decorrelated colours with Adam (Olah, Mordvintsev &
    Schubert 2017). The network runs in the precision that the caller opened
    (`runtime.autocast`), everything else in float32.

    Raises ValueError for a class out of range, bad pixels, a number of pictures that is
    neither 1 nor N, or a network in training mode.
    """
    check_network(network)
    check_counts(size=size)
    if initial is not None:
        initial = as_pictures(initial, 3)
    device = device_of(network) if initial is None else initial.device
    names = tuple(getattr(network, "class_names", ()))
    number = 1
    if not isinstance(targets, (int, str)) and np.ndim(targets) > 0:
        number = len(targets)
    targets = expand_classes(targets, number, device, names)
    generator = make_generator(seed)
    parameter = _start(settings, initial, size, number, generator).to(device)
    check_classes(network, _decode(settings, parameter), targets)
    parameter.requires_grad_()
    optimiser = settings.optimiser([parameter], lr=settings.step_size)
    scores = []
    for step in Bar(range(settings.num_steps), "steps"):
        scores.append(
            _climb(network, targets, settings, parameter, optimiser, generator)
        )
        _tidy(settings, parameter, step)
    pictures = _decode(settings, parameter)
    with torch.no_grad(), float32(pictures):
        final = evaluate(network, settings.objective, pictures, pictures, targets)
    scores.append(final)
    return Visualization(pictures, targets, torch.stack(scores), names)


def _start(
    settings: Settings,
    initial: Tensor | None,
    size: int,
    number: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the parameter of initial pictures, or of noise that all pictures share."""
    form = settings.parametrisation
    if initial is None:
        start = form.noise(size, generator)
    else:
        if len(initial) not in (1, number):
            raise ValueError(
                f"expected 1 or {number} initial pictures, got {len(initial)}; "
                "pass one a target."
            )
        with float32(initial):
            start = form.encode(initial)
    start = form.constrain(start)
    return start.expand(number, *start.shape[1:]).clone()


def _climb(
    network: nn.Module,
    targets: Tensor,
    settings: Settings,
    parameter: Tensor,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> Tensor:
    """Make one step of the parameter, in place; return the scores (N,) before it."""
    with torch.enable_grad():
        with float32(parameter):
            pictures = settings.parametrisation.decode(parameter)
            transformed = pictures
            for transform in settings.transforms:
                transformed = transform(transformed, generator)
            penalty = torch.zeros_like(targets, dtype=pictures.dtype)
            for regulariser in settings.regularisers:
                penalty = penalty + regulariser(pictures)
        scores = evaluate(network, settings.objective, pictures, transformed, targets)
        (gradient,) = torch.autograd.grad((scores - penalty).sum(), parameter)
    if settings.normalised:
        axes = tuple(range(1, gradient.ndim))
        length = torch.linalg.vector_norm(gradient, dim=axes, keepdim=True)
        gradient = gradient / length.clamp(min=1e-12)
    # PyTorch's optimisers go down.
    parameter.grad = -gradient
    optimiser.step()
    return scores.detach()


@torch.no_grad()
def _tidy(settings: Settings, parameter: Tensor, step: int) -> None:
    """Bring the parameter back into the valid range, and blur it when it is time."""
    form = settings.parametrisation
    parameter.copy_(form.constrain(parameter))
    if settings.blur_every and step % settings.blur_every == 0:
        with float32(parameter):
            blurred = gaussian_blur(form.decode(parameter), 5, 0.5)
            parameter.copy_(form.encode(blurred))


@torch.no_grad()
def _decode(settings: Settings, parameter: Tensor) -> Tensor:
    with float32(parameter):
        return settings.parametrisation.decode(parameter).clamp(0, 1)


def judge(network: nn.Module, drawn: Visualization) -> Tensor:
    """Return the rank (N,) int64 that another network gives each picture's class.

    The highest score has rank 1. The network reads the picture as a file stores it, in
    8 bits, and runs in float32. Raises ValueError for a network whose `class_names` are
    not those of the one that drew.
    """
    check_network(network)
    names = tuple(getattr(network, "class_names", ()))
    if names != drawn.class_names:
        raise ValueError(
            f"expected a judge of the drawer's {len(drawn.class_names)} classes, got "
            f"one of {len(names)} whose class_names are others; "
            "take a network that was trained on the same classes."
        )
    logits = float32_logits(network, round_to_8_bits(drawn.images))
    return ranks(logits, drawn.targets)
