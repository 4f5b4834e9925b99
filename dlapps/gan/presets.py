"""The settings of a training: the practical's, the variations it asks for, the best found here; their networks, on disk
too."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlapps import check_counts, check_name, check_shares
from dlapps.core import paths
from dlapps.core.runtime import channels_last, drawn_from, make_generator, try_on
from dlapps.core.weights import read_checked, to_float16, write_checked
from dlapps.gan.clusters import ClusteredGenerator
from dlapps.gan.networks import (
    NORMS,
    ConditionalDiscriminator,
    ConditionalGenerator,
    Discriminator,
    Generator,
    initialise,
)
from dlapps.gan.sampling import Sampler
from dlapps.gan.steps import LOSSES, PENALTIES

TrainedGenerator = Generator | ConditionalGenerator
AnyDiscriminator = Discriminator | ConditionalDiscriminator


@dataclass(frozen=True)
class Preset:
    """What a training depends on, beside its data and its seed.

    generator_channels, discriminator_channels: b of the networks. channels: those of the images, 1 for grey, 3 for
    colour. loss, discriminator_norm, penalty: names in LOSSES, NORMS and PENALTIES; penalty_weight times the penalty is
    added to D's loss. moves: D sees real and fake images moved at random. seeking: weight of the likeness of fakes,
    `steps.likeness`, in G's loss. initialisation: "normal" or "default".
    trained: which of the two are minimised. num_classes: 0 for an unconditional GAN. clusters: how many clusters of
    images both networks of an unconditional one are told, 0 for none. discriminator_sees_labels: D(x, y), else D(x).
    average: decay a batch of the moving average of G's weights that samples are drawn from, 0 for the last weights.
    anneal: let both learning rates fall to 0, linearly over the second half. Change one thing with
    `dataclasses.replace(PRACTICAL, size=64)`. Raises ValueError for another name than these, and for
    no epoch or no batch.
    """

    latent_dim: int = 100
    generator_channels: int = 32
    discriminator_channels: int = 32
    size: int = 32
    channels: int = 1
    num_classes: int = 0
    clusters: int = 0
    discriminator_sees_labels: bool = True
    initialisation: str = "normal"
    loss: str = "non-saturating"
    penalty: str = "none"
    penalty_weight: float = 1.0
    discriminator_norm: str = "batch"
    moves: bool = False
    seeking: float = 0.0
    trained: tuple[str, ...] = ("generator", "discriminator")
    discriminator_rate: float = 2e-4
    generator_rate: float = 5e-4
    betas: tuple[float, float] = (0.5, 0.999)
    batch_size: int = 128
    num_epochs: int = 5
    average: float = 0.0
    anneal: bool = False

    def __post_init__(self) -> None:
        check_counts(num_epochs=self.num_epochs, batch_size=self.batch_size, latent_dim=self.latent_dim)
        check_shares(average=self.average)
        for part in self.trained:
            check_name("trained", part, ("generator", "discriminator"))
        check_name("loss", self.loss, LOSSES)
        check_name("penalty", self.penalty, PENALTIES)
        check_name("discriminator_norm", self.discriminator_norm, NORMS)
        check_name("initialisation", self.initialisation, ("normal", "default"))

    @property
    def num_labels(self) -> int:
        """How many classes, or clusters in their place, the networks are told."""
        return self.num_classes or self.clusters


PRACTICAL = Preset()
CONDITIONAL_PRACTICAL = Preset(generator_channels=128, discriminator_channels=128, num_classes=10)

WIDE: dict[str, Any] = {"generator_channels": 64, "discriminator_channels": 64, "average": 0.999}
AVERAGED: dict[str, Any] = {**WIDE, "anneal": True}
TOGETHER: dict[str, Any] = {**AVERAGED, "discriminator_rate": 1e-3}
UNTOLD: dict[str, Any] = {"latent_dim": 30, "discriminator_norm": "batch but first"}
BOTH_FAST: dict[str, Any] = {"generator_rate": 5e-3, "discriminator_rate": 2e-3}

# Question 5 of the practical: one thing changed at a time.
PRESETS = {
    "practical": PRACTICAL,
    "small generator": replace(PRACTICAL, generator_channels=8),
    "large generator": replace(PRACTICAL, generator_channels=64),
    "small discriminator": replace(PRACTICAL, discriminator_channels=8),
    "large discriminator": replace(PRACTICAL, discriminator_channels=64),
    "default initialisation": replace(PRACTICAL, initialisation="default"),
    "saturating loss": replace(PRACTICAL, loss="saturating"),
    "only the generator": replace(PRACTICAL, trained=("generator",)),
    "only the discriminator": replace(PRACTICAL, trained=("discriminator",)),
    "slow generator": replace(PRACTICAL, generator_rate=1e-4),
    "fast discriminator": replace(PRACTICAL, discriminator_rate=1e-3),
    "both fast": replace(PRACTICAL, **BOTH_FAST),
    "30 epochs": replace(PRACTICAL, num_epochs=30),
    "latent 10": replace(PRACTICAL, latent_dim=10),
    "latent 1000": replace(PRACTICAL, latent_dim=1000),
    "64 x 64": replace(PRACTICAL, size=64),
    "64 x 64, spectral norm": replace(PRACTICAL, size=64, discriminator_norm="spectral"),
    "64 x 64, steady": replace(PRACTICAL, size=64, discriminator_norm="spectral", average=0.999, anneal=True),
    "wide, averaged": replace(PRACTICAL, num_epochs=10, **AVERAGED),
    # Of the first trials of `studies.gan_selection` on digits held out, the one with the least Fréchet distance.
    "best": replace(PRACTICAL, **UNTOLD, **TOGETHER),
    # The choice after later ones.
    "best, both fast": replace(PRACTICAL, **UNTOLD, **WIDE, **BOTH_FAST),
    "ten clusters": replace(PRACTICAL, clusters=10, **TOGETHER),
    # The networks of the line above, told nothing.
    "one cluster": replace(PRACTICAL, clusters=1, **TOGETHER),
}
CONDITIONAL_PRESETS = {
    "practical": CONDITIONAL_PRACTICAL,
    "D(x) without y": replace(CONDITIONAL_PRACTICAL, discriminator_sees_labels=False),
    "best": replace(CONDITIONAL_PRACTICAL, **TOGETHER),
    # Of the trials with labels the one with the highest GAN-train, and of two the one with the higher recall.
    "best, seeking": replace(CONDITIONAL_PRACTICAL, seeking=0.3, **TOGETHER),
}


def make_networks(preset: Preset, seed: int) -> tuple[TrainedGenerator, AnyDiscriminator]:
    """Generator and discriminator of a preset with random weights, channels last, in training mode."""
    # PyTorch's default initialisation draws from the default generator.
    with drawn_from(seed):
        generator, discriminator = generator_of(preset), discriminator_of(preset)
    if preset.initialisation == "normal":
        source = make_generator(seed)
        initialise(generator, source)
        initialise(discriminator, source)
    return channels_last(generator), channels_last(discriminator)


def check_networks(generator: nn.Module, discriminator: nn.Module, preset: Preset) -> None:
    """Raise ValueError unless networks of one's own take and give what a preset says, which may have no clusters."""
    if preset.clusters:
        raise ValueError(f"expected a preset without clusters, got {preset.clusters}; its own networks draw those.")
    labels = (torch.arange(2) % preset.num_classes,) if preset.num_classes else ()
    shape = (2, preset.channels, preset.size, preset.size)
    images = try_on(generator, torch.zeros(2, preset.latent_dim), *labels, name="a generator")
    if images.shape != shape:
        raise ValueError(f"expected a generator of images {shape}, got {tuple(images.shape)}; change it or the preset.")
    labels = labels if preset.discriminator_sees_labels else ()
    logits = try_on(discriminator, images, *labels, name="a discriminator")
    if logits.numel() != 2:
        raise ValueError(
            f"expected a discriminator that gives a logit each (2,), got {tuple(logits.shape)}; change it."
        )


def generator_of(preset: Preset) -> TrainedGenerator:
    """The network that is trained; with clusters, `sampler_of` makes of it what draws."""
    widths = (preset.latent_dim, preset.generator_channels, preset.size)
    if preset.num_labels:
        return ConditionalGenerator(*widths, preset.num_labels, preset.channels)
    return Generator(*widths, preset.channels)


def sampler_of(preset: Preset, generator: TrainedGenerator, clusters: Tensor | None = None) -> Sampler:
    """What samples are drawn from: the generator itself, or with clusters (N,) one that draws those too."""
    if preset.clusters and isinstance(generator, ConditionalGenerator):
        return ClusteredGenerator(generator, clusters)
    return generator


def discriminator_of(preset: Preset) -> AnyDiscriminator:
    """The discriminator of a preset, with PyTorch's default initialisation."""
    widths, rest = (preset.discriminator_channels, preset.size), (preset.channels, preset.discriminator_norm)
    if preset.num_labels and preset.discriminator_sees_labels:
        return ConditionalDiscriminator(*widths, preset.num_labels, *rest)
    return Discriminator(*widths, *rest)


def save_generator(path: str | Path, generator: Sampler, preset: Preset) -> Path:
    """The weights in float16 beside the preset whose networks they are.

    Raises ValueError for others, of which `weights.save_weights` keeps the weights.
    """
    of_preset = sampler_of(preset, generator_of(preset)).state_dict()
    if {n: v.shape for n, v in of_preset.items()} != {n: v.shape for n, v in generator.state_dict().items()}:
        raise ValueError("expected the generator of this preset, got one of other layers; take weights.save_weights.")
    return write_checked(path, {"preset": asdict(preset), "generator": to_float16(generator)})


def load_generator(path: str | Path) -> Sampler:
    """A generator of `save_generator`, in eval mode, without gradients."""
    saved = read_checked(path, "generator", ("preset", "generator"))
    preset = Preset(**saved["preset"])
    generator = channels_last(sampler_of(preset, generator_of(preset)))
    generator.load_state_dict(saved["generator"])
    return generator.eval().requires_grad_(False)


def load_best(kind: str) -> Sampler:
    """The committed generator of the best preset, "dcgan" or "cdcgan", as `dlapps data make gan` wrote it."""
    remedy = "name dcgan or cdcgan, or run dlapps data make gan"
    return load_generator(paths.require_result(f"gan-{kind}.pt", "a generator", remedy))
