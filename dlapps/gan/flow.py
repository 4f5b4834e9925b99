"""Conditional flow matching: the velocity with which noise becomes digits, learnt, then
followed [Lipman et al. 2023].

Time runs from 0, noise, to 1, images. Between them lies x_t = (1 - t) noise + t image,
which moves with the velocity image - noise. Images are uint8 (N, S, S) where a training
takes them, float32 (N, 1, S, S) in [-1, 1] where the network does, S a multiple of 8;
labels int64 (N,) in [0, K). `fit_flow` and `sample` check them.
"""

import copy
import functools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps import check_counts, check_name, check_shares
from dlapps.core import paths
from dlapps.core.images import as_uint8
from dlapps.core.metrics import as_tensor
from dlapps.core.runtime import (
    Bar,
    autocast,
    channels_last,
    device_of,
    drawn_from,
    make_generator,
)
from dlapps.core.training import (
    History,
    as_labels,
    make_one_cycle,
    minimise,
    read_checked,
    run_epochs,
    to_float16,
    update_average,
    write_checked,
)
from dlapps.gan.networks import check_sizes
from dlapps.gan.sampling import from_uint8


@dataclass(frozen=True)
class Settings:
    """What a training depends on, beside its data and its seed.

    channels: of the maps of S/2, S/4 and S/8. embedding: numbers that tell each block
    time and class. learning_rate: the highest of one cycle. unlabelled: share of the
    images whose label is withheld, so that the network learns the velocity without one
    too. average: decay a batch of the moving average of the weights, which samples are
    drawn from.
    """

    size: int = 32
    num_classes: int = 10
    channels: tuple[int, int, int] = (48, 96, 144)
    embedding: int = 128
    num_epochs: int = 24
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    unlabelled: float = 0.1
    average: float = 0.999

    def __post_init__(self) -> None:
        check_counts(
            num_epochs=self.num_epochs,
            batch_size=self.batch_size,
            num_classes=self.num_classes,
        )
        check_shares(unlabelled=self.unlabelled, average=self.average)


STANDARD = Settings()
BATCH = 250  # images drawn at a time
Guidance = float | Callable[[float], float]


class Block(nn.Module):
    """Two convolutions (k3), each after a norm and SiLU, beside a shortcut; time and
    class scale, shift the second.
    """

    def __init__(self, before: int, after: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.scale_shift = nn.Linear(embedding, 2 * after)
        self.shortcut = (
            nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        )

    def forward(self, maps: Tensor, embedding: Tensor) -> Tensor:
        """Maps (N, C', H, W) of maps (N, C, H, W) and embeddings (N, E)."""
        scale, shift = self.scale_shift(embedding)[:, :, None, None].chunk(2, 1)
        inner = normalise(self.first(F.silu(normalise(maps))))
        return self.shortcut(maps) + self.second(
            F.silu(torch.addcmul(shift, inner, 1 + scale))
        )


class VelocityNetwork(nn.Module):
    """A U-Net: the velocity v(x, t, y) of images x at time t on their way to class y; y
    = K asks for none.

    Blocks at S/2, S/4 and S/8, three at the smallest; on the way up the maps of each
    size are added to those that come from below. 1.7 M parameters as `STANDARD` has it.
    """

    def __init__(self, settings: Settings = STANDARD) -> None:
        super().__init__()
        if settings.size % 8:
            raise ValueError(
                f"expected a size that is a multiple of 8, got {settings.size}; resize."
            )
        self.settings, width = settings, settings.embedding
        large, middle, small = settings.channels
        # 2 x 2 pixels as four channels: a convolution in strides of 2.
        self.first, self.last = (
            nn.Conv2d(4, large, 3, padding=1),
            nn.Conv2d(large, 4, 3, padding=1),
        )
        self.time = nn.Sequential(
            nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.label = nn.Embedding(settings.num_classes + 1, width)
        self.down = nn.ModuleList(
            Block(*pair, width)
            for pair in ((large, large), (large, middle), (middle, small))
        )
        self.bottom = nn.ModuleList(Block(small, small, width) for _ in range(2))
        self.narrow = nn.ModuleList(
            nn.Conv2d(*pair, 1) for pair in ((small, middle), (middle, large))
        )
        self.up = nn.ModuleList(
            Block(channels, channels, width) for channels in (middle, large)
        )

    def forward(self, x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """Velocities (N, 1, S, S) float32 of x (N, 1, S, S) at times (N,) in [0, 1],
        labels int64 (N,) in [0, K].
        """
        embedding = F.silu(self.time(to_waves(times)) + self.label(labels))
        large = self.down[0](self.first(F.pixel_unshuffle(x, 2)), embedding)
        middle = self.down[1](F.avg_pool2d(large, 2), embedding)
        small = self.down[2](F.avg_pool2d(middle, 2), embedding)
        small = self.bottom[1](self.bottom[0](small, embedding), embedding)
        double = functools.partial(F.interpolate, scale_factor=2)
        middle = self.up[0](middle + double(self.narrow[0](small)), embedding)
        large = self.up[1](large + double(self.narrow[1](middle)), embedding)
        return F.pixel_shuffle(self.last(F.silu(normalise(large))), 2).float()


def normalise(maps: Tensor) -> Tensor:
    """Each image's maps (N, C, H, W) with mean 0 and variance 1: group norm of one
    group (Wu and He 2018).

    As a layer norm of maps that lie channels last it takes half the time of
    nn.GroupNorm on a CPU.
    """
    maps = maps.permute(0, 2, 3, 1)
    return F.layer_norm(maps, maps.shape[1:]).permute(0, 3, 1, 2)


def to_waves(times: Tensor) -> Tensor:
    """Cosines and sines (N, 64) of times (N,), their frequencies from 1 to 1000
    (Vaswani et al. 2017).
    """
    angles = times[:, None] * torch.logspace(0, 3, 32, device=times.device)
    return torch.cat([angles.cos(), angles.sin()], 1)


def flow_loss(
    network: nn.Module, images: Tensor, labels: Tensor, noise: Tensor, times: Tensor
) -> Tensor:
    """Mean of |v(x_t, t, y) - (image - noise)|² over images and pixels (Lipman et al.
    2023, equation 23, sigma 0).

    images, noise: float32 (N, 1, S, S); times: (N,) in [0, 1]; labels: int64 (N,) in
    [0, K], K for none.
    """
    t = times[:, None, None, None]
    return F.mse_loss(
        network((1 - t) * noise + t * images, times, labels), images - noise
    )


def guided_velocity(
    network: VelocityNetwork,
    x: Tensor,
    time: float,
    labels: Tensor,
    guidance: Guidance = 1,
) -> Tensor:
    """v(x, t) + w (v(x, t, y) - v(x, t)): classifier-free guidance (Ho and Salimans
    2022, whose w is one less).

    guidance: w, or a function of the time that gives it, finite; 1 follows the labels,
    0 is without them, more exaggerates what they change. Any other than these two
    evaluates the network twice, in one batch.
    """
    guidance = guidance(time) if callable(guidance) else guidance
    if not math.isfinite(guidance):
        raise ValueError(f"expected a finite guidance, got {guidance}; take a number.")
    times, none = (
        x.new_full((len(x),), time),
        torch.full_like(labels, network.settings.num_classes),
    )
    if guidance in (0, 1):
        return network(x, times, labels if guidance else none)
    both = torch.cat([none, labels])
    without, labelled = network(x.repeat(2, 1, 1, 1), times.repeat(2), both).chunk(2)
    return torch.lerp(without, labelled, guidance)


def integrate(
    velocity: Callable[[Tensor, float], Tensor], x: Tensor, num_steps: int, solver: str
) -> Tensor:
    """x at time 1, from x at time 0 and dx/dt = velocity(x, t), in steps of one length.

    solver: "euler" (error in proportion to the step's length) or "midpoint" (to its
    square; two evaluations a step).
    """
    check_counts(num_steps=num_steps)
    check_name("solver", solver, ("euler", "midpoint"))
    length = 1 / num_steps
    for step in range(num_steps):
        time = step * length
        slope = velocity(x, time)
        if solver == "midpoint":
            slope = velocity(x + length / 2 * slope, time + length / 2)
        x = x + length * slope
    return x


@torch.no_grad()
def sample(
    network: VelocityNetwork,
    labels: Tensor,
    seed: int = 0,
    num_steps: int = 10,
    solver: str = "midpoint",
    guidance: Guidance = 1,
) -> Tensor:
    """Images (N, 1, S, S) float32 in [-1, 1] on the CPU of the labels int64 (N,) asked
    for; noise comes from the seed.

    `integrate` says what solvers there are, `guided_velocity` what guidance is.
    """
    settings, device, images, labels = (
        network.settings,
        device_of(network),
        [],
        as_tensor(labels),
    )
    labels = as_labels(labels, labels.numel(), settings.num_classes)
    shape = len(labels), 1, settings.size, settings.size
    noise = torch.randn(shape, generator=make_generator(seed))
    for x, asked in Bar(
        [*zip(noise.split(BATCH), labels.to(device).split(BATCH), strict=True)]
    ):
        velocity = functools.partial(
            guided_velocity, network, labels=asked, guidance=guidance
        )
        with autocast(device):
            images.append(
                integrate(velocity, x.to(device), num_steps, solver).clamp(-1, 1).cpu()
            )
    return torch.cat(images)


def fit_flow(
    images: ArrayLike,
    labels: ArrayLike,
    settings: Settings = STANDARD,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: str = "fast",
    **options: Any,
) -> tuple[VelocityNetwork, History]:
    """Train on images uint8 (N, S, S) and labels int64 (N,); returns the averaged
    network and its history: the loss.

    Times are drawn from a logistic normal: most of them in the middle, the hardest part
    (Esser et al. 2024). options: monitor and checkpoint, as
    `dlapps.core.training.run_epochs` takes them. The same seed gives the same network
    on one machine. Raises DivergenceError for a loss that is not finite.
    """
    images = as_uint8(images)
    check_sizes("grey images", images, settings.size, settings.size)
    labels = as_labels(labels, len(images), settings.num_classes)
    with drawn_from(seed):
        network = channels_last(VelocityNetwork(settings)).to(device)
    average, draws = copy.deepcopy(network).requires_grad_(False), make_generator(seed)
    num_steps = settings.num_epochs * -(-len(images) // settings.batch_size)
    optimiser, schedule = make_one_cycle(
        {network: settings.learning_rate}, 1e-2, num_steps
    )

    def train_epoch(epoch: int) -> dict[str, float]:
        total = 0.0
        for rows in Bar(
            torch.randperm(len(images), generator=draws).split(settings.batch_size)
        ):
            real = from_uint8(images[rows])
            noise = torch.randn(real.shape, generator=draws)
            times = torch.randn(len(rows), generator=draws).sigmoid()
            withheld = torch.rand(len(rows), generator=draws) < settings.unlabelled
            seen = labels[rows].masked_fill(withheld, settings.num_classes)
            batch = (part.to(device) for part in (real, seen, noise, times))
            with autocast(device, precision):
                loss = flow_loss(network, *batch)
            minimise(loss, optimiser)
            schedule.step()
            made = schedule.last_epoch
            update_average(average, network, min(settings.average, made / (made + 10)))
            total += loss.item() * len(rows)
        return {"loss": total / len(images)}

    identity = {**asdict(settings), "seed": seed, "precision": precision}
    identity |= {"images": images, "labels": labels}
    parts = {
        "trained": network,
        "optimiser": optimiser,
        "schedule": schedule,
        "draws": draws,
    }
    history = run_epochs(
        train_epoch, average, parts, identity, settings.num_epochs, **options
    )
    return average, history


def save_flow(path: Path, network: VelocityNetwork) -> Path:
    """The weights in float16 beside the settings that they belong to."""
    content = {"settings": asdict(network.settings), "network": to_float16(network)}
    return write_checked(path, content)


def load_flow(path: Path) -> VelocityNetwork:
    """A network of `save_flow`, in eval mode, without gradients."""
    saved = read_checked(path, "flow", ("settings", "network"))
    network = channels_last(VelocityNetwork(Settings(**saved["settings"])))
    network.load_state_dict(saved["network"])
    return network.eval().requires_grad_(False)


def load_best() -> VelocityNetwork:
    """The committed network of seed 0."""
    return load_flow(paths.require_network("flow.pt", "a flow"))
