"""Images of two domains: checks, batches of pixels, predictions and augmentations.

A domain is a uint8 tensor (N, H, W) or (N, H, W, 3), which is converted to pixels batch
by batch, in microseconds. An augmentation takes and returns pixels (N, C, H, W) float32
in [0, 1]. It does not change which digit an image shows, and draws from its generator
alone.
"""

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps.core import training
from dlapps.core.images import as_uint8, levels_to_pixels, warp
from dlapps.core.runtime import device_of, progress
from dlapps.core.training import Augment, epoch_size
from dlapps.dann.settings import Settings

PREDICTED_AT_ONCE = 500


class DomainBatch(NamedTuple):
    """A batch of both domains.

    source, target: pixels (N, 3, H, W).
    classes: those of the source (N,).
    progress: the share of the training that is over, in [0, 1).
    """

    source: Tensor
    target: Tensor
    classes: Tensor
    progress: float


def batch_to_pixels(pictures: ArrayLike, device: torch.device | str = "cpu") -> Tensor:
    """Convert pictures uint8 (N, H, W) or (N, H, W, 3) to pixels in [0, 1].

    Returns float32 (N, 3, H, W), stored with channels last. A grey picture is copied to
    all channels.
    """
    pixels = levels_to_pixels(as_uint8(pictures).to(device))
    colours = pixels.expand(-1, 3, -1, -1)
    return colours.contiguous(memory_format=torch.channels_last)


def draw_rows(number: int, total: int, generator: torch.Generator) -> Tensor:
    """Draw `total` of the rows 0 to number - 1, int64 (total,).

    The rows come in one random order after another, so that each is drawn equally
    often.
    """
    num_orders = math.ceil(total / number)
    orders = [torch.randperm(number, generator=generator) for _ in range(num_orders)]
    return torch.cat(orders)[:total]


def draw_domain_batches(
    network: nn.Module,
    domains: tuple[Tensor, Tensor, Tensor],
    settings: Settings,
    epoch: int,
    generator: torch.Generator,
    augment: Augment | None = None,
) -> Iterator[DomainBatch]:
    """Draw the batches of an epoch, on the network's device, with a progress bar.

    The source's rows come in a random order, and as many of the target are drawn
    independently: `epoch_size` of the source's number.

    domains: the source, its labels and the target, as `as_uint8` and `as_labels` give
        them.
    augment: changes the source alone.
    """
    source, labels, target = domains
    device = device_of(network)
    size = settings.batch_size
    number = epoch_size(len(source), size)
    order = draw_rows(len(source), len(source), generator)[:number].split(size)
    target_order = draw_rows(len(target), len(source), generator)[:number].split(size)
    for step, rows in enumerate(progress(order)):
        pixels = batch_to_pixels(source[rows], device)
        if augment:
            pixels = augment(pixels, generator)
        yield DomainBatch(
            source=pixels,
            target=batch_to_pixels(target[target_order[step]], device),
            classes=labels[rows].to(device),
            progress=(epoch + step / len(order)) / settings.num_epochs,
        )


def predict(network: nn.Module, images: ArrayLike) -> Tensor:
    """Return a network's outputs (N, K) in eval mode, float32 on the CPU.

    For the features (N, D), pass `network.feature_extractor`.

    images: uint8 (N, H, W) or (N, H, W, 3).
    """
    prepare = functools.partial(batch_to_pixels, device=device_of(network))
    return training.predict(
        network,
        as_uint8(images),
        batch_size=PREDICTED_AT_ONCE,
        prepare=prepare,
    )


def accuracy(network: nn.Module, images: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of images whose highest logit is their label's."""
    return training.accuracy(predict(network, images), labels)


def random_affine(
    pixels: Tensor, generator: torch.Generator, padding: str = "reflection"
) -> Tensor:
    """Turn, scale, slant and move each image at random.

    It is turned by up to 15 degrees, scaled by up to 1.2 up or down, slanted
    by up to 0.2, and moved by up to 0.15 of half its side, two pixels of 28.

    padding: what fills the image beyond its border, as for `warp`.
    """
    largest = torch.tensor([math.pi / 12, math.log(1.2), 0.2, 0.15, 0.15])
    draws = _uniform(-1, 1, (5, len(pixels)), generator) * largest[:, None]
    angle, log_scale, slant, left, top = draws
    cosine = angle.cos() * log_scale.exp()
    sine = angle.sin() * log_scale.exp()
    # The grid's units are half a width and half a height.
    wide = pixels.shape[3] / pixels.shape[2]
    first_row = [cosine, (slant * cosine - sine) / wide, left]
    second_row = [sine * wide, slant * sine + cosine, top]
    matrices = torch.stack(first_row + second_row, 1).view(-1, 2, 3)
    return warp(pixels, matrices, padding)


def random_strokes(digits: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply grey digits (N, 1, H, W) by 1 to 7.4, and clip them at 1.

    Their soft borders become full strokes, as in a binarised digit.
    """
    gain = torch.rand(len(digits), 1, 1, 1, generator=generator).mul(2).exp()
    return (digits * gain.to(digits.device)).clamp(0, 1)


def random_textures(
    number: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Draw smooth random colours (number, 3, *size) float32 in [0, 1]: noise with a
    spectrum 1 / f^a, a from 1 to 2.4, as photos have.

    Every other texture is made of two, with a border between them, as between things in
    a photo. Contrast and mean colour are random too; some textures are nearly flat.
    """
    per_texture = (number, 1, 1, 1)
    exponent = _uniform(1.0, 2.4, per_texture, generator)
    noise = _smooth_noise((number, 4, *size), exponent, generator)
    colours = noise[:, 0:3]
    border = noise[:, 3:4]

    # The colours of a photo vary together for the most part. What they share is taken
    # from the noise of the texture before, which has nothing to do with their own.
    shared = noise[:, 0:1].roll(1, 0)
    variation = 0.9 * shared + 0.4 * colours
    contrast = _uniform(0.0, 0.32, per_texture, generator)
    mean_grey = _uniform(0.15, 0.85, per_texture, generator)
    mean_colour = mean_grey + _uniform(-0.2, 0.2, (number, 3, 1, 1), generator)
    textures = mean_colour + contrast * variation

    has_border = (torch.arange(number) % 2 == 0).view(per_texture)
    is_beyond = has_border & (border > 0.5)
    others = textures.roll(1, 0)
    return torch.where(is_beyond, others, textures).clamp(0, 1)


def _smooth_noise(
    shape: tuple[int, int, int, int], exponent: Tensor, generator: torch.Generator
) -> Tensor:
    """Draw noise (N, C, H, W) with the spectrum 1 / f^exponent.

    Each channel has a mean of 0 and a standard deviation of 1. exponent: (N, 1, 1, 1).
    """
    height, width = shape[2:]
    down = torch.fft.fftfreq(height)[:, None]
    right = torch.fft.rfftfreq(width)
    frequency = torch.hypot(down, right).clamp_min(1 / max(height, width))
    noise = torch.randn(shape, generator=generator)
    spectrum = torch.fft.rfft2(noise) * frequency**-exponent
    spectrum[:, :, 0, 0] = 0
    noise = torch.fft.irfft2(spectrum, s=(height, width))
    return noise / noise.std((2, 3), keepdim=True)


def _uniform(
    low: float, high: float, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Draw numbers from [low, high)."""
    draws = 2 * torch.rand(shape, generator=generator) - 1
    return (low + high) / 2 + (high - low) / 2 * draws
