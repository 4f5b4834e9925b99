"""The balls that perturbations stay in: what differs between the maximum norm and length."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dlapps import check_name
from dlapps.core.runtime import make_generator

# A number, or one a picture.
PerPicture = float | Sequence[float] | np.ndarray | Tensor
Rows = Tensor | slice


def as_lengths(name: str, values: PerPicture, images: Tensor, most: float | None = None) -> Tensor:
    """A length for each picture, in doubles (N, 1, 1, 1), on the CPU."""
    column = torch.as_tensor(values, dtype=torch.float64, device="cpu")
    number, limit = len(images), torch.finfo(images.dtype).max if most is None else most
    if column.shape not in {(), (number,)} or not ((column >= 0) & (column <= limit)).all():
        raise ValueError(
            f"expected {name} >= 0, finite{'' if most is None else f', at most {most:g} (pixels lie in [0, 1])'}, a "
            f"number or one for each of {number} pictures, got {values}; change it."
        )
    return column.expand(number).view(-1, 1, 1, 1)


class Ball:
    """The pictures in [0, 1] within epsilon (N, 1, 1, 1) of clean ones (N, C, H, W) in a norm.

    epsilon: in doubles, on the CPU, as `as_lengths` has it; radii: in the pictures' type, on their device.
    """

    def __init__(self, clean: Tensor, norm: str, epsilon: Tensor) -> None:
        self.clean, self.norm, self.epsilon, self.radii = clean, norm, epsilon, epsilon.to(clean)

    def nearest(self, pictures: Tensor, rows: Rows = slice(None)) -> Tensor:
        """The nearest pictures inside, of these rows, but for rounding."""
        clean = self.clean[rows]
        return (clean + project(pictures - clean, self.norm, self.radii[rows])).clamp_(0, 1)

    def draw(self, seed: int) -> Tensor:
        """Pictures from anywhere inside."""
        return (self.clean + self.radii * random_direction(self.clean, self.norm, seed)).clamp_(0, 1)

    def settle(self, pictures: Tensor) -> Tensor:
        """Pictures inside, moved by no more than rounding took them outside: x + epsilon may be further from x."""
        near = self.epsilon.float()
        radii = torch.where(near > self.epsilon, _below(near), near).to(self.clean)
        if self.norm == "linf":
            return pictures.clamp(-_add_down(-self.clean, radii), _add_down(self.clean, radii))
        # A pixel is rounded by 2^-25 at most, and the length by less than a millionth.
        room = 2**-25 * math.sqrt(self.clean[0].numel())
        change = project(pictures - self.clean, self.norm, ((1 - 1e-6) * radii - room).clamp(min=0))
        return (self.clean + change).clamp_(0, 1)


def _add_down(first: Tensor, second: Tensor) -> Tensor:
    """The sum of float32 rounded down; what a sum lacks is exact (Knuth 1969, section 4.2.2, theorem B)."""
    total = first + second
    part = total - first
    lacks = (first - (total - part)) + (second - part)
    return torch.where(lacks < 0, _below(total), total)


def _below(values: Tensor) -> Tensor:
    return values.nextafter(torch.full_like(values, -torch.inf, device=values.device))


def normalise(gradients: Tensor, norm: str) -> Tensor:
    """The steepest direction of length 1 in a norm, for each picture; 0 where the gradient is."""
    if norm == "linf":
        return gradients.sign()
    return gradients / _lengths(gradients, norm).clamp(min=1e-12)


def project(perturbations: Tensor, norm: str, epsilon: float | Tensor) -> Tensor:
    """The nearest perturbations of length epsilon (a number or (N, 1, 1, 1)) at most in a norm."""
    limit = torch.as_tensor(epsilon, dtype=perturbations.dtype, device=perturbations.device)
    if norm == "linf":
        return perturbations.clamp(-limit, limit)
    return perturbations * (limit / _lengths(perturbations, norm).clamp(min=1e-12)).clamp(max=1)


def _lengths(perturbations: Tensor, norm: str) -> Tensor:
    check_name("norm", norm, ("linf", "l2"))
    return perturbations.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def random_direction(images: Tensor, norm: str, seed: int) -> Tensor:
    """Anywhere in the ball of radius 1; drawn on the CPU: the same whatever the device."""
    generator = make_generator(seed)
    if norm == "linf":
        direction = 2 * torch.rand(images.shape, generator=generator, device="cpu") - 1
    else:
        direction = normalise(torch.randn(images.shape, generator=generator, device="cpu"), norm)
        direction *= torch.rand(len(images), 1, 1, 1, generator=generator, device="cpu")
    return direction.to(images.device)
