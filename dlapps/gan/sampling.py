"""Drawing from a trained generator, and the file that stores one.

A drawing takes latent vectors: random ones, or a path between two of them.
"""

import math
from pathlib import Path

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps.core import paths
from dlapps.core.arrays import as_labels, as_tensor, check_sizes
from dlapps.core.checks import check_name
from dlapps.core.runtime import channels_last, make_generator
from dlapps.core.training import predict
from dlapps.core.weights import load_network, save_network
from dlapps.gan.networks import (
    AnyGenerator,
    ConditionalGenerator,
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
    """Draw images (N, C, S, S) float32 in [-1, 1], on the CPU.

    The generator runs in eval mode, so that no image depends on the others, and keeps
    its mode.

    z: latent vectors (N, latent_dim).
    labels: (N,), for a conditional generator only.

    Raises ValueError for other sizes, for a conditional generator without labels, and
    for an unconditional one with labels.
    """
    z = as_tensor(z).float()
    if isinstance(generator, AnyGenerator):
        check_sizes("latent vectors", z, generator.latent_dim)
        conditional = isinstance(generator, ConditionalGenerator)
        if conditional != (labels is not None):
            raise ValueError(
                "expected a conditional generator and labels, got only one; "
                "pass both or neither."
            )
    if labels is None:
        return predict(generator, z, batch_size=BATCH)
    num_classes = getattr(generator, "num_classes", None)
    labels = as_labels(labels, len(z), num_classes)
    return predict(generator, z, labels, batch_size=BATCH)


def sample_grid(generator: nn.Module, z: Tensor) -> Tensor:
    """Draw each class with each z (N, latent_dim).

    Returns images (K, N, C, S, S), a row for each class and a column for each z. Raises
    ValueError for a generator without classes.
    """
    num_classes = getattr(generator, "num_classes", None)
    if num_classes is None:
        raise ValueError(
            "expected a conditional generator, got one without classes; use sample."
        )
    labels = torch.arange(num_classes).repeat_interleave(len(z))
    images = sample(generator, z.repeat(num_classes, 1), labels)
    return images.unflatten(0, (num_classes, len(z)))


def interpolate(first: ArrayLike, second: ArrayLike, num_steps: int) -> Tensor:
    """Return latent vectors (num_steps, D) on the way from first (D,) to second (D,).

    The way lies on the sphere (White 2016): with w the angle between the two and t from
    0 to 1,

        z(t) = (sin((1 - t) w) first + sin(t w) second) / sin(w).

    On a straight line the middle would be shorter than nearly every z that the
    generator has been trained on.
    """
    first = as_tensor(first).float()
    second = as_tensor(second).float()
    angle = torch.acos(torch.cosine_similarity(first, second, dim=0).clamp(-1, 1))
    share = torch.linspace(0, 1, num_steps)[:, None]
    if math.isclose(float(angle.sin()), 0, abs_tol=1e-6):
        return first + share * (second - first)
    from_first = ((1 - share) * angle).sin() * first
    from_second = (share * angle).sin() * second
    return (from_first + from_second) / angle.sin()


def to_uint8(images: ArrayLike) -> Tensor:
    """Convert images in [-1, 1] to levels uint8.

    Grey images (…, 1, S, S) become (…, S, S), colour images (…, 3, S, S) become
    (…, S, S, 3). Raises ValueError for levels, and for other numbers of channels.
    """
    pixels = as_tensor(images)
    if not pixels.is_floating_point():
        raise ValueError(
            f"expected images in [-1, 1], got {pixels.dtype}; "
            "these are levels, so use them as they are."
        )
    # Refuses NaN and 0-255, but not a flow's samples, which may leave [-1, 1] a little.
    if pixels.numel() and not pixels.detach().abs().amax() <= 10:
        low, high = float(pixels.min()), float(pixels.max())
        raise ValueError(
            f"expected images in [-1, 1], got values from {low:.4g} to {high:.4g}; "
            "divide 0-255 values by 127.5 and subtract 1, and look for NaN."
        )
    if pixels.ndim < 3 or pixels.shape[-3] not in (1, 3):
        raise ValueError(
            "expected images (…, 1, S, S) or (…, 3, S, S), got "
            f"{tuple(pixels.shape)}; move the channels before height and width."
        )
    levels = pixels.add(1).mul(127.5).round().clamp(0, 255).byte()
    if pixels.shape[-3] == 3:
        return levels.movedim(-3, -1)
    return levels.squeeze(-3)


def from_uint8(levels: Tensor) -> Tensor:
    """Convert levels uint8 (N, S, S) or (N, S, S, 3) to images in [-1, 1].

    This is the inverse of `to_uint8`. Returns float32 (N, C, S, S).
    """
    return channels_first(levels).float().div(127.5).sub(1)


def channels_first(images: Tensor) -> Tensor:
    """Turn (N, S, S) or (N, S, S, 3) into (N, 1, S, S) or (N, 3, S, S)."""
    if images.ndim == 3:
        return images[:, None]
    return images.movedim(3, 1)


def save_generator(path: str | Path, generator: AnyGenerator) -> Path:
    """Write a generator's weights, in float16, and its settings; return the path."""
    return save_network(generator, path, "generator")


def load_generator(path: str | Path) -> AnyGenerator:
    """Load a generator that `save_generator` wrote, in eval mode, without gradients.

    Raises DlappsError for another file.
    """
    return channels_last(load_network(path, "generator", Settings, generator_of))


def load_assigned(kind: str) -> AnyGenerator:
    """Load the committed generator with the lab assignment's settings.

    kind: "dcgan" or "cdcgan".
    """
    return _load_committed(kind, f"gan-{kind}-practical.pt")


def load_best(kind: str) -> AnyGenerator:
    """Load the committed generator with the best settings.

    kind: "dcgan" or "cdcgan".
    """
    return _load_committed(kind, f"gan-{kind}.pt")


def _load_committed(kind: str, name: str) -> AnyGenerator:
    check_name("a generator", kind, ("dcgan", "cdcgan"))
    return load_generator(paths.require_network(name, "a generator"))
