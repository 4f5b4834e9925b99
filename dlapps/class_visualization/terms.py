"""Regularisers, pictures (N, 3, H, W) -> penalties (N,); and transforms, what is done to a picture before each look."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dlapps import check_counts, check_shares
from dlapps.class_visualization.pictures import standardise

Regulariser = Callable[[Tensor], Tensor]
Transform = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class L2:
    """weight ||z||^2 with z = (x - MEAN) / STD, summed over the picture: the practical's lambda ||x||^2."""

    weight: float = 1e-3

    def __call__(self, pictures: Tensor) -> Tensor:
        return self.weight * standardise(pictures).square().sum((1, 2, 3))


@dataclass(frozen=True)
class TotalVariation:
    """weight times the absolute differences between neighbours, summed over the picture (Mahendran & Vedaldi 2015)."""

    weight: float = 1e-3

    def __call__(self, pictures: Tensor) -> Tensor:
        return self.weight * total_variation(pictures)


@dataclass(frozen=True)
class Jitter:
    """Roll by up to `reach` pixels on both axes, the same for the whole batch."""

    reach: int = 16

    def __post_init__(self) -> None:
        check_counts(0, reach=self.reach)

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        shifts = torch.randint(-self.reach, self.reach + 1, (2,), generator=generator, device="cpu")
        return pictures.roll(shifts.tolist(), (2, 3))


@dataclass(frozen=True)
class Warp:
    """Scale by a factor within `scales`, rotate by up to `degrees`, about the centre, the same for the whole batch."""

    scales: tuple[float, float] = (0.9, 1.1)
    degrees: float = 10.0

    def __post_init__(self) -> None:
        # PyTorch's grid_sample ends the process where it is to read at NaN.
        if not all(0 < scale < math.inf for scale in self.scales) or not math.isfinite(self.degrees):
            raise ValueError(
                f"expected scales > 0 and degrees, all finite, got {self.scales} and {self.degrees}; change them."
            )

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        first, second = torch.rand(2, generator=generator, device="cpu").tolist()
        scale = self.scales[0] + first * (self.scales[1] - self.scales[0])
        angle = torch.deg2rad(torch.tensor(self.degrees * (2 * second - 1), device="cpu"))
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        # The grid's units are half a width and half a height.
        zero, wide = torch.zeros((), device="cpu"), pictures.shape[3] / pictures.shape[2]
        matrix = torch.stack([cos, -sin / wide, zero, sin * wide, cos, zero]).view(1, 2, 3).to(pictures.device)
        # As channels of one picture, since all move alike: where they are read is computed once.
        stacked = pictures.flatten(0, 1)[None]
        grid = F.affine_grid(matrix, list(stacked.shape), align_corners=False)
        moved = F.grid_sample(stacked, grid, padding_mode="reflection", align_corners=False)
        return moved.view(pictures.shape)


@dataclass(frozen=True)
class Crop:
    """A square window, its side a share of the picture's within `shares`, seen at size x size; one for the batch."""

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
        return F.interpolate(window, (self.size, self.size), mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise of this standard deviation, in pixels of [0, 1], the same for the whole batch."""

    deviation: float = 0.2

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(pictures.shape[1:], generator=generator, device="cpu")
        return pictures + self.deviation * noise.to(pictures.device)


def total_variation(pictures: Tensor) -> Tensor:
    """Absolute differences between neighbours, summed over each picture: (N, 3, H, W) -> (N,)."""
    down, right = pictures.diff(dim=2).abs(), pictures.diff(dim=3).abs()
    return down.sum((1, 2, 3)) + right.sum((1, 2, 3))
