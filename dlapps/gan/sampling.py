"""Images as a GAN takes them, drawing from a generator, and the committed ones.

A drawing takes latent vectors: random ones, or a path between two of them.
"""

from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps.core import paths
from dlapps.core.arrays import as_labels, as_tensor
from dlapps.core.checks import check_name
from dlapps.core.images import as_uint8
from dlapps.core.runtime import channels_last, make_generator
from dlapps.core.training import predict
from dlapps.core.weights import load_network
from dlapps.gan.networks import (
    AnyGenerator,
    Settings,
    generator_of,
)

BATCH = 256  # images drawn at a time


def draw_latents(number: int, latent_dim: int, seed: int) -> Tensor:
    """Draw latent vectors z ~ N(0, 1): float32 (number, latent_dim).

    The first of them are those that a training of the same seed draws. To measure its
    generator, take another seed, such as 10_000 + seed.
    """
    return torch.randn(number, latent_dim, generator=make_generator(seed))


def sample(
    generator: nn.Module, z: ArrayLike, labels: ArrayLike | None = None
) -> Tensor:
    """Draw images (N, 1, S, S) float32 in [-1, 1], on the CPU.

    The generator runs in eval mode, so that no image depends on the others, and keeps
    its mode.

    z: latent vectors (N, latent_dim).
    labels: (N,) in [0, K), for a conditional generator only.

    Raises ValueError for other vectors and labels.
    """
    z = as_tensor(z).float()
    # A generator of one's own need not have these.
    latent_dim = getattr(generator, "latent_dim", z.shape[-1])
    num_classes = getattr(generator, "num_classes", None)
    if z.shape[1:] != (latent_dim,):
        raise ValueError(
            f"expected latent vectors (N, {latent_dim}), got {tuple(z.shape)}; "
            "draw them by draw_latents."
        )
    if num_classes is not None and bool(num_classes) != (labels is not None):
        raise ValueError(
            "expected a generator of classes and labels, got only one; "
            "pass both or neither."
        )
    if labels is None:
        return predict(generator, z, batch_size=BATCH)
    labels = as_labels(labels, len(z), num_classes)
    return predict(generator, z, labels, batch_size=BATCH)


def sample_grid(generator: Any, z: Tensor) -> Tensor:
    """Draw each class of a conditional generator with each z (N, latent_dim).

    Returns images (K, N, 1, S, S), a row for each class and a column for each z.
    """
    num_classes = generator.num_classes
    labels = torch.arange(num_classes).repeat_interleave(len(z))
    images = sample(generator, z.repeat(num_classes, 1), labels)
    return images.unflatten(0, (num_classes, len(z)))


def to_uint8(images: ArrayLike) -> Tensor:
    """Convert images (..., 1, S, S) in [-1, 1] to levels uint8 (..., S, S).

    Raises ValueError for other shapes, and for levels.
    """
    pixels = as_tensor(images)
    has_shape = pixels.is_floating_point() and pixels.shape[-3:-2] == (1,)
    # Noise may leave [-1, 1]; levels of 0 to 255 would all be white.
    if not has_shape or not (pixels.abs() <= 9).all():
        raise ValueError(
            "expected images (..., 1, S, S) in [-1, 1], got "
            f"{pixels.dtype} {tuple(pixels.shape)}; divide levels by 127.5 and "
            "subtract 1, and look for NaN."
        )
    return pixels.add(1).mul(127.5).round().clamp(0, 255).byte().squeeze(-3)


def from_uint8(levels: Tensor) -> Tensor:
    """Convert levels uint8 (N, S, S) to images float32 (N, 1, S, S) in [-1, 1].

    This is the inverse of `to_uint8`.
    """
    return levels[:, None].float().div(127.5).sub(1)


def load(name: str) -> AnyGenerator:
    """Load a committed generator, "dcgan" or "cdcgan", in eval mode, without gradients.

    The DCGAN has the settings of the lab assignment, the cDCGAN the best that we found.
    """
    check_name("a generator", name, ("dcgan", "cdcgan"))
    path = paths.require_network(f"gan-{name}.pt", "a generator")
    return channels_last(load_network(path, "generator", Settings, generator_of))


def prepare_images(images: ArrayLike, size: int) -> Tensor:
    """Resize square grey images uint8 (N, H, H) bilinearly to uint8 (N, size, size)."""
    levels = as_uint8(images)
    if levels.ndim != 3 or levels.shape[1] != levels.shape[2]:
        raise ValueError(
            f"expected square grey images (N, H, H), got {tuple(levels.shape)}; "
            "crop or pad them, and take the mean of colours."
        )
    if levels.shape[1] == size:
        return levels
    resized = []
    for chunk in levels.split(1000):
        # Antialiased, as Pillow resizes: another result only if the images shrink.
        pixels = F.interpolate(
            chunk[:, None].float(), (size, size), mode="bilinear", antialias=True
        )
        resized.append(pixels[:, 0].round().byte())
    return torch.cat(resized)
