"""Training a GAN, conditional or not, on images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from dlapps.core import training
from dlapps.core.arrays import as_labels
from dlapps.core.runtime import (
    device_of,
    drawn_from,
    make_generator,
    progress,
)
from dlapps.core.training import History
from dlapps.gan.networks import PRACTICAL, AnyGenerator, Settings, make_networks
from dlapps.gan.sampling import (
    draw_latents,
    from_uint8,
    prepare_images,
    sample,
    to_uint8,
)
from dlapps.gan.steps import LOSSES, call, discriminator_loss

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
) -> Training:
    """Train a DCGAN on images, or a conditional one on images and their labels.

    The same seed gives the same training on one machine.

    images: as `prepare_images` takes them.
    settings: what the networks and the training are. With classes, as in
        CONDITIONAL_PRACTICAL, the GAN is conditional.
    labels: (N,) in [0, K), if the settings have classes.
    networks: a generator and a discriminator to train, on their device, in place of
        those of the settings. The generator turns z (N, latent_dim) into images
        (N, 1, S, S) in [-1, 1], the discriminator turns these into logits (N,) or
        (N, 1). Labels (N,) are their second argument if the settings have classes.
    frame_every: the number of batches between two frames.

    Raises ValueError for bad input, and DivergenceError for a loss that is not finite.
    """
    levels = prepare_images(images, settings.size)
    if bool(settings.num_classes) != (labels is not None):
        raise ValueError(
            "expected settings with classes and labels, got only one; "
            "pass both or neither."
        )
    if labels is not None:
        labels = as_labels(labels, len(levels), settings.num_classes)
    generator, discriminator = networks or make_networks(settings, seed)
    trainer = Trainer(generator, discriminator, settings, seed)
    device = device_of(generator)
    per_epoch = training.count_batches(len(levels), settings.batch_size)
    num_batches = settings.num_epochs * per_epoch
    history = History()
    frames = []
    frame_batches = list(range(0, num_batches, frame_every))
    try:
        # Dropout draws from the default generator.
        with drawn_from(seed):
            for batch, rows in enumerate(draw_batches(len(levels), settings, seed)):
                if batch in frame_batches:
                    frames.append(trainer.draw_frame())
                if settings.anneal:
                    trainer.set_rates(batch / num_batches)
                real = from_uint8(levels[rows]).to(device)
                classes = None if labels is None else labels[rows].to(device)
                for name, value in trainer.update(real, classes).items():
                    history.add({name: value.item()})
    finally:
        generator.eval()
        discriminator.eval()
    frames.append(trainer.draw_frame())
    return Training(
        settings,
        trainer.sampler.eval(),
        discriminator,
        history,
        frames=torch.stack(frames),
        frame_batches=[*frame_batches, num_batches],
    )


def draw_batches(number: int, settings: Settings, seed: int) -> Iterator[Tensor]:
    """Draw the rows (B,) of each batch of a training, epoch by epoch."""
    for epoch in progress(range(settings.num_epochs), "epochs"):
        # Orders and latent vectors have generators of their own.
        order = make_generator(1000 * seed + epoch)
        yield from training.draw_batches(number, settings.batch_size, order)


class Trainer:
    """A generator and a discriminator with their optimisers.

    sampler: the moving average of the generator if the settings ask for one, else the
    generator itself.
    """

    def __init__(
        self, generator: Any, discriminator: Any, settings: Settings, seed: int
    ) -> None:
        self.generator = generator.train()
        self.discriminator = discriminator.train()
        self.settings = settings
        self.seed = seed
        self.loss = LOSSES[settings.loss]
        self.sampler = generator
        if settings.average:
            self.average = AveragedModel(generator, use_buffers=True)
            self.sampler = self.average.module.requires_grad_(False)
        self.adam_g = torch.optim.Adam(
            generator.parameters(), settings.generator_rate, BETAS, foreach=True
        )
        self.adam_d = torch.optim.Adam(
            discriminator.parameters(), settings.discriminator_rate, BETAS, foreach=True
        )
        self.latents = make_generator(seed)

    def update(self, real: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Make a step of each network; return what `Training.history` records.

        real: images (N, 1, S, S). labels: theirs, which those that are drawn get, too.
        """
        z = torch.randn(len(real), self.settings.latent_dim, generator=self.latents)
        fake = call(self.generator, z.to(real.device), labels)
        # Two passes, because batch norm has to see real and fake images apart.
        real_logits = call(self.discriminator, real, labels)
        fake_logits = call(self.discriminator, fake.detach(), labels)
        loss_d = discriminator_loss(real_logits, fake_logits)
        training.minimise(loss_d, self.adam_d)
        loss_g = self.loss(call(self.discriminator, fake, labels))
        gradient = training.minimise(loss_g, self.adam_g)
        if self.settings.average:
            training.move_average(self.average, self.generator, self.settings.average)
        return {
            "discriminator_loss": loss_d,
            "real_probability": real_logits.sigmoid().mean(),
            "fake_probability": fake_logits.sigmoid().mean(),
            "generator_loss": loss_g,
            "generator_gradient": gradient,
        }

    def set_rates(self, progress: float) -> None:
        """Let both rates fall to 0 over the second half of the progress in [0, 1]."""
        factor = min(1, 2 - 2 * progress)
        self.adam_g.param_groups[0]["lr"] = self.settings.generator_rate * factor
        self.adam_d.param_groups[0]["lr"] = self.settings.discriminator_rate * factor

    def draw_frame(self) -> Tensor:
        """Draw samples uint8 (M, S, S), of the same z at each call."""
        num_classes = self.settings.num_classes
        if num_classes:
            z = draw_latents(10, self.settings.latent_dim, self.seed)
            labels = torch.arange(num_classes).repeat_interleave(10)
            return to_uint8(sample(self.sampler, z.repeat(num_classes, 1), labels))
        z = draw_latents(64, self.settings.latent_dim, self.seed)
        return to_uint8(sample(self.sampler, z))
