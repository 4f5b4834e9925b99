"""The networks of `dlapps.gan.networks`, computed faster and at any size. Trainings use
these.

Images are (N, C, S, S), with C 1 for grey and 3 for colour. S is a power of two, 16 or
more, and each doubling adds a block. Latent vectors are (N, latent_dim), labels (N,) in
[0, K); b is a network's width.

With the settings of the lab assignment each network has the weights of the plain one,
in the same order, and gives the same numbers up to rounding; the tests hold them to
that. Three things make them fast on a CPU:

- Convolutions of 1 x 1 maps, or to 1 x 1 maps, are computed as matrix products
  (`FromVectors`, `ToLogits`), and so is the convolution to the few channels of an image
  (`ToImages`).
- A label has only K values. What a network computes from labels alone is computed once
  for each class, and looked up for each image.
- The weights are stored with their channels last.

Tensors of other sizes and labels out of range raise ValueError.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.arrays import as_labels, check_sizes
from dlapps.core.runtime import channels_last, drawn_from, make_generator
from dlapps.gan.networks import (
    CONDITIONAL_PRACTICAL,
    PRACTICAL,
    Settings,
    initialise,
)


class Generator(nn.Module):
    """G(z): `plain_generator` at any size, width and number of channels."""

    def __init__(self, settings: Settings = PRACTICAL) -> None:
        super().__init__()
        self.settings = settings
        self.latent_dim = settings.latent_dim
        widths = block_widths(settings.generator_channels, settings.size)
        widths.reverse()
        self.first = nn.Sequential(
            FromVectors(self.latent_dim, widths[0]), nn.BatchNorm2d(widths[0])
        )
        self.rest = nn.Sequential(nn.ReLU(), *grow(widths, settings.channels))

    def forward(self, z: Tensor) -> Tensor:
        """Draw images (N, C, S, S) float32 in [-1, 1] from z (N, latent_dim)."""
        check_sizes("latent vectors", z, self.latent_dim)
        return self.rest(self.first(z)).float()


class Discriminator(nn.Module):
    """D(x): `plain_discriminator` at any size, width and number of channels."""

    def __init__(self, settings: Settings = PRACTICAL) -> None:
        super().__init__()
        self.channels = settings.channels
        self.size = settings.size
        widths = block_widths(settings.discriminator_channels, settings.size)
        self.layers = shrink([settings.channels, *widths])

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N,) float32 of images (N, C, S, S) in [-1, 1]."""
        check_sizes("images", images, self.channels, self.size, self.size)
        return self.layers(images).float()


class ConditionalGenerator(nn.Module):
    """G(z, y): `PlainConditionalGenerator` at any size, width and number of channels.

    A transposed convolution of a one-hot vector picks the row of its weights that
    belongs to the class. The block that follows starts with a convolution of z's half
    and the label's half together, which is the sum of a convolution of each: that of
    the label's half is computed once for each class in the batch.
    """

    def __init__(self, settings: Settings = CONDITIONAL_PRACTICAL) -> None:
        super().__init__()
        self.settings = settings
        self.num_classes = settings.num_classes
        self.latent_dim = settings.latent_dim
        widths = block_widths(settings.generator_channels, settings.size)
        widths.reverse()
        half = widths[0] // 2
        self.from_z = nn.Sequential(
            FromVectors(self.latent_dim, half), nn.BatchNorm2d(half)
        )
        self.from_labels = FromVectors(self.num_classes, half)
        self.norm_labels = nn.BatchNorm2d(half)
        self.both = make_block(nn.ConvTranspose2d, widths[0], widths[1], nn.ReLU())
        self.rest = grow(widths[1:], settings.channels)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Draw images (N, C, S, S) float32 in [-1, 1] from z (N, latent_dim) and labels
        (N,).
        """
        check_sizes("latent vectors", z, self.latent_dim)
        labels = as_labels(labels, len(z), self.num_classes).to(z.device)
        maps = F.relu(self.from_z(z))  # (N, 2b, 4, 4) at 32 x 32
        # Not weight[labels], whose gradient is summed in the order in which threads
        # arrive, and differs in its last digits from one run to the next.
        rows = self.from_labels.weight.index_select(0, labels)
        label_maps = F.relu(self.norm_labels(rows))  # (N, 2b, 4, 4)

        convolution = self.both.get_parameter("0.weight")
        for_maps, for_labels = convolution.split(maps.shape[1])
        joined = F.conv_transpose2d(maps, for_maps, stride=2, padding=1)
        examples, classes = one_of_each(labels)
        table = F.conv_transpose2d(
            label_maps.index_select(0, examples), for_labels, stride=2, padding=1
        )
        joined = joined + table.index_select(0, classes)  # (N, 2b, 8, 8)
        norm_and_relu = self.both[1:]
        return self.rest(norm_and_relu(joined)).float()


class ConditionalDiscriminator(nn.Module):
    """D(x, y): `PlainConditionalDiscriminator` at any size, width and number of
    channels.

    A label's planes are the same for all images of its class, so their convolution is
    computed once for each of the K classes. The block that follows starts with a
    convolution of the image's half and the label's half together, which is the sum of a
    convolution of each: that of the label's half is computed once for each class too.
    """

    def __init__(self, settings: Settings = CONDITIONAL_PRACTICAL) -> None:
        super().__init__()
        self.channels = settings.channels
        self.size = settings.size
        self.num_classes = settings.num_classes
        widths = block_widths(settings.discriminator_channels, settings.size)
        half = widths[0] // 2
        self.from_images = nn.Conv2d(self.channels, half, 4, 2, 1, bias=False)
        self.from_labels = nn.Conv2d(self.num_classes, half, 4, 2, 1, bias=False)
        self.both = make_block(nn.Conv2d, widths[0], widths[1], nn.LeakyReLU(0.2))
        self.rest = shrink(widths[1:])

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the logits (N,) float32 of images (N, C, S, S) in [-1, 1] and labels
        (N,).
        """
        check_sizes("images", images, self.channels, self.size, self.size)
        labels = as_labels(labels, len(images), self.num_classes).to(images.device)
        maps = F.leaky_relu(self.from_images(images), 0.2)  # (N, b/2, S/2, S/2)
        one_hot = torch.eye(self.num_classes, device=images.device)
        planes = one_hot[:, :, None, None].expand(-1, -1, self.size, self.size)
        label_maps = F.leaky_relu(self.from_labels(planes), 0.2)  # (K, b/2, S/2, S/2)

        convolution = self.both.get_parameter("0.weight")
        for_maps, for_labels = convolution.split(maps.shape[1], dim=1)
        joined = F.conv2d(maps, for_maps, stride=2, padding=1)
        table = F.conv2d(label_maps, for_labels, stride=2, padding=1)
        joined = joined + table.index_select(0, labels)  # (N, 2b, S/4, S/4)
        norm_and_relu = self.both[1:]
        return self.rest(norm_and_relu(joined)).float()


class FromVectors(nn.ConvTranspose2d):
    """A transposed convolution (kernel 4) from vectors (N, D) to maps (N, C, 4, 4).

    The vectors are maps of 1 x 1, so it is computed as a matrix product.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__(inputs, channels, 4, bias=False)

    # There is no output_size, since only one is possible.
    def forward(self, vectors: Tensor) -> Tensor:  # type: ignore[override]
        """Return the maps (N, C, 4, 4) of vectors (N, D)."""
        maps = vectors @ self.weight.flatten(1)  # (N, 16 C)
        return maps.unflatten(1, self.weight.shape[1:])


class ToLogits(nn.Conv2d):
    """A convolution (kernel 4) from maps (N, C, 4, 4) to one logit an image, (N,).

    It is computed as a matrix product.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the logits (N,) of maps (N, C, 4, 4)."""
        # The maps are stored with their channels last.
        vectors = maps.permute(0, 2, 3, 1).flatten(1)  # (N, 16 C)
        weight = self.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (16 C, 1)
        return (vectors @ weight).squeeze(1)


class ToImages(nn.ConvTranspose2d):
    """The generator's last transposed convolution (kernel 4, stride 2, padding 1).

    It is computed as a matrix product and a sum of overlapping patches. This is twice
    as fast on a CPU, where a convolution to one channel leaves the vector units idle.
    """

    # There is no output_size, since only one is possible.
    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        """Return images (N, C, 2H, 2W), before the tanh, of maps (N, D, H, W)."""
        height, width = maps.shape[2:]
        pixels = maps.permute(0, 2, 3, 1).flatten(1, 2)  # (N, H W, D)
        patches = pixels @ self.weight.flatten(1)  # (N, H W, 16 C)
        size = (2 * height, 2 * width)
        return F.fold(patches.transpose(1, 2), size, 4, padding=1, stride=2)


def one_of_each(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row of one example for each class that occurs, and indices (N,).

    With (examples, indices) as the result, labels == labels[examples][indices].
    """
    occurring, classes = labels.unique(return_inverse=True)
    places = torch.arange(len(labels), device=labels.device)
    examples = torch.empty_like(occurring).scatter_(0, classes, places)
    return examples, classes


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


def grow(widths: list[int], channels: int) -> nn.Sequential:
    """Make the blocks of a generator and the layer that draws images.

    Each pair of widths gives a block, which doubles the side of the maps. The images
    have so many channels.
    """
    layers = nn.Sequential()
    for before, after in itertools.pairwise(widths):
        layers.append(make_block(nn.ConvTranspose2d, before, after, nn.ReLU()))
    layers.append(ToImages(widths[-1], channels, 4, 2, 1, bias=False))
    layers.append(nn.Tanh())
    return layers


def shrink(widths: list[int]) -> nn.Sequential:
    """Make the blocks of a discriminator and the layer that computes logits.

    Each pair of widths gives a block, which halves the side of the maps.
    """
    layers = nn.Sequential()
    for before, after in itertools.pairwise(widths):
        layers.append(make_block(nn.Conv2d, before, after, nn.LeakyReLU(0.2)))
    layers.append(ToLogits(widths[-1], 1, 4, bias=False))
    return layers


def make_block(
    convolution: type[nn.Module], before: int, after: int, activation: nn.Module
) -> nn.Sequential:
    """Make a convolution (kernel 4, stride 2, padding 1), batch norm, activation."""
    return nn.Sequential(
        convolution(before, after, 4, 2, 1, bias=False),
        nn.BatchNorm2d(after),
        activation,
    )


AnyGenerator = Generator | ConditionalGenerator
AnyDiscriminator = Discriminator | ConditionalDiscriminator


def make_networks(
    settings: Settings, seed: int
) -> tuple[AnyGenerator, AnyDiscriminator]:
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


def discriminator_of(settings: Settings) -> AnyDiscriminator:
    """Make a discriminator with PyTorch's default initialisation."""
    if settings.num_classes and settings.discriminator_sees_labels:
        return ConditionalDiscriminator(settings)
    return Discriminator(settings)
