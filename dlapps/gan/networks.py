"""The networks of DCGAN and conditional DCGAN, layer by layer, and their settings.

Radford, Metz and Chintala (2016) describe the DCGAN, Mirza and Osindero (2014) the
conditional GAN. The four networks here are those of the lab assignment: grey images of
32 x 32, latent vectors of 100 numbers, ten classes. The numbers in a convolution are
its channels in and out, kernel, stride and padding. Trainings use the networks of
`dlapps.gan.fast`, which compute the same faster, and at other sizes and widths.

Images are float32 in [-1, 1], latent vectors z float32 drawn from N(0, 1), labels int64
in [0, K). A discriminator computes logits s, so that D = sigmoid(s); s is positive for
an image that it takes for a real one.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import check_counts, check_name, check_shares
from dlapps.core.arrays import check_sizes
from dlapps.core.runtime import run_once
from dlapps.gan.steps import LOSSES


def plain_generator() -> nn.Sequential:
    """G(z) of the DCGAN: latent vectors (N, 100) to images (N, 1, 32, 32).

    z is an image of one pixel. Each transposed convolution with stride 2 doubles the
    side of the maps and halves their number.
    """
    return nn.Sequential(
        nn.Unflatten(1, (100, 1, 1)),                        # (N, 100, 1, 1)
        nn.ConvTranspose2d(100, 128, 4, 1, 0, bias=False),   # (N, 128, 4, 4)
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False),    # (N, 64, 8, 8)
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False),     # (N, 32, 16, 16)
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1, bias=False),      # (N, 1, 32, 32)
        nn.Tanh(),
    )  # fmt: skip


def plain_discriminator() -> nn.Sequential:
    """D(x) of the DCGAN: images (N, 1, 32, 32) to logits (N,).

    It mirrors the generator. Unlike the lab assignment, Radford et al. have no batch
    norm in the first block.
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1, bias=False),       # (N, 32, 16, 16)
        nn.BatchNorm2d(32),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1, bias=False),      # (N, 64, 8, 8)
        nn.BatchNorm2d(64),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False),     # (N, 128, 4, 4)
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.Conv2d(128, 1, 4, 1, 0, bias=False),      # (N, 1, 1, 1)
        nn.Flatten(0),                               # (N,)
    )  # fmt: skip


class PlainConditionalGenerator(nn.Module):
    """G(z, y) of the conditional DCGAN: latent vectors (N, 100) and labels (N,) to
    images (N, 1, 32, 32).

    Half of the first maps comes from z, half from the one-hot label.
    """

    def __init__(self) -> None:
        super().__init__()
        self.from_z = nn.Sequential(
            nn.Unflatten(1, (100, 1, 1)),                        # (N, 100, 1, 1)
            nn.ConvTranspose2d(100, 256, 4, 1, 0, bias=False),   # (N, 256, 4, 4)
            nn.BatchNorm2d(256),
            nn.ReLU(),
        )  # fmt: skip
        self.from_labels = nn.Sequential(
            nn.Unflatten(1, (10, 1, 1)),                         # (N, 10, 1, 1)
            nn.ConvTranspose2d(10, 256, 4, 1, 0, bias=False),    # (N, 256, 4, 4)
            nn.BatchNorm2d(256),
            nn.ReLU(),
        )  # fmt: skip
        self.from_both = nn.Sequential(                          # (N, 512, 4, 4)
            nn.ConvTranspose2d(512, 256, 4, 2, 1, bias=False),   # (N, 256, 8, 8)
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False),   # (N, 128, 16, 16)
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.ConvTranspose2d(128, 1, 4, 2, 1, bias=False),     # (N, 1, 32, 32)
            nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Draw images (N, 1, 32, 32) in [-1, 1] from z (N, 100) and labels (N,)."""
        one_hot = F.one_hot(labels, 10).to(z.dtype)  # (N, 10)
        halves = [self.from_z(z), self.from_labels(one_hot)]
        return self.from_both(torch.cat(halves, 1))


class PlainConditionalDiscriminator(nn.Module):
    """D(x, y) of the conditional DCGAN: images (N, 1, 32, 32) and labels (N,) to logits
    (N,).

    The label comes as ten planes of the images' size, of which one is filled with 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.from_images = nn.Sequential(
            nn.Conv2d(1, 64, 4, 2, 1, bias=False),       # (N, 64, 16, 16)
            nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.from_labels = nn.Sequential(
            nn.Conv2d(10, 64, 4, 2, 1, bias=False),      # (N, 64, 16, 16)
            nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.from_both = nn.Sequential(                  # (N, 128, 16, 16)
            nn.Conv2d(128, 256, 4, 2, 1, bias=False),    # (N, 256, 8, 8)
            nn.BatchNorm2d(256),
            nn.LeakyReLU(0.2),
            nn.Conv2d(256, 512, 4, 2, 1, bias=False),    # (N, 512, 4, 4)
            nn.BatchNorm2d(512),
            nn.LeakyReLU(0.2),
            nn.Conv2d(512, 1, 4, 1, 0, bias=False),      # (N, 1, 1, 1)
            nn.Flatten(0),                               # (N,)
        )  # fmt: skip

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the logits (N,) of images (N, 1, 32, 32) and labels (N,)."""
        one_hot = F.one_hot(labels, 10).to(images.dtype)  # (N, 10)
        planes = one_hot[:, :, None, None].expand(-1, -1, 32, 32)  # (N, 10, 32, 32)
        halves = [self.from_images(images), self.from_labels(planes)]
        return self.from_both(torch.cat(halves, 1))


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


@dataclass(frozen=True)
class Settings:
    """What a training depends on, besides its data and its seed.

    generator_channels, discriminator_channels: the width b of each network, its number
        of channels at half the images' size (ngf and ndf of the lab assignment).
    channels: the channels of the images, 1 for grey, 3 for colour.
    num_classes: 0 for an unconditional GAN.
    discriminator_sees_labels: whether the discriminator of a conditional GAN is D(x, y)
        or D(x).
    loss: a name in LOSSES.
    average: the decay per batch of the moving average of the generator's weights, from
        which samples are drawn; 0 for the last weights.
    anneal: whether both learning rates fall to 0, linearly over the second half.

    Change a setting with `dataclasses.replace(PRACTICAL, size=64)`.

    Raises ValueError for an unknown loss, a decay outside [0, 1], and if there are no
    epochs, no images in a batch or no latent dimensions.
    """

    latent_dim: int = 100
    generator_channels: int = 32
    discriminator_channels: int = 32
    size: int = 32
    channels: int = 1
    num_classes: int = 0
    discriminator_sees_labels: bool = True
    loss: str = "non-saturating"
    discriminator_rate: float = 2e-4
    generator_rate: float = 5e-4
    betas: tuple[float, float] = (0.5, 0.999)
    batch_size: int = 128
    num_epochs: int = 5
    average: float = 0.0
    anneal: bool = False

    def __post_init__(self) -> None:
        check_counts(
            num_epochs=self.num_epochs,
            batch_size=self.batch_size,
            latent_dim=self.latent_dim,
        )
        check_shares(average=self.average)
        check_name("loss", self.loss, LOSSES)


PRACTICAL = Settings()
CONDITIONAL_PRACTICAL = Settings(
    generator_channels=128, discriminator_channels=128, num_classes=10
)


def check_networks(
    generator: nn.Module, discriminator: nn.Module, settings: Settings
) -> None:
    """Raise ValueError unless two networks fit the settings.

    The generator has to turn z (2, latent_dim), and labels if there are classes, into
    images (2, C, S, S). The discriminator has to turn these, and the labels if it sees
    them, into two logits.
    """
    labels = []
    if settings.num_classes:
        labels = [torch.arange(2) % settings.num_classes]
    z = torch.zeros(2, settings.latent_dim)
    images = run_once(generator, z, *labels, name="a generator")
    size = settings.size
    check_sizes("a generator of images", images, settings.channels, size, size)
    if not settings.discriminator_sees_labels:
        labels = []
    logits = run_once(discriminator, images, *labels, name="a discriminator")
    if logits.numel() != 2:
        raise ValueError(
            "expected logits (2,) of a discriminator, got "
            f"{tuple(logits.shape)}; end it in one number for each image."
        )
