"""Training a GAN, conditional or not, on images."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps.core.arrays import as_labels
from dlapps.core.checks import as_seed, check_counts
from dlapps.core.images import as_uint8, check_several
from dlapps.core.runtime import make_generator
from dlapps.core.training import (
    DivergenceError,
    History,
    Monitor,
    count_batches,
    draw_batches,
    early_decay,
    run_epochs,
    update_average,
)
from dlapps.gan.networks import (
    PRACTICAL,
    AnyGenerator,
    Settings,
    check_networks,
    make_networks,
)
from dlapps.gan.sampling import (
    draw_latents,
    from_uint8,
    sample,
    to_uint8,
)
from dlapps.gan.steps import (
    LOSSES,
    call,
    discriminator_step,
    generator_step,
)

# Of Adam: little momentum (Radford et al. 2016).
BETAS = (0.5, 0.999)


@dataclass(frozen=True)
class Training:
    """A trained GAN with its history and samples from the course of its training.

    generator: in eval mode. It has the moving average of its weights if the settings
        ask for one, else the last weights.
    frames: samples of the same latent vectors after frame_batches (F,) batches, uint8
        (F, M, S, S). M is 64, or 10 for each class, class by class.
    history: one value for each batch:
        discriminator_loss and generator_loss.
        real_probability: the mean of D(x) over the batch.
        fake_probability: the mean of D(G(z)) before the update of D.
        generator_gradient: its L2 norm over all weights.
    """

    settings: Settings
    generator: AnyGenerator
    discriminator: nn.Module
    history: History
    frames: Tensor
    frame_batches: list[int]


def fit_gan(
    images: ArrayLike,
    settings: Settings = PRACTICAL,
    seed: int = 0,
    *,
    labels: ArrayLike | None = None,
    networks: tuple[Any, Any] | None = None,
    frame_every: int = 100,
    device: torch.device | str = "cpu",
    monitor: Monitor | None = None,
) -> Training:
    """Train a DCGAN on images, or a conditional one on images and their labels.

    The same seed gives the same training on one machine.

    images: as `prepare_images` takes them.
    settings: what the networks and the training are. With classes, as in
        CONDITIONAL_PRACTICAL, the GAN is conditional.
    labels: (N,) in [0, K), if the settings have classes.
    networks: a generator and a discriminator to train in place of those of the
        settings. The generator turns z (N, latent_dim) into images (N, 1, S, S) in
        [-1, 1], the discriminator turns these into logits (N,) or (N, 1). Labels (N,)
        are their second argument if the settings have classes.
    frame_every: the number of batches between two frames.
    monitor: as for `dlapps.core.training.run_epochs`.

    Raises ValueError for bad input, and DivergenceError for a loss or a gradient that
    is not finite.
    """
    check_counts(frame_every=frame_every)
    seed = as_seed(seed)
    images, labels = _prepare_data(images, labels, settings)
    if networks:
        check_networks(*networks, settings)
    generator, discriminator = networks or make_networks(settings, seed)
    trainer = Trainer(generator.to(device), discriminator.to(device), settings, seed)
    num_batches = count_batches(len(images), settings.batch_size)

    def train_epoch(epoch: int, _: torch.Generator) -> History:
        generator.train()
        discriminator.train()
        history = History()
        # Orders and latent vectors have generators of their own.
        order = make_generator(1000 * seed + epoch)
        batches = draw_batches(len(images), settings.batch_size, order)
        for batch, rows in enumerate(batches, start=epoch * num_batches):
            if batch % frame_every == 0:
                frame = draw_frame(trainer.sampler, settings, seed)
                history.add({"frames": frame, "frame_batches": batch})
            if settings.anneal:
                trainer.set_rates(batch / (settings.num_epochs * num_batches))
            real = from_uint8(images[rows].to(device))
            classes = None if labels is None else labels[rows].to(device)
            measured = trainer.update(real, classes)
            history.add(_as_numbers(measured, batch))
            if settings.average:
                trainer.update_average(batch + 1)
        return history

    history = run_epochs(
        train_epoch, trainer.sampler, settings.num_epochs, seed, monitor
    )
    frame = draw_frame(trainer.sampler, settings, seed)
    history.add({"frames": frame, "frame_batches": settings.num_epochs * num_batches})
    frames = torch.stack(history.pop("frames"))
    frame_batches = history.pop("frame_batches")
    return Training(
        settings,
        trainer.sampler,
        discriminator.eval(),
        history,
        frames,
        frame_batches,
    )


class Trainer:
    """A generator and a discriminator with their optimisers.

    sampler: the moving average of the generator if the settings ask for one, else the
    generator itself.
    """

    def __init__(
        self, generator: Any, discriminator: Any, settings: Settings, seed: int
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.settings = settings
        self.loss = LOSSES[settings.loss]
        self.sampler = generator
        if settings.average:
            self.sampler = copy.deepcopy(generator).requires_grad_(False)
        self.adam_g = torch.optim.Adam(
            generator.parameters(),
            settings.generator_rate,
            BETAS,
            foreach=True,
        )
        self.adam_d = torch.optim.Adam(
            discriminator.parameters(),
            settings.discriminator_rate,
            BETAS,
            foreach=True,
        )
        self.latents = make_generator(seed)

    def update(self, real: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Make a step of each network; return what `Training.history` records."""
        z = torch.randn(len(real), self.settings.latent_dim, generator=self.latents)
        fake = call(self.generator, z.to(real.device), labels)
        of_d = discriminator_step(self.discriminator, real, fake, labels, self.adam_d)
        of_g = generator_step(
            self.generator, self.discriminator, fake, labels, self.adam_g, self.loss
        )
        return {**of_d, **of_g}

    def set_rates(self, progress: float) -> None:
        """Let both rates fall to 0 over the second half of the progress in [0, 1]."""
        factor = min(1, 2 - 2 * progress)
        self.adam_g.param_groups[0]["lr"] = self.settings.generator_rate * factor
        self.adam_d.param_groups[0]["lr"] = self.settings.discriminator_rate * factor

    def update_average(self, num_batches: int) -> None:
        """Move the average towards the generator, after so many batches."""
        decay = early_decay(self.settings.average, num_batches)
        update_average(self.sampler, self.generator, decay)


def _prepare_data(
    images: ArrayLike, labels: ArrayLike | None, settings: Settings
) -> tuple[Tensor, Tensor | None]:
    """Return images and labels as the settings need them, or raise ValueError."""
    check_several(images)
    levels = prepare_images(images, settings.size)
    if bool(settings.num_classes) != (labels is not None):
        raise ValueError(
            "expected settings with classes and labels, got only one; "
            "pass both or neither."
        )
    if labels is None:
        return levels, None
    return levels, as_labels(labels, len(levels), settings.num_classes)


def draw_frame(sampler: nn.Module, settings: Settings, seed: int) -> Tensor:
    """Draw samples uint8 (M, S, S), of the same z at each call."""
    if settings.num_classes:
        z = draw_latents(10, settings.latent_dim, seed).repeat(settings.num_classes, 1)
        labels = torch.arange(settings.num_classes).repeat_interleave(10)
        return to_uint8(sample(sampler, z, labels))
    return to_uint8(sample(sampler, draw_latents(64, settings.latent_dim, seed)))


def _as_numbers(measured: Mapping[str, Tensor], batch: int) -> dict[str, float]:
    """Return scalars as numbers; raise DivergenceError if one is not finite."""
    # One transfer to the CPU for all.
    values = torch.stack(list(measured.values())).tolist()
    numbers = dict(zip(measured, values, strict=True))
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise DivergenceError(
                f"expected a finite {name}, got {value} in batch {batch}; "
                "lower the learning rates."
            )
    return numbers


def prepare_images(images: ArrayLike, size: int) -> Tensor:
    """Resize square grey images uint8 (N, H, H) bilinearly to uint8 (N, size, size)."""
    levels = as_uint8(images)
    if levels.ndim != 3 or levels.shape[1] != levels.shape[2]:
        raise ValueError(
            f"expected square grey images (N, H, H), got {tuple(levels.shape)}; "
            "crop or pad them, and take the mean of colours."
        )
    if levels.shape[1] == size:
        return levels
    resized = []
    for chunk in levels.split(1000):
        # Antialiased, as Pillow resizes: another result only if the images shrink.
        pixels = F.interpolate(
            chunk[:, None].float(), (size, size), mode="bilinear", antialias=True
        )
        resized.append(pixels[:, 0].round().byte())
    return torch.cat(resized)
