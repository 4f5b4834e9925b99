"""A GAN of points in the plane, trained in seconds: eight Gaussians on a circle show whether a generator finds all."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlapps import check_name
from dlapps.core.runtime import Bar, drawn_from, make_generator
from dlapps.gan.steps import LOSSES, discriminator_step, generator_step

NUM_MODES, DEVIATION = 8, 0.05
WIDTH = 128  # of a hidden layer
_ANGLES = 2 * math.pi / NUM_MODES * torch.arange(NUM_MODES, device="cpu")
CENTRES = torch.stack([_ANGLES.cos(), _ANGLES.sin()], 1)


@dataclass(frozen=True)
class PointTraining:
    """Samples (F, N, 2) of the same latent vectors after `steps` (F,) updates."""

    samples: Tensor
    steps: tuple[int, ...]


def draw_ring(number: int, generator: torch.Generator) -> Tensor:
    """Points (number, 2) of eight Gaussians of deviation .05 on the unit circle, all as likely."""
    chosen = torch.randint(NUM_MODES, (number,), generator=generator)
    return CENTRES[chosen] + DEVIATION * torch.randn(number, 2, generator=generator)


def count_modes(points: Tensor) -> tuple[int, float]:
    """How many of the eight have a twentieth of their share of points (N, 2) within three deviations, and the share of
    points within three deviations of any."""
    close = torch.cdist(points, CENTRES) < 3 * DEVIATION
    return int((close.double().mean(0) > 0.05 / NUM_MODES).sum()), float(close.any(1).double().mean())


def make_layers(outputs: int) -> nn.Sequential:
    """Points (N, 2) to numbers (N, outputs), by two hidden layers."""
    hidden = nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
    return nn.Sequential(*hidden, nn.Linear(WIDTH, outputs))


def fit_ring(
    loss: str = "non-saturating",
    rates: tuple[float, float] = (1e-3, 1e-3),
    num_steps: int = 3000,
    num_frames: int = 30,
    seed: int = 0,
) -> PointTraining:
    """Train on fresh points of the ring, 256 a step, by the steps of the chapter; rates: of generator, discriminator.

    loss: a name in LOSSES; ValueError for others.
    """
    check_name("loss", loss, LOSSES)
    with drawn_from(seed):
        networks = generator, discriminator = make_layers(2), nn.Sequential(make_layers(1), nn.Flatten(0))
    adam_g, adam_d = (
        torch.optim.Adam(network.parameters(), rate, (0.5, 0.999))
        for network, rate in zip(networks, rates, strict=True)
    )
    source, shown = make_generator(seed), torch.randn(512, 2, generator=make_generator(seed + 1))
    samples, moments = [], sorted({round(num_steps * frame / num_frames) for frame in range(num_frames + 1)})
    for step in Bar(range(num_steps), "steps"):
        if step in moments:
            samples.append(generator(shown).detach())
        real, fake = draw_ring(256, source), generator(torch.randn(256, 2, generator=source))
        discriminator_step(discriminator, real, fake, adam_d, precision="float32")
        generator_step(generator, discriminator, fake, adam_g, LOSSES[loss], precision="float32")
    samples.append(generator(shown).detach())
    return PointTraining(torch.stack(samples), tuple(moments))
