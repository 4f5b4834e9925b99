"""Chapter 4's trainings by name, and what their settings add to the library's.

They add other norms of D, a D(x) for labelled images, and PyTorch's initialisation.
"""

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dlapps import gan
from dlapps.core.runtime import channels_last, drawn_from, make_generator
from dlapps.gan.networks import generator_of, initialise


@dataclass(frozen=True)
class Trial(gan.Settings):
    """Settings with what only a study compares.

    discriminator_sees_labels: whether the discriminator of a conditional GAN is D(x, y)
    or D(x). spectral: whether D(x) has spectral norm instead of batch norm.
    initialised: by N(0, .02), else as PyTorch does.
    """

    discriminator_sees_labels: bool = True
    spectral: bool = False
    initialised: bool = True


class UnlabelledDiscriminator(nn.Module):
    """D(x) in place of D(x, y): a discriminator to which the labels are not passed."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Logits (N,) of images (N, C, S, S) in [-1, 1]."""
        return self.discriminator(images)


def make_networks(trial: Trial, seed: int) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of a trial, with random weights.

    They are those of `gan.make_networks` for a trial that adds nothing.
    """
    with drawn_from(seed):
        generator = generator_of(trial)
        discriminator = make_discriminator(trial)
    if trial.initialised:
        source = make_generator(seed)
        initialise(generator, source)
        initialise(discriminator, source)
    return channels_last(generator), channels_last(discriminator)


def make_discriminator(trial: Trial) -> nn.Module:
    """Discriminator of a trial, with PyTorch's initialisation."""
    if trial.num_classes and trial.discriminator_sees_labels:
        return gan.ConditionalDiscriminator(trial)
    discriminator = gan.Discriminator(trial)
    if trial.spectral:
        change_norm(discriminator.layers)
    if trial.num_classes:
        return UnlabelledDiscriminator(discriminator)
    return discriminator


def change_norm(layers: nn.Sequential) -> None:
    """Let the largest singular value of each convolution be 1, in place of batch norm.

    This is spectral norm (Miyato et al. 2018, eq. 8).
    """
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            layers[place] = nn.Identity()
        if isinstance(layer, nn.Conv2d):
            spectral_norm(layer)


@dataclass(frozen=True)
class Run:
    """A trial, and over how many seeds."""

    trial: Trial
    num_seeds: int


def tune(trial: Trial) -> Trial:
    """A trial with the rates and networks that were chosen on held-out digits.

    The judge of that choice had seen black grounds alone; data/README.md says where its
    code is.
    """
    return replace(
        trial,
        generator_channels=64,
        discriminator_channels=64,
        discriminator_rate=1e-3,
        average=0.999,
        anneal=True,
    )


PRACTICAL = Trial()
CONDITIONAL = Trial(generator_channels=128, discriminator_channels=128, num_classes=10)
STEADY = replace(PRACTICAL, size=64, spectral=True, average=0.999, anneal=True)
# The central ones have ten seeds; one thing changed in the practical's has three.
RUNS = {
    "dcgan practical": Run(PRACTICAL, 10),
    "dcgan saturating loss": Run(replace(PRACTICAL, loss="saturating"), 10),
    "dcgan small generator": Run(replace(PRACTICAL, generator_channels=8), 3),
    "dcgan small discriminator": Run(replace(PRACTICAL, discriminator_channels=8), 3),
    "dcgan default initialisation": Run(replace(PRACTICAL, initialised=False), 3),
    "dcgan fast discriminator": Run(replace(PRACTICAL, discriminator_rate=1e-3), 3),
    "dcgan latent 10": Run(replace(PRACTICAL, latent_dim=10), 3),
    "dcgan 30 epochs": Run(replace(PRACTICAL, num_epochs=30), 3),
    "dcgan 64 x 64": Run(replace(PRACTICAL, size=64), 3),
    "dcgan 64 x 64, steady": Run(STEADY, 5),
    "cdcgan tuned": Run(tune(CONDITIONAL), 10),
    # All images have the same label.
    "cdcgan told nothing": Run(tune(replace(CONDITIONAL, num_classes=1)), 3),
    "cdcgan practical": Run(CONDITIONAL, 5),
    "cdcgan D(x) without y": Run(
        replace(CONDITIONAL, discriminator_sees_labels=False), 1
    ),
}
