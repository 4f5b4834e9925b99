"""What an ascent is made of: parametrisations, regularisers, transforms and objectives."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import check_counts, check_shares
from dlapps.core.class_scores import channels_last, pick, read_logits

# Of ImageNet's training pictures; the practical's units are pixels less this mean, over
# this deviation.
MEAN = torch.tensor([0.485, 0.456, 0.406], device="cpu").view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225], device="cpu").view(3, 1, 1)
# Square root of the covariance of the colours of ImageNet's pixels, as lucid publishes
# it, scaled to a norm of 1.
COLOURS = torch.tensor(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], device="cpu"
)
COLOURS = COLOURS / COLOURS.norm(dim=0).max()


class Parametrisation(Protocol):
    """Noise to start from, on the CPU; picture to parameter, parameter to picture, and
    back into the valid range.
    """

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """A random parameter for one picture of side `size`, to start the ascent from."""

    def encode(self, pictures: Tensor) -> Tensor:
        """The parameter of pictures (N, 3, H, W) in [0, 1]."""

    def decode(self, parameter: Tensor) -> Tensor:
        """The pictures (N, 3, H, W) that a parameter stands for, differentiable."""

    def constrain(self, parameter: Tensor) -> Tensor:
        """The nearest parameter whose pictures lie in [0, 1]."""


@dataclass(frozen=True)
class Pixels:
    """The practical's units: z = (x - MEAN) / STD for each colour of each pixel, kept
    where x lies in [0, 1].
    """

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
        black, white = (
            torch.full((), value, device=parameter.device) for value in (0.0, 1.0)
        )
        return parameter.clamp(self.encode(black), self.encode(white))


@dataclass(frozen=True)
class Fourier:
    """Spectrum of decorrelated colours: x = sigmoid(contrast COLOURS irfft2(p / f)), f
    frequency (Olah et al. 2017).

    Equal steps on p move all scales of the picture as natural pictures spread over
    them. decorrelated: whether p is of decorrelated colours, or of red, green and blue.
    standardised: whether what goes into the sigmoid is divided by its standard
    deviation over the picture, so that every picture has the same contrast, and p only
    a direction; natural pictures have a contrast of about 1.2 there.
    """

    contrast: float = 0.25
    decorrelated: bool = True
    standardised: bool = False

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """p (1, 3, size, size / 2 + 1, 2), real and imaginary parts from N(0, .01^2)."""
        shape = _scale(size, size, "cpu").shape
        return 0.01 * torch.randn(1, 3, *shape, 2, generator=generator, device="cpu")

    def encode(self, pictures: Tensor) -> Tensor:
        """p (N, 3, H, W / 2 + 1, 2) of pictures (N, 3, H, W); those nearer to 0 or 1
        than .01 are moved there.

        Raises ValueError for a picture of one grey where the contrast is standardised:
        it has none.
        """
        if (
            self.standardised
            and (pictures.amax((1, 2, 3)) == pictures.amin((1, 2, 3))).any()
        ):
            raise ValueError(
                "expected pictures with a contrast, got one of a single grey; start from another, or noise."
            )
        colours = torch.logit(pictures, eps=0.01) / self.contrast
        if self.decorrelated:
            colours = _mix(torch.linalg.inv(COLOURS), colours)
        height, width = pictures.shape[2:]
        spectrum = torch.fft.rfft2(colours, norm="ortho") / _scale(
            height, width, pictures.device
        )
        return torch.view_as_real(spectrum)

    def decode(self, parameter: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in (0, 1) of p (N, 3, H, W / 2 + 1, 2)."""
        height, width = parameter.shape[2], 2 * (parameter.shape[3] - 1)
        spectrum = torch.view_as_complex(parameter) * _scale(
            height, width, parameter.device
        )
        colours = torch.fft.irfft2(spectrum, s=(height, width), norm="ortho")
        if self.decorrelated:
            colours = _mix(COLOURS, colours)
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
    """1 / frequency (H, W / 2 + 1), the constant counted as the lowest of the others."""
    if width % 2:
        raise ValueError(
            f"expected pictures of an even width, got {width}; resize them for a Fourier parametrisation."
        )
    down, right = (
        torch.fft.fftfreq(height, device=device),
        torch.fft.rfftfreq(width, device=device),
    )
    frequencies = torch.hypot(down[:, None], right[None])
    return 1 / frequencies.clamp(min=1 / max(height, width))


Regulariser = Callable[[Tensor], Tensor]
Transform = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class L2:
    """weight ||z||^2 with z = (x - MEAN) / STD, summed over the picture: the
    practical's lambda ||x||^2.
    """

    weight: float = 1e-3

    def __call__(self, pictures: Tensor) -> Tensor:
        return self.weight * standardise(pictures).square().sum((1, 2, 3))


@dataclass(frozen=True)
class TotalVariation:
    """weight times the absolute differences between neighbours, summed over the picture
    (Mahendran & Vedaldi 2015).
    """

    weight: float = 1e-3

    def __call__(self, pictures: Tensor) -> Tensor:
        down, right = pictures.diff(dim=2).abs(), pictures.diff(dim=3).abs()
        return self.weight * (down.sum((1, 2, 3)) + right.sum((1, 2, 3)))


@dataclass(frozen=True)
class Jitter:
    """Roll by up to `reach` pixels on both axes, the same for the whole batch."""

    reach: int = 16

    def __post_init__(self) -> None:
        check_counts(0, reach=self.reach)

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        shifts = torch.randint(
            -self.reach, self.reach + 1, (2,), generator=generator, device="cpu"
        )
        return pictures.roll(shifts.tolist(), (2, 3))


@dataclass(frozen=True)
class Warp:
    """Scale by a factor within `scales`, rotate by up to `degrees`, about the centre,
    the same for the whole batch.
    """

    scales: tuple[float, float] = (0.9, 1.1)
    degrees: float = 10.0

    def __post_init__(self) -> None:
        # PyTorch's grid_sample ends the process where it is to read at NaN.
        if not all(0 < scale < math.inf for scale in self.scales) or not math.isfinite(
            self.degrees
        ):
            raise ValueError(
                f"expected scales > 0 and degrees, all finite, got {self.scales} and {self.degrees}; change them."
            )

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        first, second = torch.rand(2, generator=generator, device="cpu").tolist()
        scale = self.scales[0] + first * (self.scales[1] - self.scales[0])
        angle = torch.deg2rad(
            torch.tensor(self.degrees * (2 * second - 1), device="cpu")
        )
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        # The grid's units are half a width and half a height.
        zero, wide = (
            torch.zeros((), device="cpu"),
            pictures.shape[3] / pictures.shape[2],
        )
        matrix = (
            torch.stack([cos, -sin / wide, zero, sin * wide, cos, zero])
            .view(1, 2, 3)
            .to(pictures.device)
        )
        # As channels of one picture, since all move alike: where they are read is
        # computed once.
        stacked = pictures.flatten(0, 1)[None]
        grid = F.affine_grid(matrix, list(stacked.shape), align_corners=False)
        moved = F.grid_sample(
            stacked, grid, padding_mode="reflection", align_corners=False
        )
        return moved.view(pictures.shape)


@dataclass(frozen=True)
class Crop:
    """A square window, its side a share of the picture's within `shares`, seen at size
    x size; one for the batch.
    """

    shares: tuple[float, float] = (0.3, 0.9)
    size: int = 128

    def __post_init__(self) -> None:
        check_counts(size=self.size)
        check_shares(**dict(zip(("smallest", "largest"), self.shares, strict=True)))

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        first, down, right = torch.rand(3, generator=generator, device="cpu").tolist()
        height, width = pictures.shape[2:]
        share = self.shares[0] + first * (self.shares[1] - self.shares[0])
        side = max(1, int(min(height, width) * share))
        top, left = int(down * (height - side)), int(right * (width - side))
        window = pictures[:, :, top : top + side, left : left + side]
        return F.interpolate(
            window, (self.size, self.size), mode="bilinear", align_corners=False
        )


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise of this standard deviation, in pixels of [0, 1], the same for
    the whole batch.
    """

    deviation: float = 0.2

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(pictures.shape[1:], generator=generator, device="cpu")
        return pictures + self.deviation * noise.to(pictures.device)


@dataclass(frozen=True)
class Seen:
    """What an objective is computed from, differentiable.

    pictures: (N, 3, H, W) in [0, 1], before the transforms; logits: (N, K) of the
    pictures after them; targets: (N,).
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
    """The objective (N,) of pictures of which the network sees the transformed ones."""
    values = objective(
        Seen(pictures, read_logits(network, channels_last(transformed)), targets)
    )
    if values.shape != targets.shape:
        raise ValueError(
            f"expected an objective that gives one number for each of {len(targets)} pictures, got shape "
            f"{tuple(values.shape)}; take the mean over the other axes."
        )
    if not values.isfinite().all():
        raise ValueError(
            f"expected a finite objective, got {values.tolist()}; look for what made it."
        )
    return values
