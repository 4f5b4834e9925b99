"""Drawing from a trained generator: latent vectors, samples, grids and ways between two points."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dlapps.gan.clusters import ClusteredGenerator
from dlapps.gan.networks import ConditionalGenerator, Generator
from dlapps.gan.steps import generate
from dlapps.runtime import make_generator

# What samples are drawn from; each has a latent_dim.
Sampler = Generator | ConditionalGenerator | ClusteredGenerator


def draw_latents(number: int, latent_dim: int, seed: int) -> Tensor:
    """z ~ N(0, 1): float32 (number, latent_dim)."""
    return torch.randn(number, latent_dim, generator=make_generator(seed))


@torch.no_grad()
def sample(generator: Sampler, z: Tensor, labels: Tensor | None = None, batch_size: int = 256) -> Tensor:
    """Images (N, 1, S, S) float32 in [-1, 1] on the CPU, each independent of the others (eval mode, left as it was).

    labels: for a conditional generator; int64 (N,), or float (N, K), mixtures of digits.
    """
    device, training = next(generator.parameters()).device, generator.training
    generator.eval()
    try:
        images = [
            generate(generator, z[rows].to(device), None if labels is None else labels[rows].to(device)).cpu()
            for rows in torch.arange(len(z)).split(batch_size)
        ]
    finally:
        generator.train(training)
    return torch.cat(images)


def sample_grid(generator: ConditionalGenerator, z: Tensor) -> Tensor:
    """Every digit with every z: images (K, N, 1, S, S), one row a digit, one column a z."""
    num_classes = generator.num_classes
    labels = torch.arange(num_classes).repeat_interleave(len(z))
    return sample(generator, z.repeat(num_classes, 1), labels).unflatten(0, (num_classes, len(z)))


def interpolate(first: Tensor, second: Tensor, num_steps: int) -> Tensor:
    """(num_steps, D) from first (D,) to second (D,) on the sphere (White 2016): on a straight line the middle would be
    shorter than any z that the generator has seen."""
    angle = torch.acos(torch.cosine_similarity(first, second, dim=0).clamp(-1, 1))
    share = torch.linspace(0, 1, num_steps)[:, None]
    if math.isclose(float(angle.sin()), 0, abs_tol=1e-6):
        return first + share * (second - first)
    return (((1 - share) * angle).sin() * first + (share * angle).sin() * second) / angle.sin()


def to_uint8(images: Tensor) -> Tensor:
    """Grey values (…, S, S) uint8 of images (…, 1, S, S) in [-1, 1]."""
    return images.squeeze(-3).add(1).mul(127.5).round().clamp(0, 255).byte()
