"""Conditional flow matching: a network learns the velocity from noise to digits.

The time t runs from 0 (noise) to 1 (an image). In between, as in Lipman et al. (2023),
x_t = (1 - t) noise + t image moves with the velocity image - noise. A training takes
images uint8 (N, S, S), the network float32 (N, 1, S, S) in [-1, 1], where S is a
multiple of 8. Labels are int64 (N,) in [0, K).
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from dlapps.core import paths
from dlapps.core.arrays import as_labels, as_tensor
from dlapps.core.checks import check_between, check_counts
from dlapps.core.runtime import (
    channels_last,
    device_of,
    drawn_from,
    make_generator,
)
from dlapps.core.training import (
    History,
    Means,
    count_batches,
    draw_batches,
    make_one_cycle,
    minimise,
    move_average,
    run_epochs,
)
from dlapps.core.weights import load_network
from dlapps.gan.sampling import from_uint8, prepare_images

WEIGHT_DECAY = 1e-2
# The length of the vector that tells each block the time and the class.
EMBEDDING = 128
BATCH = 250  # images drawn at a time


@dataclass(frozen=True)
class FlowSettings:
    """What a training depends on, besides its data and its seed.

    channels: the channels of the maps with sides S/2, S/4 and S/8.
    learning_rate: the highest rate of one cycle.
    unlabelled: the share of images whose label is withheld, so that the network also
        learns the velocity without one.
    average: the decay per batch of the moving average of the weights, from which
        samples are drawn.
    """

    size: int = 32
    num_classes: int = 10
    channels: tuple[int, int, int] = (48, 96, 144)
    num_epochs: int = 24
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    unlabelled: float = 0.1
    average: float = 0.999

    def __post_init__(self) -> None:
        check_counts(num_epochs=self.num_epochs, batch_size=self.batch_size)
        check_between(0, 1, unlabelled=self.unlabelled)


STANDARD = FlowSettings()


def flow_loss(
    network: nn.Module, images: Tensor, labels: Tensor, noise: Tensor, times: Tensor
) -> Tensor:
    """Compute the mean of |v(x_t, t, y) - (image - noise)|² over images and pixels.

    This is equation 23 of Lipman et al. (2023) with sigma = 0.

    images, noise: float32 (N, 1, S, S).
    labels: int64 (N,) in [0, K], where K stands for no label.
    times: (N,) in [0, 1].
    """
    t = times[:, None, None, None]
    x = (1 - t) * noise + t * images
    velocity = images - noise
    return F.mse_loss(network(x, times, labels), velocity)


class Block(nn.Module):
    """Two convolutions, each after a norm and SiLU, added to a shortcut.

    The embedding of time and class scales and shifts the input of the second.
    """

    def __init__(self, before: int, after: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.scale_shift = nn.Linear(embedding, 2 * after)
        self.shortcut: nn.Module = nn.Identity()
        if before != after:
            self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, maps: Tensor, embedding: Tensor) -> Tensor:
        """Return maps (N, C', H, W) of maps (N, C, H, W) and embeddings (N, E)."""
        scale, shift = self.scale_shift(embedding)[:, :, None, None].chunk(2, dim=1)
        inner = normalise(self.first(F.silu(normalise(maps))))
        scaled = torch.addcmul(shift, inner, 1 + scale)
        return self.shortcut(maps) + self.second(F.silu(scaled))


class VelocityNetwork(nn.Module):
    """A U-Net, the velocity v(x, t, y) of images x at time t on their way to class y.

    y = K asks for no class. The blocks work at sides S/2, S/4 and S/8, three of them at
    the smallest; on the way up, the maps of each side are added to those from below.
    With the settings `STANDARD` it has 1.7 M parameters.
    """

    def __init__(self, settings: FlowSettings = STANDARD) -> None:
        super().__init__()
        self.settings = settings
        width = EMBEDDING
        large, middle, small = settings.channels
        # Weights are drawn in the order in which the layers are made.
        self.first = nn.Conv2d(4, large, 3, padding=1)
        self.last = nn.Conv2d(large, 4, 3, padding=1)
        self.time = nn.Sequential(
            nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.label = nn.Embedding(settings.num_classes + 1, width)
        self.down = nn.ModuleList(
            [
                Block(large, large, width),
                Block(large, middle, width),
                Block(middle, small, width),
            ]
        )
        self.bottom = nn.ModuleList(
            [Block(small, small, width), Block(small, small, width)]
        )
        self.narrow = nn.ModuleList(
            [nn.Conv2d(small, middle, 1), nn.Conv2d(middle, large, 1)]
        )
        self.up = nn.ModuleList(
            [Block(middle, middle, width), Block(large, large, width)]
        )

    def forward(self, x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """Return velocities (N, 1, S, S) float32 of images x (N, 1, S, S).

        times: (N,) in [0, 1]. labels: int64 (N,) in [0, K].
        """
        embedding = F.silu(self.time(to_waves(times)) + self.label(labels))  # (N, E)
        # 2 x 2 pixels become four channels, as in a convolution with a stride of 2.
        maps = self.first(F.pixel_unshuffle(x, 2))  # (N, large, S/2, S/2)
        large = self.down[0](maps, embedding)  # (N, large, S/2, S/2)
        halved = F.avg_pool2d(large, 2)
        middle = self.down[1](halved, embedding)  # (N, middle, S/4, S/4)
        halved = F.avg_pool2d(middle, 2)
        small = self.down[2](halved, embedding)  # (N, small, S/8, S/8)
        small = self.bottom[0](small, embedding)
        small = self.bottom[1](small, embedding)
        middle = middle + double(self.narrow[0](small))  # (N, middle, S/4, S/4)
        middle = self.up[0](middle, embedding)
        large = large + double(self.narrow[1](middle))  # (N, large, S/2, S/2)
        large = self.up[1](large, embedding)
        maps = self.last(F.silu(normalise(large)))  # (N, 4, S/2, S/2)
        return F.pixel_shuffle(maps, 2).float()  # (N, 1, S, S)


def double(maps: Tensor) -> Tensor:
    """Repeat each value of maps (N, C, H, W) in 2 x 2 places: (N, C, 2 H, 2 W)."""
    return F.interpolate(maps, scale_factor=2)


def normalise(maps: Tensor) -> Tensor:
    """Give each image's maps (N, C, H, W) mean 0 and variance 1.

    This is the group norm of Wu and He (2018) with one group. Computed as a layer norm
    of maps with channels last, it takes half the time of nn.GroupNorm on a CPU.
    """
    maps = maps.permute(0, 2, 3, 1)
    return F.layer_norm(maps, maps.shape[1:]).permute(0, 3, 1, 2)


def to_waves(times: Tensor) -> Tensor:
    """Return cosines and sines (N, 64) of times (N,), with frequencies from 1 to 1000.

    They embed a time as Vaswani et al. (2017) embed a position.
    """
    angles = times[:, None] * torch.logspace(0, 3, 32, device=times.device)
    return torch.cat([angles.cos(), angles.sin()], 1)


@torch.no_grad()
def sample(
    network: VelocityNetwork, labels: ArrayLike, seed: int = 0, num_steps: int = 20
) -> Tensor:
    """Draw images (N, 1, S, S) float32 in [-1, 1] of the labels (N,), on the CPU.

    The noise has this seed, and follows the velocity in steps of equal length (Euler).
    """
    check_counts(num_steps=num_steps)
    size = network.settings.size
    device = device_of(network)
    labels = as_tensor(labels)
    labels = as_labels(labels, len(labels), network.settings.num_classes)
    noise = torch.randn(len(labels), 1, size, size, generator=make_generator(seed))
    images = []
    for x, asked in zip(noise.split(BATCH), labels.split(BATCH), strict=True):
        x = x.to(device)
        for step in range(num_steps):
            times = x.new_full((len(x),), step / num_steps)
            x = x + network(x, times, asked.to(device)) / num_steps
        images.append(x.clamp(-1, 1).cpu())
    return torch.cat(images)


def fit_flow(
    images: ArrayLike,
    labels: ArrayLike,
    settings: FlowSettings = STANDARD,
    seed: int = 0,
) -> tuple[VelocityNetwork, History]:
    """Train on images, as `prepare_images` takes them, and labels (N,).

    Times are drawn from a logistic normal distribution, as Esser et al. (2024) suggest:
    most of them are in the middle, where the velocity is hardest to learn. The same
    seed gives the same network on one machine.

    Returns the network, with the average of its weights, and the history of the loss.
    Raises DivergenceError for a loss that is not finite.
    """
    images = prepare_images(images, settings.size)
    labels = as_labels(labels, len(images), settings.num_classes)
    with drawn_from(seed):
        network = channels_last(VelocityNetwork(settings))
    average = AveragedModel(network)
    # For all epochs, instead of the epochs' own.
    generator = make_generator(seed)
    num_steps = settings.num_epochs * count_batches(len(images), settings.batch_size)
    optimiser, schedule = make_one_cycle(
        {network: settings.learning_rate}, WEIGHT_DECAY, num_steps
    )

    def train_epoch(epoch: int, _: torch.Generator) -> dict[str, float]:
        means = Means()
        for rows in draw_batches(len(images), settings.batch_size, generator):
            loss = draw_loss(network, images[rows], labels[rows], settings, generator)
            minimise(loss, optimiser)
            schedule.step()
            move_average(average, network, settings.average)
            means.add({"loss": loss}, len(rows))
        return means.as_numbers()

    history = run_epochs(train_epoch, network, settings.num_epochs, seed)
    trained: Any = average.module
    return trained.eval().requires_grad_(False), history


def draw_loss(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: FlowSettings,
    generator: torch.Generator,
) -> Tensor:
    """Return `flow_loss` of images uint8 (N, S, S) at random times, from random noise.

    A random share of the labels (N,) is withheld, as the settings say.
    """
    pixels = from_uint8(images)
    noise = torch.randn(pixels.shape, generator=generator)
    times = torch.randn(len(images), generator=generator).sigmoid()
    withheld = torch.rand(len(images), generator=generator) < settings.unlabelled
    classes = labels.masked_fill(withheld, settings.num_classes)
    return flow_loss(network, pixels, classes, noise, times)


def load_best() -> VelocityNetwork:
    """Load the committed network of seed 0, in eval mode, without gradients."""
    path = paths.require_network("flow.pt", "a flow")
    return channels_last(load_network(path, "network", FlowSettings, VelocityNetwork))
