"""Parts of an ascent: parametrisations, regularisers, transforms and objectives."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.checks import check_counts, check_shares
from dlapps.core.class_scores import (
    check_finite,
    copy_channels_last,
    pick,
    read_logits,
)
from dlapps.core.images import warp
from dlapps.pretrained import IMAGENET_MEAN, IMAGENET_STD

# The practical's units are z = (x - MEAN) / STD.
MEAN = torch.tensor(IMAGENET_MEAN, device="cpu").view(3, 1, 1)
STD = torch.tensor(IMAGENET_STD, device="cpu").view(3, 1, 1)
# Square root of the covariance of the colours of ImageNet's pixels, as lucid publishes
# it, scaled to a norm of 1.
COLOURS = torch.tensor(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], device="cpu"
)
COLOURS = COLOURS / COLOURS.norm(dim=0).max()


@dataclass(frozen=True)
class Pixels:
    """The practical's units: z = (x - MEAN) / STD, with x in [0, 1]."""

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """z (1, 3, size, size) from N(0, 1)."""
        return torch.randn(1, 3, size, size, generator=generator, device="cpu")

    def encode(self, pictures: Tensor) -> Tensor:
        """z = (x - MEAN) / STD of pictures x (N, 3, H, W)."""
        return standardise(pictures)

    def decode(self, parameter: Tensor) -> Tensor:
        """x = MEAN + STD z of z (N, 3, H, W)."""
        return MEAN.to(parameter.device) + STD.to(parameter.device) * parameter

    def constrain(self, parameter: Tensor) -> Tensor:
        """z clamped to what x in [0, 1] allows."""
        black = torch.zeros((), device=parameter.device)
        white = torch.ones((), device=parameter.device)
        return parameter.clamp(self.encode(black), self.encode(white))


@dataclass(frozen=True)
class Fourier:
    """The spectrum of colours: x = sigmoid(contrast COLOURS irfft2(p / f)).

    f is the frequency (Olah, Mordvintsev & Schubert 2017). Dividing by it gives all
    scales the weight that they have in natural pictures. p is of decorrelated
    colours; a subclass may name others in `colours`.

    standardised: whether what goes into the sigmoid is divided by its standard
        deviation over the picture. Every picture then has the same contrast; that of
        natural pictures is about 1.2.
    """

    contrast: float = 0.25
    standardised: bool = False
    colours: ClassVar[Tensor] = COLOURS

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """p (1, 3, size, size / 2 + 1, 2), real and imaginary, from N(0, .01^2)."""
        shape = _scale(size, size, "cpu").shape
        return 0.01 * torch.randn(1, 3, *shape, 2, generator=generator, device="cpu")

    def encode(self, pictures: Tensor) -> Tensor:
        """p (N, 3, H, W / 2 + 1, 2) of pictures (N, 3, H, W), clamped to [.01, .99].

        If the contrast is standardised, raises ValueError for a picture of a single
        grey, which has no contrast.
        """
        is_flat = pictures.amax((1, 2, 3)) == pictures.amin((1, 2, 3))
        if self.standardised and is_flat.any():
            raise ValueError(
                "expected pictures with a contrast, got one of a single grey; "
                "start from another, or noise."
            )
        colours = torch.logit(pictures, eps=0.01) / self.contrast
        colours = _mix(torch.linalg.inv(self.colours), colours)
        height, width = pictures.shape[2:]
        scale = _scale(height, width, pictures.device)
        spectrum = torch.fft.rfft2(colours, norm="ortho") / scale
        return torch.view_as_real(spectrum)

    def decode(self, parameter: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in (0, 1) of p (N, 3, H, W / 2 + 1, 2)."""
        height = parameter.shape[2]
        width = 2 * (parameter.shape[3] - 1)
        scale = _scale(height, width, parameter.device)
        spectrum = torch.view_as_complex(parameter) * scale
        colours = torch.fft.irfft2(spectrum, s=(height, width), norm="ortho")
        colours = _mix(self.colours, colours)
        if self.standardised:
            colours = colours / colours.std((1, 2, 3), keepdim=True)
        return torch.sigmoid(self.contrast * colours)

    def constrain(self, parameter: Tensor) -> Tensor:
        """p as it is: the sigmoid keeps every picture in (0, 1)."""
        return parameter


def standardise(pictures: Tensor) -> Tensor:
    """(x - MEAN) / STD, the practical's units."""
    return (pictures - MEAN.to(pictures.device)) / STD.to(pictures.device)


def _mix(matrix: Tensor, colours: Tensor) -> Tensor:
    return torch.einsum("cd,ndhw->nchw", matrix.to(colours.device), colours)


def _scale(height: int, width: int, device: torch.device | str) -> Tensor:
    """1 / frequency (H, W / 2 + 1); the constant has the lowest of the others'."""
    if width % 2:
        raise ValueError(
            f"expected pictures of an even width, got {width}; "
            "resize them for a Fourier parametrisation."
        )
    down = torch.fft.fftfreq(height, device=device)
    right = torch.fft.rfftfreq(width, device=device)
    frequencies = torch.hypot(down[:, None], right[None])
    return 1 / frequencies.clamp(min=1 / max(height, width))


# What an ascent moves: a parameter that stands for pictures. One of your own has the
# same four methods: `noise`, a random parameter to start from; `encode` and `decode`,
# from and to pictures (N, 3, H, W) in [0, 1]; `constrain`, the nearest parameter whose
# pictures lie in [0, 1].
Parametrisation = Pixels | Fourier
Regulariser = Callable[[Tensor], Tensor]
Transform = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class L2:
    """weight ||z||^2, z = (x - MEAN) / STD, summed over the picture.

    It is the practical's lambda ||x||^2.
    """

    weight: float = 1e-3

    def __call__(self, pictures: Tensor) -> Tensor:
        return self.weight * standardise(pictures).square().sum((1, 2, 3))


@dataclass(frozen=True)
class TotalVariation:
    """weight times the sum of absolute differences between neighbouring pixels.

    Mahendran & Vedaldi 2015 propose such a regulariser.
    """

    weight: float = 1e-3

    def __call__(self, pictures: Tensor) -> Tensor:
        down = pictures.diff(dim=2).abs().sum((1, 2, 3))
        right = pictures.diff(dim=3).abs().sum((1, 2, 3))
        return self.weight * (down + right)


@dataclass(frozen=True)
class Jitter:
    """Roll by up to `reach` pixels on both axes, the same for the whole batch."""

    reach: int = 16

    def __post_init__(self) -> None:
        check_counts(0, reach=self.reach)

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        low, high = -self.reach, self.reach + 1
        shifts = torch.randint(low, high, (2,), generator=generator, device="cpu")
        return pictures.roll(shifts.tolist(), (2, 3))


@dataclass(frozen=True)
class Warp:
    """Scale by a factor within `scales`, and rotate by up to `degrees`.

    Both are about the centre, and the same for the whole batch.
    """

    scales: tuple[float, float] = (0.9, 1.1)
    degrees: float = 10.0

    def __post_init__(self) -> None:
        # PyTorch's grid_sample ends the process where it is to read at NaN.
        are_valid = all(0 < scale < math.inf for scale in self.scales)
        if not are_valid or not math.isfinite(self.degrees):
            raise ValueError(
                f"expected scales > 0 and degrees, all finite, got {self.scales} and "
                f"{self.degrees}; take scales around 1, and degrees such as 5."
            )

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        first, second = torch.rand(2, generator=generator, device="cpu").tolist()
        lowest, highest = self.scales
        scale = lowest + first * (highest - lowest)
        degrees = torch.tensor(self.degrees * (2 * second - 1), device="cpu")
        angle = torch.deg2rad(degrees)
        cos = torch.cos(angle) / scale
        sin = torch.sin(angle) / scale
        # The grid's units are half a width and half a height.
        wide = pictures.shape[3] / pictures.shape[2]
        rows = [[cos, -sin / wide, 0.0], [sin * wide, cos, 0.0]]
        matrix = torch.tensor([rows], device=pictures.device)
        # All pictures move alike: as channels of one picture they share one grid.
        stacked = pictures.flatten(0, 1)[None]
        return warp(stacked, matrix, "reflection").view(pictures.shape)


@dataclass(frozen=True)
class Crop:
    """Cut out a square window, and resize it to size x size.

    Its side is a share of the picture's within `shares`. The whole batch has the same
    window.
    """

    shares: tuple[float, float] = (0.3, 0.9)
    size: int = 128

    def __post_init__(self) -> None:
        check_counts(size=self.size)
        smallest, largest = self.shares
        check_shares(smallest=smallest, largest=largest)

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        first, down, right = torch.rand(3, generator=generator, device="cpu").tolist()
        height, width = pictures.shape[2:]
        smallest, largest = self.shares
        share = smallest + first * (largest - smallest)
        side = max(1, int(min(height, width) * share))
        top = int(down * (height - side))
        left = int(right * (width - side))
        window = pictures[:, :, top : top + side, left : left + side]
        return F.interpolate(
            window, (self.size, self.size), mode="bilinear", align_corners=False
        )


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise of this standard deviation, in pixels of [0, 1].

    It is the same for the whole batch.
    """

    deviation: float = 0.2

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(pictures.shape[1:], generator=generator, device="cpu")
        return pictures + self.deviation * noise.to(pictures.device)


@dataclass(frozen=True)
class Seen:
    """What an objective is computed from, differentiable.

    pictures: (N, 3, H, W) in [0, 1], before the transforms.
    logits: (N, K), of the pictures after the transforms.
    targets: (N,).
    """

    pictures: Tensor
    logits: Tensor
    targets: Tensor


def class_score(seen: Seen) -> Tensor:
    """The logit (N,) of the targets."""
    return pick(seen.logits, seen.targets)


def evaluate(
    network: nn.Module,
    objective: Callable[[Seen], Tensor],
    pictures: Tensor,
    transformed: Tensor,
    targets: Tensor,
) -> Tensor:
    """Return the objective (N,) of pictures that the network sees transformed.

    Raises ValueError for logits or an objective that are not finite, and for an
    objective of another shape.
    """
    logits = read_logits(network, copy_channels_last(transformed))
    check_finite(logits)
    values = objective(Seen(pictures, logits, targets))
    if values.shape != targets.shape:
        raise ValueError(
            f"expected an objective that gives one number for each of {len(targets)} "
            f"pictures, got shape {tuple(values.shape)}; "
            "take the mean over the other axes."
        )
    if not values.isfinite().all():
        raise ValueError(
            f"expected a finite objective, got {values.tolist()}; "
            "look for what made it."
        )
    return values
