"""Points in the plane, on which a measure of samples can be checked by eye."""

import math

import torch
from torch import Tensor


def draw_ring(number: int, generator: torch.Generator) -> Tensor:
    """Draw points (number, 2) float32 of eight Gaussians on the unit circle.

    All are as likely, with a standard deviation of .05 (Metz et al. 2017).
    """
    modes = torch.randint(8, (number,), generator=generator)
    angles = 2 * math.pi / 8 * modes
    centres = torch.stack([angles.cos(), angles.sin()], 1)
    return centres + 0.05 * torch.randn(number, 2, generator=generator)
