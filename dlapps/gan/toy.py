"""Points in the plane, on which a measure of samples can be checked by eye: eight
Gaussians on a circle.
"""

import math

import torch
from torch import Tensor


def draw_ring(number: int, generator: torch.Generator) -> Tensor:
    """Points (number, 2), float32, of eight Gaussians of deviation .05 on the unit
    circle, all as likely.

    The data of Metz et al. (2017).
    """
    angles = 2 * math.pi / 8 * torch.randint(8, (number,), generator=generator)
    return torch.stack([angles.cos(), angles.sin()], 1) + 0.05 * torch.randn(
        number, 2, generator=generator
    )
