"""What a digit may look like without ceasing to be that digit: its strokes, place and slant, and what it lies on.

Pixels (N, C, H, W) float32 in [0, 1] in and out; every draw comes from the generator.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def random_affine(pixels: Tensor, generator: torch.Generator, padding: str = "reflection") -> Tensor:
    """Turn by up to 15 degrees, scale by up to 1.2 either way, slant by up to .2, move by up to 2 of 28 pixels."""
    angle, scale, slant, left, top = _uniform((5, len(pixels)), generator) * torch.tensor(
        [[math.pi / 12], [math.log(1.2)], [0.2], [0.15], [0.15]]
    )
    cosine, sine = angle.cos() * scale.exp(), angle.sin() * scale.exp()
    # The grid's units are half a width and half a height.
    wide = pixels.shape[3] / pixels.shape[2]
    rows = (cosine, (slant * cosine - sine) / wide, left, sine * wide, slant * sine + cosine, top)
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid.to(pixels.device), padding_mode=padding, align_corners=False)


def random_strokes(digits: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply grey strokes by 1 to 7.4 and clip: their soft borders become part of them, as in a binarised digit."""
    gain = torch.rand(len(digits), 1, 1, 1, generator=generator).mul(2).exp()
    return (digits * gain.to(digits.device)).clamp(0, 1)


def random_textures(number: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Smooth random colours (number, 3, *size): noise with a spectrum 1 / f^a, a from 1 to 2.4, as photos have.

    Every other texture is made of two, with a border between them, as things in photos have. Contrast and mean colour
    are drawn too; some textures are nearly flat.
    """
    height, width = size
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)).clamp_min(1 / max(size))
    exponent = 1.7 + 0.7 * _uniform((number, 1, 1, 1), generator)
    noise = torch.fft.rfft2(torch.randn(number, 4, *size, generator=generator))
    noise = noise * frequency**-exponent
    noise[:, :, 0, 0] = 0
    fields = torch.fft.irfft2(noise, s=size)
    fields = fields / fields.std((2, 3), keepdim=True)
    # Colours of photos vary together for the most part.
    shared, own = fields[:, :1].roll(1, 0), fields[:, :3]
    mixed = 0.9 * shared + 0.4 * own
    contrast = 0.16 + 0.16 * _uniform((number, 1, 1, 1), generator)
    mean = 0.5 + 0.35 * _uniform((number, 1, 1, 1), generator)
    mean = mean + 0.2 * _uniform((number, 3, 1, 1), generator)
    textures = mean + contrast * mixed
    border = (fields[:, 3:] > 0.5) & (torch.arange(number) % 2 == 0).view(-1, 1, 1, 1)
    return torch.where(border, textures.roll(1, 0), textures).clamp(0, 1)


def lay_on_textures(digits: Tensor, generator: torch.Generator, negative: float = 0.5) -> Tensor:
    """Digits (N, 1, H, W) laid on random textures: (N, 3, H, W).

    A digit is the negative of what it lies on, with this probability, or else another texture.
    """
    # Two at least: a single digit has another texture too.
    textures = random_textures(max(2, len(digits)), (digits.shape[2], digits.shape[3]), generator).to(digits.device)
    below, others = textures[: len(digits)], textures.roll(len(textures) // 2, 0)[: len(digits)]
    flipped = (torch.rand(len(digits), 1, 1, 1, generator=generator) < negative).to(digits.device)
    above = torch.where(flipped, 1 - below, others)
    return below.lerp(above, digits)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """In [-1, 1)."""
    return 2 * torch.rand(shape, generator=generator) - 1
