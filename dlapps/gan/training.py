"""Training on images, on images and labels: what changes in it, the update of a batch,
the loop over batches.
"""

import copy
import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps import check_counts
from dlapps.core.images import as_uint8
from dlapps.core.runtime import Bar, device_of, make_generator
from dlapps.core.training import (
    DivergenceError,
    History,
    as_labels,
    run_epochs,
    seeded,
    update_average,
)
from dlapps.gan.fast import AnyDiscriminator, AnyGenerator, make_networks
from dlapps.gan.networks import (
    CONDITIONAL_PRACTICAL,
    PRACTICAL,
    Settings,
    check_networks,
    check_sizes,
)
from dlapps.gan.sampling import (
    channels_first,
    draw_latents,
    from_uint8,
    sample,
    to_uint8,
)
from dlapps.gan.steps import (
    LOSSES,
    discriminator_step,
    generate,
    generator_step,
    spread,
)

# A generator and a discriminator of any kind.
Networks = tuple[Any, Any]


@dataclass(frozen=True)
class Training:
    """A trained GAN and how it came about.

    generator: in eval mode, with the moving average of its weights where the settings
    asks for one, else the last ones.
    frames: uint8 (F, M, S, S), or (F, M, S, S, 3), samples of the same latent vectors
    after frame_batches (F,) batches; M is 64, or with labels 10 a class, one row a
    class.

    history: one value a batch. discriminator_loss, generator_loss; real_probability,
    fake_probability,
    fooling_probability: means over the batch of D(x), of D(G(z)) before and (fooling)
    after D's update;
    discriminator_gradient, generator_gradient: L2 norms over all weights. spread:
    standard deviation of a pixel over the batch, with labels within each class,
    averaged over pixels, of fake images in units of the real ones'; near 0 when all, or
    all of a class, are alike.
    """

    settings: Settings
    generator: AnyGenerator
    discriminator: AnyDiscriminator
    history: History
    frames: Tensor
    frame_batches: list[int]


class Run:
    """All that changes in a training: networks, the sampler (G, or its moving average),
    optimisers, latent vectors.

    networks: as `fit_gan` takes them.
    """

    def __init__(
        self,
        settings: Settings,
        seed: int,
        device: torch.device | str = "cpu",
        precision: str = "fast",
        networks: Networks | None = None,
    ) -> None:
        self.settings, self.seed, self.precision = settings, seed, precision
        generator, discriminator = networks or make_networks(settings, seed)
        check_networks(generator, discriminator, settings)
        self.generator, self.discriminator = (
            generator.to(device),
            discriminator.to(device).train(),
        )
        self.sampler = self.generator
        if settings.average:
            self.sampler = copy.deepcopy(self.generator).requires_grad_(False)
        self.latents = make_generator(seed)
        self.rates = settings.generator_rate, settings.discriminator_rate
        self.optimisers = [
            torch.optim.Adam(network.parameters(), rate, settings.betas, foreach=True)
            for network, rate in zip(
                (self.generator, self.discriminator), self.rates, strict=True
            )
        ]
        # What a checkpoint keeps besides the sampler.
        names = "G", "D", "Adam of G", "Adam of D", "latents"
        changing = self.generator, self.discriminator, *self.optimisers, self.latents
        self.parts = dict(zip(names, changing, strict=True))

    def step(
        self, real: Tensor, labels: Tensor | None, batch: int, total: int
    ) -> dict[str, float]:
        """D's update, then G's on the same fakes; returns what `Training` has in its
        history.

        real: uint8 (N, S, S) or (N, S, S, 3). batch: how many of the training's total
        are made. Raises DivergenceError where a loss or a gradient is not finite.
        """
        settings, device = self.settings, device_of(self.generator)
        self.generator.train()
        fall = min(1, 2 - 2 * batch / total) if settings.anneal else 1
        for optimiser, rate in zip(self.optimisers, self.rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * fall
        real, labels = (
            from_uint8(real.to(device)),
            None if labels is None else labels.to(device),
        )
        z = torch.randn(len(real), settings.latent_dim, generator=self.latents).to(
            device
        )
        fake = generate(self.generator, z, labels, self.precision)
        made = {
            "spread": spread(fake.detach(), labels)
            / spread(real, labels).clamp(min=1e-6)
        }
        (adam_g, adam_d), loss = self.optimisers, LOSSES[settings.loss]
        seen = labels if settings.discriminator_sees_labels else None, self.precision
        made |= discriminator_step(self.discriminator, real, fake, adam_d, *seen)
        made |= generator_step(
            self.generator, self.discriminator, fake, adam_g, loss, *seen
        )
        # Brought to the CPU at once.
        measured = dict(zip(made, torch.stack([*made.values()]).tolist(), strict=True))
        for name, value in measured.items():
            if not math.isfinite(value):
                raise DivergenceError(
                    f"expected a finite {name}, got {value} in batch {batch}; lower the rates."
                )
        if settings.average:
            decay = min(settings.average, (batch + 1) / (batch + 11))
            update_average(self.sampler, self.generator, decay)
        return measured

    def draw_frame(self) -> Tensor:
        """Samples uint8 (M, S, S), or (M, S, S, 3), of latent vectors that are the same
        at each call.
        """
        settings, labels, number = self.settings, None, 64
        if settings.num_classes:
            labels, number = (
                torch.arange(settings.num_classes).repeat_interleave(10),
                10,
            )
        z = draw_latents(number, settings.latent_dim, self.seed).repeat(
            settings.num_classes or 1, 1
        )
        return to_uint8(sample(self.sampler, z, labels))


def fit_gan(
    images: ArrayLike,
    settings: Settings = PRACTICAL,
    seed: int = 0,
    *,
    labels: ArrayLike | None = None,
    networks: Networks | None = None,
    frame_every: int = 100,
    device: torch.device | str = "cpu",
    precision: str = "fast",
    **options: Any,
) -> Training:
    """Train a DCGAN on images uint8, resized once to the settings's size, as the settings
    says.

    images: square, grey (N, H, W), or for a settings of 3 channels (N, H, W, 3) or (N, 3,
    H, W). networks: a generator of z (N, latent_dim) to images (N, C, S, S) in [-1, 1]
    and a discriminator of these to logits (N,), or (N, 1), to be trained in place of
    the settings's; where it has classes, labels (N,) are their second argument.
    frame_every: batches between two frames. options: monitor and checkpoint, as
    `dlapps.core.training.run_epochs` takes them. The same seed gives the same training
    on one machine. Raises ValueError for bad input, DivergenceError for a loss or a
    gradient that is not finite.
    """
    check_counts(frame_every=frame_every)
    data = prepare_images(images, settings.size)
    check_sizes(
        "images", channels_first(data), settings.channels, settings.size, settings.size
    )
    if bool(settings.num_classes) != (labels is not None):
        raise ValueError(
            "expected a settings with classes and labels, got only one; pass both or neither."
        )
    classes = (
        None if labels is None else as_labels(labels, len(data), settings.num_classes)
    )
    identity = {"fit": "gan", **asdict(settings), "seed": seed, "precision": precision}
    identity |= {"images": data, "labels": classes}
    run = Run(settings, seed, device, precision, networks)
    num_batches = -(-len(data) // settings.batch_size)

    def train_epoch(epoch: int, _: torch.Generator) -> History:
        measured = History(frames=[], frame_batches=[])
        order = torch.randperm(len(data), generator=make_generator(1000 * seed + epoch))
        for batch, rows in enumerate(
            Bar(order.split(settings.batch_size)), epoch * num_batches
        ):
            if batch % frame_every == 0:
                measured.add({"frames": run.draw_frame(), "frame_batches": batch})
            told = None if classes is None else classes[rows]
            measured.add(
                run.step(data[rows], told, batch, settings.num_epochs * num_batches)
            )
        return measured

    train = seeded(train_epoch, seed)
    history = run_epochs(
        train, run.sampler, run.parts, identity, settings.num_epochs, **options
    )
    frames = torch.stack([*history.pop("frames"), run.draw_frame()])
    frame_batches = [*history.pop("frame_batches"), len(history.spread)]
    return Training(
        settings, run.sampler, run.discriminator.eval(), history, frames, frame_batches
    )


def fit_conditional_gan(
    images: ArrayLike,
    labels: ArrayLike,
    settings: Settings = CONDITIONAL_PRACTICAL,
    seed: int = 0,
    **options: Any,
) -> Training:
    """Train a conditional DCGAN on images and their labels (N,) in [0, K); images and
    options as for `fit_gan`.
    """
    return fit_gan(images, settings, seed, labels=labels, **options)


def prepare_images(images: ArrayLike, size: int) -> Tensor:
    """Square images, uint8 (N, H, H) or (N, H, H, 3), resized bilinearly to that size,
    as a picture would be.
    """
    levels = as_uint8(images)
    if levels.shape[1] != levels.shape[2]:
        raise ValueError(
            f"expected square images, got {tuple(levels.shape)}; crop or pad them."
        )
    if levels.shape[1] == size:
        return levels
    # Antialiased, as Pillow does it where a picture shrinks; the same as not where it
    # grows.
    resize = partial(F.interpolate, size=(size, size), mode="bilinear", antialias=True)
    chunks = (channels_first(chunk).float() for chunk in levels.split(1000))
    return as_uint8(torch.cat([resize(chunk).round().byte() for chunk in chunks]))
