"""Chapter 4's settings, and what they add to the library's: other norms of D, penalties, moved images, clusters."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dlapps import gan
from dlapps.core.runtime import channels_last, drawn_from, make_generator
from dlapps.gan.networks import discriminator_of, generator_of, initialise

# Of a conditional GAN's images.
Labels = Tensor | None
# What holds the activations of D's blocks in range; "batch but first" leaves the first block of an unconditional one
# without, as Radford et al. (2016) do.
NORMS = ("batch", "batch but first", "layer", "spectral", "none")


@dataclass(frozen=True)
class Trial(gan.Preset):
    """A preset with what only a study compares.

    norm, penalty: names in NORMS and PENALTIES, or no penalty; penalty_weight times the penalty is added to D's loss.
    moves: D sees real and fake images moved at random. seeking: weight of the `likeness` of fakes in G's loss.
    initialised: by N(0, .02), else as PyTorch does. clusters: how many clusters of images both networks of an
    unconditional GAN are trained with in place of labels, 0 for none.
    """

    norm: str = "batch"
    penalty: str = ""
    penalty_weight: float = 1.0
    moves: bool = False
    seeking: float = 0.0
    initialised: bool = True
    clusters: int = 0


def squared_slopes(discriminator: nn.Module, images: Tensor, labels: Labels) -> Tensor:
    """Squared L2 norms (N,) of the logits' gradients with respect to images (N, ...), with their graph, in float32.

    D has to treat each image apart: through batch norm a slope would be one of the other images too.
    """
    images = images.detach().float().requires_grad_()
    with torch.autocast(images.device.type, enabled=False):
        logits = discriminator(images) if labels is None else discriminator(images, labels)
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradients.flatten(1).square().sum(1)


def r1(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Labels, draws: torch.Generator) -> Tensor:
    """Half the mean squared slope at real images (Mescheder, Geiger and Nowozin 2018, eq. 9)."""
    return squared_slopes(discriminator, real, labels).mean() / 2


def gradient_penalty(
    discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Labels, draws: torch.Generator
) -> Tensor:
    """Mean of (slope - 1)^2 at random points between real and fake images (Gulrajani et al. 2017, eq. 3)."""
    shares = torch.rand(len(real), *[1] * (real.ndim - 1), generator=draws, device="cpu").to(real.device)
    slopes = squared_slopes(discriminator, real.lerp(fake.detach(), shares), labels).clamp(min=1e-12).sqrt()
    return (slopes - 1).square().mean()


PENALTIES = {"R1": r1, "gradient": gradient_penalty}


def likeness(images: Tensor, z: Tensor, labels: Labels = None) -> Tensor:
    """How much nearer images lie than their latent vectors: mean |z - z'| over mean |G(z) - G(z')|, a scalar.

    The inverse of what a mode-seeking generator maximises (Mao et al. 2019, section 3.2), of images (N, C, S, S) with
    their graph and z (N, latent_dim), each with the next one, or the next of its label. 0 where there is no such pair.
    """
    order = torch.arange(len(z)) if labels is None else labels.cpu().argsort(stable=True)
    first, second = order[:-1], order[1:]
    if labels is not None:
        alike = labels.cpu()[first] == labels.cpu()[second]
        first, second = first[alike], second[alike]
    if not len(first):
        return images.new_zeros(())
    apart = (images[first] - images[second]).abs().mean().clamp(min=1e-5)
    return (z[first] - z[second]).abs().mean() / apart


def move(images: Tensor, generator: torch.Generator, share: float = 0.125) -> Tensor:
    """Images (N, C, S, S) moved by up to a share of their side, each on its own, -1 coming in; with their graph.

    Of real and fake images alike, so that a discriminator cannot learn the real ones by heart (Zhao et al. 2020).
    """
    size = images.shape[-1]
    reach = round(share * size)
    down, right = torch.randint(-reach, reach + 1, (2, len(images), 1), generator=generator).to(images.device)
    places = torch.arange(size, device=images.device)
    padded = F.pad(images, (reach,) * 4, value=-1).movedim(1, -1)
    rows, columns = places + reach + down, places + reach + right
    picked = padded[torch.arange(len(images), device=images.device)[:, None, None], rows[:, :, None], columns[:, None]]
    return picked.movedim(-1, 1)


class ClusteredGenerator(nn.Module):
    """z to images: a conditional generator of clusters, where z chooses the cluster too (as Sage et al. 2018).

    z has one number more than the conditional generator's. As it follows N(0, 1), its distribution function is uniform,
    and picks each cluster as often as images fall into it. clusters: int64 (N,), those of the training images.
    """

    def __init__(self, generator: Any, clusters: Tensor) -> None:
        super().__init__()
        self.generator, self.latent_dim = generator, generator.latent_dim + 1
        counts = torch.bincount(clusters, minlength=generator.num_classes).float()
        self.shares = counts / counts.sum()

    def forward(self, z: Tensor) -> Tensor:
        """Images (N, C, S, S) in [-1, 1] of z (N, latent_dim), whose last number chooses the cluster."""
        # The last limit is 1 but for rounding; no choice may pass it.
        choice = torch.bucketize(torch.special.ndtr(z[:, -1]), self.shares.cumsum(0)[:-1])
        return self.generator(z[:, :-1], choice)


def make_networks(trial: Trial, seed: int) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of a trial with random weights, as `gan.make_networks` makes those of a preset."""
    with drawn_from(seed):
        generator, discriminator = generator_of(trial), discriminator_of(trial)
        change_norm(discriminator, trial.norm)
    source = make_generator(seed)
    for network in (generator, discriminator) if trial.initialised else ():
        initialise(network, source)
    return channels_last(generator), channels_last(discriminator)


def change_norm(discriminator: nn.Module, norm: str) -> None:
    """Another of NORMS in place of a discriminator's batch norms."""
    parts = [part for part in discriminator.modules() if isinstance(part, nn.Sequential)]
    blocks = [part for part in parts if nn.BatchNorm2d in map(type, part)]
    if norm == "batch but first":
        blocks = blocks[:1] if isinstance(discriminator, gan.Discriminator) else []
    for block in blocks if norm != "batch" else ():
        # Layer norm has one group: over all channels and places of an image, and of no other.
        channels = len(block[1].state_dict()["weight"])
        block[1] = nn.GroupNorm(1, channels) if norm == "layer" else nn.Identity()
    if norm == "spectral":
        # Weights divided by their largest singular value (Miyato et al. 2018, eq. 8).
        for module in [*discriminator.modules()]:
            if isinstance(module, nn.Conv2d):
                spectral_norm(module)


def regularise(
    trial: Trial,
    discriminator: nn.Module,
    real: Tensor,
    fake: Tensor,
    z: Tensor,
    labels: Labels,
    draws: torch.Generator,
) -> tuple[tuple[Tensor, Tensor], Tensor | float, Tensor | float]:
    """What `gan.fit_gan` asks for before each update, as a trial has it."""
    seen = (move(real, draws), move(fake, draws)) if trial.moves else (real, fake)
    penalty = PENALTIES[trial.penalty](discriminator, *seen, labels, draws) if trial.penalty else 0.0
    alike = likeness(fake, z, labels) if trial.seeking else 0.0
    return seen, trial.penalty_weight * penalty, trial.seeking * alike


def fit_trial(
    images: Tensor,
    trial: Trial,
    seed: int = 0,
    *,
    labels: Labels = None,
    measure: Callable[[Any], dict[str, float]] | None = None,
    **options: Any,
) -> gan.Training:
    """`gan.fit_gan` of a trial; with clusters, of them in place of labels, and the generator draws them as well."""
    preset, of_generator = trial, measure
    if trial.clusters:
        images = gan.prepare_images(images, trial.size)
        clusters = labels = gan.find_clusters(images, trial.clusters, seed)
        preset = replace(trial, num_classes=trial.clusters)
        of_generator = measure and (lambda generator: measure(ClusteredGenerator(generator, clusters)))
    training = gan.fit_gan(
        images, preset, seed, labels=labels, networks=make_networks(preset, seed), measure=of_generator,
        regularise=partial(regularise, trial), **options,
    )  # fmt: skip
    if not trial.clusters:
        return training
    generator: Any = ClusteredGenerator(training.generator, clusters)
    last = gan.to_uint8(gan.sample(generator, gan.draw_latents(64, generator.latent_dim, seed)))
    return replace(training, preset=trial, generator=generator, frames=last[None])


PRACTICAL = Trial()
CONDITIONAL = Trial(generator_channels=128, discriminator_channels=128, num_classes=10)
WIDE: dict[str, Any] = {"generator_channels": 64, "discriminator_channels": 64, "average": 0.999}
AVERAGED: dict[str, Any] = {**WIDE, "anneal": True}
TOGETHER: dict[str, Any] = {**AVERAGED, "discriminator_rate": 1e-3}
UNLABELLED: dict[str, Any] = {"latent_dim": 30, "norm": "batch but first"}
BOTH_FAST: dict[str, Any] = {"generator_rate": 5e-3, "discriminator_rate": 2e-3}
# Question 5 of the practical: one thing changed at a time.
PRESETS = {
    "practical": PRACTICAL,
    "small generator": replace(PRACTICAL, generator_channels=8),
    "large generator": replace(PRACTICAL, generator_channels=64),
    "small discriminator": replace(PRACTICAL, discriminator_channels=8),
    "large discriminator": replace(PRACTICAL, discriminator_channels=64),
    "default initialisation": replace(PRACTICAL, initialised=False),
    "saturating loss": replace(PRACTICAL, loss="saturating"),
    "only the generator": replace(PRACTICAL, discriminator_rate=0.0),
    "only the discriminator": replace(PRACTICAL, generator_rate=0.0),
    "slow generator": replace(PRACTICAL, generator_rate=1e-4),
    "fast discriminator": replace(PRACTICAL, discriminator_rate=1e-3),
    "both fast": replace(PRACTICAL, **BOTH_FAST),
    "30 epochs": replace(PRACTICAL, num_epochs=30),
    "latent 10": replace(PRACTICAL, latent_dim=10),
    "latent 1000": replace(PRACTICAL, latent_dim=1000),
    "64 x 64": replace(PRACTICAL, size=64),
    "64 x 64, spectral norm": replace(PRACTICAL, size=64, norm="spectral"),
    "64 x 64, steady": replace(PRACTICAL, size=64, norm="spectral", average=0.999, anneal=True),
    "wide, averaged": replace(PRACTICAL, num_epochs=10, **AVERAGED),
    # Of the first trials of `studies.gan` on digits held out, the one with the least Fréchet distance.
    "best": replace(PRACTICAL, **UNLABELLED, **TOGETHER),
    # The choice after later ones.
    "best, both fast": replace(PRACTICAL, **UNLABELLED, **WIDE, **BOTH_FAST),
    "ten clusters": replace(PRACTICAL, clusters=10, **TOGETHER),
    # The networks of the line above, without clusters to tell apart.
    "one cluster": replace(PRACTICAL, clusters=1, **TOGETHER),
}
CONDITIONAL_PRESETS = {
    "practical": CONDITIONAL,
    "D(x) without y": replace(CONDITIONAL, discriminator_sees_labels=False),
    "best": replace(CONDITIONAL, **TOGETHER),
    # Of the trials with labels the one with the highest GAN-train, and of two the one with the higher recall.
    "best, seeking": replace(CONDITIONAL, seeking=0.3, **TOGETHER),
}
