"""Generators and discriminators [Radford, Metz and Chintala 2016; conditional: Mirza and Osindero 2014], and their
settings.

Images are (N, C, S, S) float32 in [-1, 1], C 1 for grey and 3 for colour, S a power of two from 16; latent vectors z
(N, latent_dim); labels (N,) int64 in [0, K). The defaults are the practical's networks, to the layer. Wrong sizes and
labels out of range are ValueErrors of one sentence.
"""

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import check_counts, check_name, check_shares
from dlapps.core.runtime import channels_last, drawn_from, make_generator, run_once
from dlapps.core.training import as_labels
from dlapps.gan.steps import LOSSES


class Generator(nn.Module):
    """z to images: transposed convolutions 4b (k4), 2b, b (k4 s2 p1), each with batch norm and ReLU, then C and tanh.

    base_channels: b. size: 32; one more block for 64. channels: C.
    """

    def __init__(self, latent_dim: int = 100, base_channels: int = 32, size: int = 32, channels: int = 1) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        widths = block_widths(base_channels, size)[::-1]
        self.first = nn.Sequential(FromVectors(latent_dim, widths[0]), nn.BatchNorm2d(widths[0]))
        blocks = make_blocks(widths, nn.ConvTranspose2d, nn.ReLU())
        self.rest = nn.Sequential(nn.ReLU(), *blocks, ToImages(widths[-1], channels), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """Images (N, C, S, S) float32 in [-1, 1] of z (N, latent_dim)."""
        check_latents(z, self.latent_dim)
        return self.rest(self.first(z)).float()


class Discriminator(nn.Module):
    """Images to logits (N,): convolutions b, 2b, 4b (k4 s2 p1), each with batch norm and LeakyReLU .2, then 1 (k4)."""

    def __init__(self, base_channels: int = 32, size: int = 32, channels: int = 1) -> None:
        super().__init__()
        self.size, self.channels = size, channels
        widths = block_widths(base_channels, size)
        blocks = make_blocks((channels, *widths), nn.Conv2d, nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*blocks, ToLogits(widths[-1]))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N,) float32 of images (N, C, S, S) in [-1, 1], positive for real."""
        check_images(images, self.channels, self.size)
        return self.layers(images).float()


class ConditionalGenerator(nn.Module):
    """z and labels to images: 2b channels from each (batch norm, ReLU), concatenated; then 2b, b, C as in `Generator`.

    A transposed convolution of a one-hot vector, 1 x 1 in size, picks one row of its weights: a table of K entries.
    What comes after it, up to the sum with z's half, is computed once a digit too. Labels may also be float (N, K):
    mixtures of digits.
    """

    def __init__(
        self, latent_dim: int = 100, base_channels: int = 128, size: int = 32, num_classes: int = 10, channels: int = 1
    ) -> None:
        super().__init__()
        self.latent_dim, self.num_classes = latent_dim, num_classes
        widths = block_widths(base_channels, size)[::-1]
        half = widths[0] // 2
        self.from_z = nn.Sequential(FromVectors(latent_dim, half), nn.BatchNorm2d(half))
        self.from_labels = FromVectors(num_classes, half)
        self.norm_labels = nn.BatchNorm2d(half)
        blocks = make_blocks(widths, nn.ConvTranspose2d, nn.ReLU())
        self.both = blocks[0]
        self.rest = nn.Sequential(*blocks[1:], ToImages(widths[-1], channels), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Images (N, C, S, S) float32 in [-1, 1] of z (N, latent_dim) and labels (N,) int64, or (N, K) float."""
        check_latents(z, self.latent_dim)
        maps = F.relu(self.from_z(z))
        if labels.is_floating_point():
            rows = index = torch.arange(len(z), device=z.device)
            label_maps = self.from_labels(labels)
        else:
            labels = as_labels(labels, len(z), self.num_classes).to(z.device)
            rows, index = one_of_each(labels)
            # Not weight[labels], whose backward adds up in the order in which threads come: another result every time.
            label_maps = self.from_labels.weight.index_select(0, labels)
        label_maps = F.relu(self.norm_labels(label_maps))
        first, second = self.both.get_parameter("0.weight").split(maps.shape[1])
        joined = F.conv_transpose2d(maps, first, stride=2, padding=1)
        table = F.conv_transpose2d(label_maps.index_select(0, rows), second, stride=2, padding=1)
        joined = joined + table.index_select(0, index)
        return self.rest(self.both[1:](joined)).float()


class ConditionalDiscriminator(nn.Module):
    """Images and labels to logits (N,): b/2 channels from each (LeakyReLU .2), concatenated; then 2b, 4b, 1.

    The labels come as K constant maps, one of them 1. Convolving them gives one of K maps (constant but for the border,
    where the padding is seen): a table, and the next convolution of that half is one as well.
    """

    def __init__(self, base_channels: int = 128, size: int = 32, num_classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.size, self.num_classes, self.channels = size, num_classes, channels
        widths = block_widths(base_channels, size)
        half = widths[0] // 2
        self.from_images = nn.Conv2d(channels, half, 4, 2, 1, bias=False)
        self.from_labels = nn.Conv2d(num_classes, half, 4, 2, 1, bias=False)
        blocks = make_blocks(widths, nn.Conv2d, nn.LeakyReLU(0.2))
        self.both, self.rest = blocks[0], nn.Sequential(*blocks[1:], ToLogits(widths[-1]))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Logits (N,) float32 of images (N, C, S, S) in [-1, 1] and labels (N,) int64, positive for real."""
        check_images(images, self.channels, self.size)
        labels = as_labels(labels, len(images), self.num_classes).to(images.device)
        maps = F.leaky_relu(self.from_images(images), 0.2)
        one_hot = torch.eye(self.num_classes, device=images.device)[:, :, None, None]
        table = F.leaky_relu(self.from_labels(one_hot.expand(-1, -1, self.size, self.size)), 0.2)
        # As an attribute: under spectral norm it is no parameter.
        weight: Tensor = self.both[0].weight  # type: ignore[assignment]
        first, second = weight.split(maps.shape[1], dim=1)
        joined = F.conv2d(maps, first, stride=2, padding=1)
        joined = joined + F.conv2d(table, second, stride=2, padding=1).index_select(0, labels)
        return self.rest(self.both[1:](joined)).float()


class FromVectors(nn.ConvTranspose2d):
    """A transposed convolution (k4) of vectors (N, D), which are maps of 1 x 1, to maps (N, C, 4, 4): a product."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__(inputs, channels, 4, bias=False)

    # No output_size: there is one only.
    def forward(self, vectors: Tensor) -> Tensor:  # type: ignore[override]
        """Maps (N, C, 4, 4) of vectors (N, D)."""
        return (vectors @ self.weight.flatten(1)).unflatten(1, self.weight.shape[1:])


class ToLogits(nn.Conv2d):
    """A convolution (k4) of maps (N, C, 4, 4) to one number each, (N,): a product as well."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1, 4, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N,) of maps (N, C, 4, 4)."""
        # Channels last, as they lie in memory.
        return (maps.permute(0, 2, 3, 1).flatten(1) @ self.weight.permute(2, 3, 1, 0).flatten(0, 2)).squeeze(1)


class ToImages(nn.ConvTranspose2d):
    """The last transposed convolution (k4 s2 p1) as a product and a sum of overlapping patches.

    The same numbers; twice as fast on a CPU, where a convolution of one channel leaves the vector units idle.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__(inputs, channels, 4, 2, 1, bias=False)

    # No output_size: there is one only.
    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        """Images (N, C, 2 H, 2 W), before the tanh, of maps (N, D, H, W)."""
        height, width = maps.shape[2:]
        patches = maps.permute(0, 2, 3, 1).flatten(1, 2) @ self.weight.flatten(1)
        return F.fold(patches.transpose(1, 2), (2 * height, 2 * width), 4, padding=1, stride=2)


def block_widths(base_channels: int, size: int) -> tuple[int, ...]:
    """Channels b, 2b, 4b, … of the blocks that halve images of that size down to 4 x 4."""
    if size < 16 or size & (size - 1):
        raise ValueError(f"expected a size of 16, 32, 64 or another power of two, got {size}; resize the images.")
    return tuple(base_channels << block for block in range(size.bit_length() - 3))


def make_blocks(
    widths: tuple[int, ...], convolution: type[nn.Conv2d | nn.ConvTranspose2d], activation: nn.Module
) -> list[nn.Sequential]:
    """One block for each pair of widths: convolution (k4 s2 p1), batch norm, activation.

    nn.ConvTranspose2d gives maps of twice the side, nn.Conv2d of half of it.
    """
    return [
        nn.Sequential(convolution(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), activation)
        for before, after in itertools.pairwise(widths)
    ]


def one_of_each(labels: Tensor) -> tuple[Tensor, Tensor]:
    """rows, index: for each label that occurs one row that has it, and labels == labels[rows][index]."""
    present, index = labels.unique(return_inverse=True)
    rows = torch.empty_like(present).scatter_(0, index, torch.arange(len(labels), device=labels.device))
    return rows, index


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Weights from N(0, .02), those of batch norm from N(1, .02), its biases 0, as Radford et al. (2016) and the
    practical do."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            weight = next(each for each in module.parameters() if each.ndim == 4)  # of spectral norm, what is learnt
            nn.init.normal_(weight, 0, 0.02, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02, generator=generator)
            nn.init.zeros_(module.bias)


def check_images(images: Tensor, channels: int, size: int) -> None:
    """Raise ValueError unless images are (N, channels, size, size)."""
    if images.shape[1:] != (channels, size, size):
        raise ValueError(
            f"expected images (N, {channels}, {size}, {size}), got {tuple(images.shape)}; resize them, or make "
            "networks of their size."
        )


def check_latents(z: Tensor, latent_dim: int) -> None:
    """Raise ValueError unless z is (N, latent_dim)."""
    if z.ndim != 2 or z.shape[1] != latent_dim:
        raise ValueError(f"expected latent vectors (N, {latent_dim}), got {tuple(z.shape)}; draw them anew.")


AnyGenerator = Generator | ConditionalGenerator
AnyDiscriminator = Discriminator | ConditionalDiscriminator


@dataclass(frozen=True)
class Preset:
    """What a training depends on, beside its data and its seed.

    generator_channels, discriminator_channels: b of the networks. channels: those of the images, 1 for grey, 3 for
    colour. num_classes: 0 for an unconditional GAN. discriminator_sees_labels: D(x, y), else D(x). loss: a name in
    LOSSES. average: decay a batch of the moving average of G's weights that samples are drawn from, 0 for the last
    weights. anneal: let both learning rates fall to 0, linearly over the second half. Change one thing with
    `dataclasses.replace(PRACTICAL, size=64)`. Raises ValueError for another loss, and for no epoch or no batch.
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
        check_counts(num_epochs=self.num_epochs, batch_size=self.batch_size, latent_dim=self.latent_dim)
        check_shares(average=self.average)
        check_name("loss", self.loss, LOSSES)


PRACTICAL = Preset()
CONDITIONAL_PRACTICAL = Preset(generator_channels=128, discriminator_channels=128, num_classes=10)


def make_networks(preset: Preset, seed: int) -> tuple[AnyGenerator, AnyDiscriminator]:
    """Generator and discriminator of a preset with random weights, channels last, in training mode."""
    # nn.Module draws weights from the default generator, though they are drawn anew.
    with drawn_from(seed):
        generator, discriminator = generator_of(preset), discriminator_of(preset)
    source = make_generator(seed)
    initialise(generator, source)
    initialise(discriminator, source)
    return channels_last(generator), channels_last(discriminator)


def generator_of(preset: Preset) -> AnyGenerator:
    """The generator of a preset, with PyTorch's default initialisation."""
    widths = (preset.latent_dim, preset.generator_channels, preset.size)
    if preset.num_classes:
        return ConditionalGenerator(*widths, preset.num_classes, preset.channels)
    return Generator(*widths, preset.channels)


def discriminator_of(preset: Preset) -> AnyDiscriminator:
    """The discriminator of a preset, with PyTorch's default initialisation."""
    widths = (preset.discriminator_channels, preset.size)
    if preset.num_classes and preset.discriminator_sees_labels:
        return ConditionalDiscriminator(*widths, preset.num_classes, preset.channels)
    return Discriminator(*widths, preset.channels)


def check_networks(generator: nn.Module, discriminator: nn.Module, preset: Preset) -> None:
    """Raise ValueError unless networks of one's own take and give what a preset says."""
    labels = (torch.arange(2) % preset.num_classes,) if preset.num_classes else ()
    shape = (2, preset.channels, preset.size, preset.size)
    images = run_once(generator, torch.zeros(2, preset.latent_dim), *labels, name="a generator")
    if images.shape != shape:
        raise ValueError(f"expected a generator of images {shape}, got {tuple(images.shape)}; change it or the preset.")
    labels = labels if preset.discriminator_sees_labels else ()
    logits = run_once(discriminator, images, *labels, name="a discriminator")
    if logits.numel() != 2:
        raise ValueError(
            f"expected a discriminator that gives a logit each (2,), got {tuple(logits.shape)}; change it."
        )
