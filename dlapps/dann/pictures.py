"""Images of two domains: batches of pixels, what a network gives for them,
pseudo-labels, and what augments digits.

A domain is one uint8 tensor; pixels are made a batch at a time, in microseconds. An
augmentation takes and gives pixels (N, C, H, W) float32 in [0, 1], leaves a digit the
digit that it is, and draws from the generator alone.
"""

import functools
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps.core import training
from dlapps.core.images import as_uint8
from dlapps.core.metrics import as_tensor, entropy
from dlapps.core.runtime import device_of, run_once
from dlapps.core.training import as_labels

PREDICTED_AT_ONCE = 500


def as_domains(
    network: nn.Module,
    source: ArrayLike,
    labels: ArrayLike,
    target: ArrayLike,
    paired: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures as `as_uint8` has them and labels as `as_labels`, those of a network to
    be trained.

    ValueError too where heights and widths differ or are not the network's, or, of
    domains that are paired, their numbers of pictures.
    """
    source, target = as_uint8(source), as_uint8(target)
    if source.shape[1:3] != target.shape[1:3]:
        raise ValueError(
            f"expected domains of one size, got {source.shape[1]} x {source.shape[2]} and {target.shape[1]} x "
            f"{target.shape[2]} pixels; resize one of them."
        )
    if paired and len(source) != len(target):
        raise ValueError(
            f"expected paired domains of one size, got {len(source)} and {len(target)}; unpair them."
        )
    check_size(network, source)
    # torch's types know no such name.
    return source, as_labels(labels, len(source), network.num_classes), target  # type: ignore[arg-type]


def check_size(network: nn.Module, pictures: Tensor) -> None:
    """Raise ValueError for a network that fails on pictures of this size."""
    run_once(
        network,
        batch_to_pixels(pictures[:2], channels=channels_of(network)),
        name="a network",
    )


def batch_to_pixels(
    pictures: ArrayLike, device: torch.device | str = "cpu", channels: int = 3
) -> Tensor:
    """uint8 (N, H, W) or (N, H, W, 3) to pixels (N, C, H, W) float32 in [0, 1],
    channels last in memory.

    Grey is copied to all channels. Raises ValueError for colour where there is one
    channel.
    """
    pixels = as_tensor(pictures).to(device).float().div(255)
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(3).expand(-1, -1, -1, channels).contiguous()
    elif channels != pixels.shape[3]:
        raise ValueError(
            f"expected grey pictures (N, H, W) for a network of {channels} channels, got {tuple(pixels.shape)}; "
            "convert them, or give the network 3."
        )
    return pixels.permute(0, 3, 1, 2)


def channels_of(network: nn.Module) -> int:
    """How many channels of pixels a network takes, or its feature extractor: as
    input_shape or channels say, else 3.
    """
    return getattr(network, "input_shape", (getattr(network, "channels", 3),))[0]


def draw_rows(number: int, total: int, generator: torch.Generator) -> Tensor:
    """`total` rows of `number`: one random order after another, so that each row is
    drawn equally often.
    """
    orders = [
        torch.randperm(number, generator=generator) for _ in range(-(-total // number))
    ]
    return torch.cat(orders)[:total]


def draw_batches(
    source: Tensor, target: Tensor, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """Rows of the source in a random order and as many of the target, drawn
    independently, batch by batch.
    """
    orders = [
        draw_rows(len(domain), len(source), generator) for domain in (source, target)
    ]
    return zip(*(order.split(batch_size) for order in orders), strict=True)


def predict(network: nn.Module, images: ArrayLike, precision: str = "fast") -> Tensor:
    """What a network gives in eval mode for pictures uint8 (N, H, W) or (N, H, W, 3):
    float32 (N, K), on the CPU.

    Pass `network.feature_extractor` for the features (N, D).
    """
    prepare = functools.partial(
        batch_to_pixels, device=device_of(network), channels=channels_of(network)
    )
    return training.predict(
        network,
        as_uint8(images),
        batch_size=PREDICTED_AT_ONCE,
        precision=precision,
        prepare=prepare,
    )


def accuracy(
    network: nn.Module, images: ArrayLike, labels: ArrayLike, precision: str = "fast"
) -> float:
    """Share of the images whose highest logit is their label's; precision: see
    `runtime.autocast`.
    """
    return training.accuracy(predict(network, images, precision), labels)


def _as_logits(logits: ArrayLike) -> Tensor:
    """Logits (N, K) float32, some of which may be minus infinity; ValueError for others
    that are not finite.
    """
    found = as_tensor(logits).float()
    if found.ndim != 2 or not found.numel():
        raise ValueError(
            f"expected logits (N, K), got {tuple(found.shape)}; pass one row a picture."
        )
    # NaN is the highest of its row.
    if wrong := int((~found.amax(1).isfinite()).sum()):
        raise ValueError(
            f"expected logits whose highest is finite, got NaN or infinity in {wrong} of {len(found)} rows; check the "
            "network and its input."
        )
    return found


def class_diversity(logits: ArrayLike, num_classes: int | None = None) -> float:
    """Entropy of the mean of predictions (N, K), in units of log K: 1 where all classes
    are equally frequent, near 0 where nearly all pictures fall into one. num_classes:
    in place of K, where there are no more classes; above 1 where others than these are
    predicted too.
    """
    predictions = _as_logits(logits).softmax(1)
    return entropy(predictions.mean(0)) / math.log(
        max(2, num_classes or predictions.shape[1])
    )


def random_affine(
    pixels: Tensor, generator: torch.Generator, padding: str = "reflection"
) -> Tensor:
    """Turn by up to 15 degrees, scale by up to 1.2 either way, slant by up to .2, move
    by up to 2 of 28 pixels.
    """
    angle, scale, slant, left, top = _uniform(
        (5, len(pixels)), generator
    ) * torch.tensor([[math.pi / 12], [math.log(1.2)], [0.2], [0.15], [0.15]])
    cosine, sine = angle.cos() * scale.exp(), angle.sin() * scale.exp()
    # The grid's units are half a width and half a height.
    wide = pixels.shape[3] / pixels.shape[2]
    rows = (
        cosine,
        (slant * cosine - sine) / wide,
        left,
        sine * wide,
        slant * sine + cosine,
        top,
    )
    grid = F.affine_grid(
        torch.stack(rows, 1).view(-1, 2, 3), list(pixels.shape), align_corners=False
    )
    return F.grid_sample(
        pixels, grid.to(pixels.device), padding_mode=padding, align_corners=False
    )


def random_strokes(digits: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply grey strokes by 1 to 7.4 and clip: their soft borders become part of
    them, as in a binarised digit.
    """
    gain = torch.rand(len(digits), 1, 1, 1, generator=generator).mul(2).exp()
    return (digits * gain.to(digits.device)).clamp(0, 1)


def random_textures(
    number: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Smooth random colours (number, 3, *size): noise with a spectrum 1 / f^a, a from 1
    to 2.4, as photos have.

    Every other texture is made of two, with a border between them, as things in photos
    have. Contrast and mean colour are drawn too; some textures are nearly flat.
    """
    height, width = size
    frequency = torch.hypot(
        torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    ).clamp_min(1 / max(size))
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


def lay_on_textures(
    digits: Tensor, negative: float, generator: torch.Generator
) -> Tensor:
    """Digits (N, 1, H, W) laid on random textures: (N, 3, H, W).

    A digit is the negative of what it lies on with that probability, or else another
    texture.
    """
    # Two at least: a single digit has another texture too.
    textures = random_textures(
        max(2, len(digits)), (digits.shape[2], digits.shape[3]), generator
    ).to(digits.device)
    below, others = (
        textures[: len(digits)],
        textures.roll(len(textures) // 2, 0)[: len(digits)],
    )
    flipped = (torch.rand(len(digits), 1, 1, 1, generator=generator) < negative).to(
        digits.device
    )
    above = torch.where(flipped, 1 - below, others)
    return below.lerp(above, digits)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """In [-1, 1)."""
    return 2 * torch.rand(shape, generator=generator) - 1
