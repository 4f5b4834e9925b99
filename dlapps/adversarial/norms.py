"""The balls that perturbations stay in: what differs between the maximum norm and length."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dlapps import check_name
from dlapps.core.runtime import make_generator

# A number, or one a picture.
PerPicture = float | Sequence[float] | np.ndarray | Tensor


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
