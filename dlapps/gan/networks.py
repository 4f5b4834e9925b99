"""Generators and discriminators [Radford, Metz and Chintala 2016; conditional: Mirza
and Osindero 2014], and their settings.

Images are (N, C, S, S) float32 in [-1, 1], C 1 for grey and 3 for colour, S a power of
two from 16; latent vectors z (N, latent_dim); labels (N,) int64 in [0, K). The defaults
are the practical's networks, to the layer. Wrong sizes and labels out of range are
ValueErrors of one sentence.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import check_counts, check_name, check_shares
from dlapps.core.runtime import channels_last, drawn_from, make_generator, run_once
from dlapps.core.training import as_labels
from dlapps.gan.steps import LOSSES


@dataclass(frozen=True)
class Settings:
    """What a training depends on, beside its data and its seed.

    generator_channels, discriminator_channels: b of the networks. channels: those of
    the images, 1 for grey, 3 for colour. num_classes: 0 for an unconditional GAN.
    discriminator_sees_labels: D(x, y), else D(x). loss: a name in LOSSES. average:
    decay a batch of the moving average of G's weights that samples are drawn from, 0
    for the last weights. anneal: let both learning rates fall to 0, linearly over the
    second half. Change one thing with `dataclasses.replace(PRACTICAL, size=64)`. Raises
    ValueError for another loss, and for no epoch or no batch.
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


class Generator(nn.Module):
    """z to images: transposed convolutions 4b (k4), 2b, b (k4 s2 p1), each with batch
    norm and ReLU, then C and tanh.

    b is the settings's generator_channels; images of 64 have one more block.
    """

    def __init__(self, settings: Settings = PRACTICAL) -> None:
        super().__init__()
        self.settings, self.latent_dim = settings, settings.latent_dim
        widths = block_widths(settings.generator_channels, settings.size)[::-1]
        self.first = nn.Sequential(
            FromVectors(self.latent_dim, widths[0]), nn.BatchNorm2d(widths[0])
        )
        self.rest = nn.Sequential(nn.ReLU(), *grow(widths, settings.channels))

    def forward(self, z: Tensor) -> Tensor:
        """Images (N, C, S, S) float32 in [-1, 1] of z (N, latent_dim)."""
        check_sizes("latent vectors", z, self.latent_dim)
        return self.rest(self.first(z)).float()


class Discriminator(nn.Module):
    """Images to logits (N,): convolutions b, 2b, 4b (k4 s2 p1), each with batch norm
    and LeakyReLU .2, then 1 (k4).
    """

    def __init__(self, settings: Settings = PRACTICAL) -> None:
        super().__init__()
        self.sizes = settings.channels, settings.size, settings.size
        widths = block_widths(settings.discriminator_channels, settings.size)
        self.layers = nn.Sequential(*shrink((settings.channels, *widths)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N,) float32 of images (N, C, S, S) in [-1, 1], positive for real."""
        check_sizes("images", images, *self.sizes)
        return self.layers(images).float()


class ConditionalGenerator(nn.Module):
    """z and labels to images: 2b channels from each (batch norm, ReLU), concatenated;
    then 2b, b, C as in `Generator`.

    A transposed convolution of a one-hot vector, 1 x 1 in size, picks one row of its
    weights: a table of K entries. What comes after it, up to the sum with z's half, is
    computed once a digit too.
    """

    def __init__(self, settings: Settings = CONDITIONAL_PRACTICAL) -> None:
        super().__init__()
        self.settings, self.num_classes = settings, settings.num_classes
        self.latent_dim = settings.latent_dim
        widths = block_widths(settings.generator_channels, settings.size)[::-1]
        half = widths[0] // 2
        self.from_z = nn.Sequential(
            FromVectors(self.latent_dim, half), nn.BatchNorm2d(half)
        )
        self.from_labels = FromVectors(self.num_classes, half)
        self.norm_labels = nn.BatchNorm2d(half)
        self.both, *rest = grow(widths, settings.channels)
        self.rest = nn.Sequential(*rest)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Images (N, C, S, S) float32 in [-1, 1] of z (N, latent_dim) and labels (N,)
        int64.
        """
        check_sizes("latent vectors", z, self.latent_dim)
        maps = F.relu(self.from_z(z))
        labels = as_labels(labels, len(z), self.num_classes).to(z.device)
        # Not weight[labels], whose backward adds up in the order in which threads come:
        # another result every time.
        label_maps = F.relu(
            self.norm_labels(self.from_labels.weight.index_select(0, labels))
        )
        # For each label that occurs one row that has it: labels == labels[rows][index].
        present, index = labels.unique(return_inverse=True)
        rows = torch.empty_like(present).scatter_(
            0, index, torch.arange(len(labels), device=z.device)
        )
        first, second = self.both.get_parameter("0.weight").split(maps.shape[1])
        joined = F.conv_transpose2d(maps, first, stride=2, padding=1)
        table = F.conv_transpose2d(
            label_maps.index_select(0, rows), second, stride=2, padding=1
        )
        return self.rest(self.both[1:](joined + table.index_select(0, index))).float()


class ConditionalDiscriminator(nn.Module):
    """Images and labels to logits (N,): b/2 channels from each (LeakyReLU .2),
    concatenated; then 2b, 4b, 1.

    The labels come as K constant maps, one of them 1. Convolving them gives one of K
    maps (constant but for the border, where the padding is seen): a table, and the next
    convolution of that half is one as well.
    """

    def __init__(self, settings: Settings = CONDITIONAL_PRACTICAL) -> None:
        super().__init__()
        self.sizes, self.num_classes = (
            (settings.channels, settings.size, settings.size),
            settings.num_classes,
        )
        widths = block_widths(settings.discriminator_channels, settings.size)
        half = widths[0] // 2
        self.from_images = nn.Conv2d(settings.channels, half, 4, 2, 1, bias=False)
        self.from_labels = nn.Conv2d(self.num_classes, half, 4, 2, 1, bias=False)
        self.both, *rest = shrink(widths)
        self.rest = nn.Sequential(*rest)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Logits (N,) float32 of images (N, C, S, S) in [-1, 1] and labels (N,) int64,
        positive for real.
        """
        check_sizes("images", images, *self.sizes)
        labels = as_labels(labels, len(images), self.num_classes).to(images.device)
        maps = F.leaky_relu(self.from_images(images), 0.2)
        one_hot = torch.eye(self.num_classes, device=images.device)[:, :, None, None]
        table = F.leaky_relu(
            self.from_labels(one_hot.expand(-1, -1, *self.sizes[1:])), 0.2
        )
        first, second = self.both.get_parameter("0.weight").split(maps.shape[1], dim=1)
        joined = F.conv2d(maps, first, stride=2, padding=1)
        table = F.conv2d(table, second, stride=2, padding=1)
        return self.rest(self.both[1:](joined + table.index_select(0, labels))).float()


class FromVectors(nn.ConvTranspose2d):
    """A transposed convolution (k4) of vectors (N, D), which are maps of 1 x 1, to maps
    (N, C, 4, 4): a product.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__(inputs, channels, 4, bias=False)

    # No output_size: there is one only.
    def forward(self, vectors: Tensor) -> Tensor:  # type: ignore[override]
        """Maps (N, C, 4, 4) of vectors (N, D)."""
        return (vectors @ self.weight.flatten(1)).unflatten(1, self.weight.shape[1:])


class ToLogits(nn.Conv2d):
    """A convolution (k4) of maps (N, C, 4, 4) to one number each, (N,): a product as
    well.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N,) of maps (N, C, 4, 4)."""
        # Channels last, as they lie in memory.
        weight = self.weight.permute(2, 3, 1, 0).flatten(0, 2)
        return (maps.permute(0, 2, 3, 1).flatten(1) @ weight).squeeze(1)


class ToImages(nn.ConvTranspose2d):
    """The last transposed convolution (k4 s2 p1) as a product and a sum of overlapping
    patches.

    The same numbers; twice as fast on a CPU, where a convolution of one channel leaves
    the vector units idle.
    """

    # No output_size: there is one only.
    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        """Images (N, C, 2 H, 2 W), before the tanh, of maps (N, D, H, W)."""
        height, width = maps.shape[2:]
        patches = maps.permute(0, 2, 3, 1).flatten(1, 2) @ self.weight.flatten(1)
        return F.fold(
            patches.transpose(1, 2), (2 * height, 2 * width), 4, padding=1, stride=2
        )


def block_widths(base_channels: int, size: int) -> tuple[int, ...]:
    """Channels b, 2b, 4b, … of the blocks that halve images of that size down to 4 x 4."""
    if size < 16 or size & (size - 1):
        raise ValueError(
            f"expected a size of 16, 32, 64 or another power of two, got {size}; resize."
        )
    return tuple(base_channels << block for block in range(size.bit_length() - 3))


def grow(widths: tuple[int, ...], channels: int) -> list[Any]:
    """A block for each pair of widths, whose maps have twice the side, then images of
    so many channels.
    """
    blocks = [
        make_block(nn.ConvTranspose2d, *pair, nn.ReLU())
        for pair in itertools.pairwise(widths)
    ]
    return [*blocks, ToImages(widths[-1], channels, 4, 2, 1, bias=False), nn.Tanh()]


def shrink(widths: tuple[int, ...]) -> list[Any]:
    """A block for each pair of widths, whose maps have half the side, then logits."""
    blocks = [
        make_block(nn.Conv2d, *pair, nn.LeakyReLU(0.2))
        for pair in itertools.pairwise(widths)
    ]
    return [*blocks, ToLogits(widths[-1], 1, 4, bias=False)]


def make_block(
    convolution: type[nn.Module], before: int, after: int, activation: nn.Module
) -> nn.Module:
    """Convolution (k4 s2 p1), batch norm, activation."""
    return nn.Sequential(
        convolution(before, after, 4, 2, 1, bias=False),
        nn.BatchNorm2d(after),
        activation,
    )


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Weights from N(0, .02), those of batch norm from N(1, .02), its biases 0, as
    Radford et al. (2016) and the practical do.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            # Of spectral norm, what is learnt.
            weight = next(each for each in module.parameters() if each.ndim == 4)
            nn.init.normal_(weight, 0, 0.02, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02, generator=generator)
            nn.init.zeros_(module.bias)


def check_sizes(what: str, given: Tensor, *sizes: int) -> None:
    """Raise ValueError unless what is given is (N, *sizes)."""
    if given.shape[1:] != sizes:
        wanted = ", ".join(["N", *map(str, sizes)])
        raise ValueError(
            f"expected {what} ({wanted}), got {tuple(given.shape)}; change their size."
        )


AnyGenerator = Generator | ConditionalGenerator
AnyDiscriminator = Discriminator | ConditionalDiscriminator


def make_networks(
    settings: Settings, seed: int
) -> tuple[AnyGenerator, AnyDiscriminator]:
    """Generator and discriminator of a settings with random weights, channels last, in
    training mode.
    """
    # nn.Module draws weights from the default generator, though they are drawn anew.
    with drawn_from(seed):
        generator, discriminator = generator_of(settings), discriminator_of(settings)
    source = make_generator(seed)
    for network in (generator, discriminator):
        initialise(network, source)
    return channels_last(generator), channels_last(discriminator)


def generator_of(settings: Settings) -> AnyGenerator:
    """The generator of a settings, with PyTorch's default initialisation."""
    return (ConditionalGenerator if settings.num_classes else Generator)(settings)


def discriminator_of(settings: Settings) -> AnyDiscriminator:
    """The discriminator of a settings, with PyTorch's default initialisation."""
    conditional = settings.num_classes and settings.discriminator_sees_labels
    return (ConditionalDiscriminator if conditional else Discriminator)(settings)


def check_networks(
    generator: nn.Module, discriminator: nn.Module, settings: Settings
) -> None:
    """Raise ValueError unless networks of one's own take and give what a settings says."""
    labels = (torch.arange(2) % settings.num_classes,) if settings.num_classes else ()
    images = run_once(
        generator, torch.zeros(2, settings.latent_dim), *labels, name="a generator"
    )
    check_sizes(
        "a generator of images", images, settings.channels, settings.size, settings.size
    )
    seen = labels if settings.discriminator_sees_labels else ()
    logits = run_once(discriminator, images, *seen, name="a discriminator")
    if logits.numel() != 2:
        raise ValueError(
            f"expected logits (2,) of a discriminator, got {tuple(logits.shape)}; change it."
        )
