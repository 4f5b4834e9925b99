"""Domains as one uint8 tensor each, indexed by vector; pixels are made a batch at a time, in microseconds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from dlapps.runtime import autocast

Pictures = np.ndarray | Tensor


def as_pictures(images: Pictures) -> Tensor:
    """A uint8 tensor (N, H, W) or (N, H, W, 3) of its own memory; ValueError for another type, shape, or no picture."""
    pictures = torch.tensor(images) if isinstance(images, np.ndarray) else images
    if pictures.dtype != torch.uint8 or not (pictures.ndim == 3 or (pictures.ndim == 4 and pictures.shape[3] == 3)):
        raise ValueError(
            f"expected pictures uint8 (N, H, W) or (N, H, W, 3), got {pictures.dtype} {tuple(pictures.shape)}; "
            "pass the images of a data set as they are."
        )
    if not len(pictures):
        raise ValueError("expected at least one picture in each domain, got none; check the selection.")
    return pictures


def as_domains(source: Pictures, target: Pictures) -> tuple[Tensor, Tensor]:
    """Both as `as_pictures` has them; ValueError too where their heights and widths differ."""
    source, target = as_pictures(source), as_pictures(target)
    if source.shape[1:3] != target.shape[1:3]:
        raise ValueError(
            f"expected domains of one size, got {source.shape[1]} x {source.shape[2]} and {target.shape[1]} x "
            f"{target.shape[2]} pixels; resize one of them."
        )
    return source, target


def as_labels(labels: Pictures, pictures: Tensor, num_classes: int) -> Tensor:
    """int64 (N,), one in [0, num_classes) for each picture; ValueError otherwise."""
    labels = torch.as_tensor(labels, dtype=torch.int64)
    if labels.shape != pictures.shape[:1]:
        raise ValueError(
            f"expected a label for each of the {len(pictures)} pictures, got shape {tuple(labels.shape)}; "
            "check the selection."
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"expected labels from 0 to {num_classes - 1}, got {int(labels.min())} to {int(labels.max())}; number the "
            "classes from 0, or give the network more of them."
        )
    return labels


def batch_to_pixels(pictures: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 (N, H, W) or (N, H, W, 3) to RGB pixels (N, 3, H, W) float32 in [0, 1], channels last in memory."""
    pixels = pictures.to(device).float().div_(255)
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(3).expand(-1, -1, -1, 3).contiguous()
    return pixels.permute(0, 3, 1, 2)


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


@torch.inference_mode()
def predict(network: nn.Module, images: Pictures, precision: str = "fast", batch_size: int = 500) -> Tensor:
    """What a network in eval mode gives for pictures uint8 (N, H, W) or (N, H, W, 3): float32 (N, K), on the CPU.

    Pass `network.feature_extractor` for the features (N, D).
    """
    device = next(network.parameters()).device
    with autocast(device, precision):
        batches = as_pictures(images).split(batch_size)
        return torch.cat([network(batch_to_pixels(batch, device)).float().cpu() for batch in batches])


def accuracy(network: nn.Module, images: Pictures, labels: Pictures, precision: str = "fast") -> float:
    """Share of the pictures whose highest logit is their label's."""
    return float((predict(network, images, precision).argmax(1) == torch.as_tensor(labels)).double().mean())
