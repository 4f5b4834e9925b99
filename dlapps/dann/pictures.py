"""Domains as one uint8 tensor each, indexed by vector; pixels are made a batch at a time, in microseconds."""

import functools
from collections.abc import Iterator

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps.core import training
from dlapps.core.images import as_uint8
from dlapps.core.metrics import as_tensor
from dlapps.core.runtime import device_of, run_once
from dlapps.core.training import as_labels


def as_domains(
    network: nn.Module, source: ArrayLike, labels: ArrayLike, target: ArrayLike, paired: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures as `as_uint8` has them and labels as `as_labels`, those of a network to be trained.

    ValueError too where heights and widths differ or are not the network's, or, of domains that are paired, their
    numbers of pictures.
    """
    source, target = as_uint8(source), as_uint8(target)
    if source.shape[1:3] != target.shape[1:3]:
        raise ValueError(
            f"expected domains of one size, got {source.shape[1]} x {source.shape[2]} and {target.shape[1]} x "
            f"{target.shape[2]} pixels; resize one of them."
        )
    if paired and len(source) != len(target):
        raise ValueError(f"expected paired domains of one size, got {len(source)} and {len(target)}; unpair them.")
    try_pictures(network, source)
    # torch's types know no such name.
    return source, as_labels(labels, len(source), network.num_classes), target  # type: ignore[arg-type]


def try_pictures(network: nn.Module, pictures: Tensor) -> None:
    """Raise ValueError for a network that fails on pictures of this size."""
    run_once(network, batch_to_pixels(pictures[:2], channels=channels_of(network)), name="a network")


def batch_to_pixels(pictures: ArrayLike, device: torch.device | str = "cpu", channels: int = 3) -> Tensor:
    """uint8 (N, H, W) or (N, H, W, 3) to pixels (N, C, H, W) float32 in [0, 1], channels last in memory.

    Grey is copied to all channels. Raises ValueError for colour where there is one channel.
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
    """How many channels of pixels a network takes, or its feature extractor: as input_shape or channels say, else 3."""
    return getattr(network, "input_shape", (getattr(network, "channels", 3),))[0]


def draw_rows(number: int, total: int, generator: torch.Generator) -> Tensor:
    """`total` rows of `number`: one random order after another, so that each row is drawn equally often."""
    orders = [torch.randperm(number, generator=generator) for _ in range(-(-total // number))]
    return torch.cat(orders)[:total]


def draw_batches(
    source: Tensor, target: Tensor, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """Rows of the source in a random order and as many of the target, drawn independently, batch by batch."""
    orders = [draw_rows(len(domain), len(source), generator) for domain in (source, target)]
    return zip(*(order.split(batch_size) for order in orders), strict=True)


def predict(network: nn.Module, images: ArrayLike, precision: str = "fast", batch_size: int = 500) -> Tensor:
    """What a network gives in eval mode for pictures uint8 (N, H, W) or (N, H, W, 3): float32 (N, K), on the CPU.

    Pass `network.feature_extractor` for the features (N, D).
    """
    prepare = functools.partial(batch_to_pixels, device=device_of(network), channels=channels_of(network))
    return training.predict(network, as_uint8(images), batch_size=batch_size, precision=precision, prepare=prepare)


def accuracy(network: nn.Module, images: ArrayLike, labels: ArrayLike, precision: str = "fast") -> float:
    """Share of the pictures whose highest logit is their label's."""
    return training.accuracy(predict(network, images, precision), labels)
