"""Drawing from a trained generator: latent vectors, samples, grids, ways between two
points, and its file.
"""

import math
from dataclasses import asdict, fields
from pathlib import Path

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps import check_name
from dlapps.core import paths
from dlapps.core.metrics import as_tensor
from dlapps.core.runtime import channels_last, make_generator
from dlapps.core.training import (
    as_labels,
    predict,
    read_checked,
    to_float16,
    write_checked,
)
from dlapps.gan.networks import (
    AnyGenerator,
    ConditionalGenerator,
    Settings,
    generator_of,
)

BATCH = 256  # images drawn at a time


def draw_latents(number: int, latent_dim: int, seed: int) -> Tensor:
    """z ~ N(0, 1): float32 (number, latent_dim)."""
    return torch.randn(number, latent_dim, generator=make_generator(seed))


def sample(
    generator: nn.Module, z: ArrayLike, labels: ArrayLike | None = None
) -> Tensor:
    """Images (N, C, S, S) float32 in [-1, 1] on the CPU, each independent of the others
    (eval mode, left as it was).

    z: latent vectors (N, latent_dim). labels: (N,), for a conditional generator alone.
    Raises ValueError for others.
    """
    z, num_classes = as_tensor(z).float(), getattr(generator, "num_classes", None)
    if isinstance(generator, AnyGenerator) and (labels is None) != (
        num_classes is None
    ):
        raise ValueError(
            "expected a conditional generator and labels, got only one; pass both or neither."
        )
    classes = () if labels is None else (as_labels(labels, len(z), num_classes),)
    return predict(generator, z, *classes, batch_size=BATCH)


def sample_grid(generator: ConditionalGenerator, z: Tensor) -> Tensor:
    """Every digit with every z: images (K, N, C, S, S), one row a digit, one column a
    z.
    """
    num_classes = generator.num_classes
    labels = torch.arange(num_classes).repeat_interleave(len(z))
    return sample(generator, z.repeat(num_classes, 1), labels).unflatten(
        0, (num_classes, len(z))
    )


def interpolate(first: ArrayLike, second: ArrayLike, num_steps: int) -> Tensor:
    """(num_steps, D) from first (D,) to second (D,) on the sphere (White 2016): on a
    straight line the middle would be shorter than nearly every z that the generator has
    seen.
    """
    first, second = as_tensor(first).float(), as_tensor(second).float()
    angle = torch.acos(torch.cosine_similarity(first, second, dim=0).clamp(-1, 1))
    share = torch.linspace(0, 1, num_steps)[:, None]
    if math.isclose(float(angle.sin()), 0, abs_tol=1e-6):
        return first + share * (second - first)
    return (
        ((1 - share) * angle).sin() * first + (share * angle).sin() * second
    ) / angle.sin()


def to_uint8(images: ArrayLike) -> Tensor:
    """Levels (…, S, S) uint8 of grey images (…, 1, S, S) in [-1, 1], or (…, S, S, 3) of
    colour images (…, 3, S, S).
    """
    pixels = as_tensor(images)
    if not pixels.is_floating_point():
        raise ValueError(
            f"expected images in [-1, 1], got {pixels.dtype}; these are levels."
        )
    if pixels.ndim < 3 or pixels.shape[-3] not in (1, 3):
        raise ValueError(
            f"expected images (…, 1, S, S) or (…, 3, S, S), got {tuple(pixels.shape)}; move the channels."
        )
    levels = pixels.add(1).mul(127.5).round().clamp(0, 255).byte()
    return levels.movedim(-3, -1) if pixels.shape[-3] == 3 else levels.squeeze(-3)


def from_uint8(levels: Tensor) -> Tensor:
    """The inverse: float32 (N, C, S, S) in [-1, 1] of uint8 (N, S, S) or (N, S, S, 3)."""
    return channels_first(levels).float().div(127.5).sub(1)


def channels_first(images: Tensor) -> Tensor:
    """(N, S, S) or (N, S, S, 3) to (N, 1, S, S) or (N, 3, S, S)."""
    return images[:, None] if images.ndim == 3 else images.movedim(3, 1)


def save_generator(path: str | Path, generator: AnyGenerator) -> Path:
    """The weights in float16 beside the settings that they belong to."""
    content = {"preset": asdict(generator.settings), "generator": to_float16(generator)}
    return write_checked(path, content)


def load_generator(path: str | Path) -> AnyGenerator:
    """A generator of `save_generator`, in eval mode, without gradients."""
    saved = read_checked(path, "generator", ("preset", "generator"))
    # A study's settings has fields of its own, on which its generator does not depend.
    known = {field.name for field in fields(Settings)}
    settings = Settings(
        **{name: value for name, value in saved["preset"].items() if name in known}
    )
    generator = channels_last(generator_of(settings))
    generator.load_state_dict(saved["generator"])
    return generator.eval().requires_grad_(False)


def load_assigned(kind: str) -> AnyGenerator:
    """The committed generator of the assignment's settings, "dcgan" or "cdcgan";
    ValueError for another name.
    """
    check_name("a generator", kind, ("dcgan", "cdcgan"))
    return load_generator(
        paths.require_network(f"gan-{kind}-practical.pt", "a generator")
    )


def load_best(kind: str) -> AnyGenerator:
    """The committed generator of the best settings, "dcgan" or "cdcgan"; ValueError for
    another name.
    """
    check_name("a generator", kind, ("dcgan", "cdcgan"))
    return load_generator(paths.require_network(f"gan-{kind}.pt", "a generator"))
