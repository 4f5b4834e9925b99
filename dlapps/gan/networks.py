"""The networks of DCGAN and conditional DCGAN, layer by layer, and their settings.

Radford, Metz and Chintala (2016) describe the DCGAN, Mirza and Osindero (2014) the
conditional GAN. At the ends of lines are the shapes with the settings of the lab
assignment, PRACTICAL or CONDITIONAL_PRACTICAL: grey images of 32 x 32, latent vectors
of 100 numbers, ten classes. Each doubling of the size adds a block. The numbers in a
convolution are its channels in and out, kernel, stride and padding.

Images are float32 (N, 1, S, S) in [-1, 1], latent vectors z float32 (N, latent_dim)
drawn from N(0, 1), labels int64 (N,) in [0, K). A discriminator computes logits s (N,),
so that D = sigmoid(s); s is positive for an image that it takes for a real one.
"""

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.checks import check_counts, check_name
from dlapps.core.runtime import channels_last, drawn_from, make_generator
from dlapps.gan.steps import LOSSES


@dataclass(frozen=True)
class Settings:
    """What a training depends on, besides its data and its seed.

    generator_channels, discriminator_channels: the width b of each network, its number
        of channels at half the images' size (ngf and ndf of the lab assignment).
    size: the side S of the images, a power of two, 16 or more.
    num_classes: 0 for an unconditional GAN.
    loss: "non-saturating" or "saturating", the generator's.
    average: the decay per batch of the moving average of the generator's weights, from
        which samples are drawn; 0 for the last weights.
    anneal: whether both learning rates fall to 0, linearly over the second half.

    Change a setting with `dataclasses.replace(PRACTICAL, size=64)`.
    """

    latent_dim: int = 100
    generator_channels: int = 32
    discriminator_channels: int = 32
    size: int = 32
    num_classes: int = 0
    loss: str = "non-saturating"
    discriminator_rate: float = 2e-4
    generator_rate: float = 5e-4
    batch_size: int = 128
    num_epochs: int = 5
    average: float = 0.0
    anneal: bool = False

    def __post_init__(self) -> None:
        check_counts(num_epochs=self.num_epochs, batch_size=self.batch_size)
        check_name("a loss", self.loss, LOSSES)


PRACTICAL = Settings()
CONDITIONAL_PRACTICAL = Settings(
    generator_channels=128, discriminator_channels=128, num_classes=10
)


class Generator(nn.Module):
    """G(z) of the DCGAN: latent vectors to images.

    The maps in between are, with the lab assignment's settings, 128 of 4 x 4, 64 of
    8 x 8 and 32 of 16 x 16.
    """

    def __init__(self, settings: Settings = PRACTICAL) -> None:
        super().__init__()
        self.settings = settings
        self.latent_dim = settings.latent_dim
        widths = block_widths(settings.generator_channels, settings.size)
        widths.reverse()  # 128, 64, 32
        self.from_z = projection(self.latent_dim, widths[0])  # (N, 128, 4, 4)
        self.to_images = upsampling(widths)  # (N, 1, 32, 32)

    def forward(self, z: Tensor) -> Tensor:
        """Draw images (N, 1, S, S) in [-1, 1] from z (N, latent_dim)."""
        return self.to_images(self.from_z(z))


class Discriminator(nn.Module):
    """D(x) of the DCGAN: images to logits.

    The maps in between are, with the lab assignment's settings, 32 of 16 x 16, 64 of
    8 x 8 and 128 of 4 x 4. Unlike the lab assignment, Radford et al. have no batch norm
    in the first block.
    """

    def __init__(self, settings: Settings = PRACTICAL) -> None:
        super().__init__()
        widths = block_widths(settings.discriminator_channels, settings.size)
        self.layers = downsampling([1, *widths])  # (N,)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N,) of images (N, 1, S, S) in [-1, 1]."""
        return self.layers(images)


class ConditionalGenerator(nn.Module):
    """G(z, y) of the conditional DCGAN: latent vectors and labels to images.

    Half of the first maps comes from z, half from the one-hot label.
    """

    def __init__(self, settings: Settings = CONDITIONAL_PRACTICAL) -> None:
        super().__init__()
        self.settings = settings
        self.latent_dim = settings.latent_dim
        self.num_classes = settings.num_classes
        widths = block_widths(settings.generator_channels, settings.size)
        widths.reverse()  # 512, 256, 128
        half = widths[0] // 2
        self.from_z = projection(self.latent_dim, half)  # (N, 256, 4, 4)
        self.from_labels = projection(self.num_classes, half)  # (N, 256, 4, 4)
        self.to_images = upsampling(widths)  # (N, 1, 32, 32)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Draw images (N, 1, S, S) in [-1, 1] from z (N, latent_dim), labels (N,)."""
        one_hot = F.one_hot(labels, self.num_classes).to(z)  # (N, 10)
        halves = [self.from_z(z), self.from_labels(one_hot)]
        return self.to_images(torch.cat(halves, 1))


class ConditionalDiscriminator(nn.Module):
    """D(x, y) of the conditional DCGAN: images and labels to logits.

    A label comes as K planes of the images' size, of which one is filled with 1. Half
    of the first maps comes from the image, half from these.
    """

    def __init__(self, settings: Settings = CONDITIONAL_PRACTICAL) -> None:
        super().__init__()
        self.num_classes = settings.num_classes
        widths = block_widths(settings.discriminator_channels, settings.size)
        half = widths[0] // 2
        self.from_images = nn.Sequential(
            nn.Conv2d(1, half, 4, 2, 1, bias=False),  # (N, 64, 16, 16)
            nn.LeakyReLU(0.2),
        )
        self.from_labels = nn.Sequential(
            nn.Conv2d(self.num_classes, half, 4, 2, 1, bias=False),  # (N, 64, 16, 16)
            nn.LeakyReLU(0.2),
        )
        self.to_logits = downsampling(widths)  # (N,)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the logits (N,) of images (N, 1, S, S) in [-1, 1], labels (N,)."""
        one_hot = F.one_hot(labels, self.num_classes).to(images)  # (N, 10)
        size = images.shape[2:]
        planes = one_hot[:, :, None, None].expand(-1, -1, *size)  # (N, 10, 32, 32)
        halves = [self.from_images(images), self.from_labels(planes)]
        return self.to_logits(torch.cat(halves, 1))


def block_widths(base_channels: int, size: int) -> list[int]:
    """Return the channels b, 2b, 4b, ... of maps from half the size down to 4 x 4.

    Raises ValueError unless the size is a power of two, 16 or more.
    """
    if size < 16 or not math.log2(size).is_integer():
        raise ValueError(
            "expected a size of 16, 32, 64 or another power of two, got "
            f"{size}; choose one of these."
        )
    num_blocks = int(math.log2(size)) - 2
    return [base_channels * 2**block for block in range(num_blocks)]


def projection(length: int, channels: int) -> nn.Sequential:
    """Make the first block of a generator: vectors (N, D) to maps (N, C, 4, 4).

    A vector is an image of one pixel.
    """
    return nn.Sequential(
        nn.Unflatten(1, (length, 1, 1)),  # (N, D, 1, 1)
        nn.ConvTranspose2d(length, channels, 4, 1, 0, bias=False),  # (N, C, 4, 4)
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


def upsampling(widths: list[int]) -> nn.Sequential:
    """Make the other blocks of a generator, from maps of 4 x 4 to images in [-1, 1].

    Each transposed convolution doubles the side of the maps. Each pair of widths gives
    a block; the last layer draws the image.
    """
    layers = nn.Sequential()
    for before, after in itertools.pairwise(widths):
        layers.append(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False))
        layers.append(nn.BatchNorm2d(after))
        layers.append(nn.ReLU())
    layers.append(nn.ConvTranspose2d(widths[-1], 1, 4, 2, 1, bias=False))
    layers.append(nn.Tanh())
    return layers


def downsampling(widths: list[int]) -> nn.Sequential:
    """Make the blocks of a discriminator, and the layer that computes logits (N,).

    Each pair of widths gives a block, which halves the side of the maps, down to 4 x 4.
    """
    layers = nn.Sequential()
    for before, after in itertools.pairwise(widths):
        layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=False))
        layers.append(nn.BatchNorm2d(after))
        layers.append(nn.LeakyReLU(0.2))
    layers.append(nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False))
    layers.append(nn.Flatten(0))
    return layers


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw first weights as Radford et al. (2016, section 4) and the lab assignment do.

    The weights of convolutions come from N(0, 0.02), those of batch norm from
    N(1, 0.02); the biases of batch norm are 0.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            # The only parameter, since there is no bias. Spectral norm gives it another
            # name than `weight`.
            (weight,) = module.parameters()
            nn.init.normal_(weight, 0, 0.02, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02, generator=generator)
            nn.init.zeros_(module.bias)


AnyGenerator = Generator | ConditionalGenerator


def make_networks(settings: Settings, seed: int) -> tuple[AnyGenerator, nn.Module]:
    """Make the generator and the discriminator of a training, in training mode.

    `initialise` draws their weights.
    """
    # PyTorch draws weights from its default generator first.
    with drawn_from(seed):
        generator = generator_of(settings)
        discriminator = discriminator_of(settings)
    draws = make_generator(seed)
    initialise(generator, draws)
    initialise(discriminator, draws)
    return channels_last(generator), channels_last(discriminator)


def generator_of(settings: Settings) -> AnyGenerator:
    """Make a generator with PyTorch's default initialisation."""
    if settings.num_classes:
        return ConditionalGenerator(settings)
    return Generator(settings)


def discriminator_of(settings: Settings) -> nn.Module:
    """Make a discriminator with PyTorch's default initialisation."""
    if settings.num_classes:
        return ConditionalDiscriminator(settings)
    return Discriminator(settings)
