"""Training on images, on images and labels: what changes in it, the update of a batch, the loop over batches."""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.core.images import as_uint8
from dlapps.core.runtime import Bar, device_of, make_generator
from dlapps.core.training import (
    DivergenceError,
    History,
    Named,
    as_labels,
    run_epochs,
    seeded,
    update_average,
)
from dlapps.gan.networks import (
    CONDITIONAL_PRACTICAL,
    PRACTICAL,
    AnyDiscriminator,
    AnyGenerator,
    Preset,
    check_networks,
    make_networks,
)
from dlapps.gan.sampling import draw_latents, sample, to_uint8
from dlapps.gan.steps import LOSSES, discriminator_step, generate, generator_step, spread

Measure = Callable[[AnyGenerator], dict[str, float] | None]
# A generator and a discriminator of any kind.
Networks = tuple[Any, Any]
# D, real and fake images, z, labels, random draws: what D sees of both images, scalars added to D's loss and to G's.
Regulariser = Callable[
    [nn.Module, Tensor, Tensor, Tensor, Tensor | None, torch.Generator],
    tuple[tuple[Tensor, Tensor], Any, Any],
]


class GanHistory(History):
    """One value a batch; measures: what `measure` gave, with the number of batches it was taken after.

    discriminator_loss, generator_loss; real_probability, fake_probability, fooling_probability: means over the batch of
    D(x), of D(G(z)) before and (fooling) after D's update; discriminator_gradient, generator_gradient: L2 norms over
    all weights. spread: standard deviation of a pixel over the batch, with labels within each class, averaged over
    pixels, of fake images in units of the real ones'; near 0 when all, or all of a class, are alike.
    """

    def health(self, last: int = 200) -> str:
        """balanced, collapsed, the discriminator wins or the generator wins: a sentence on the last batches.

        Only the losses' probabilities and the spread within a batch are judged, which may be balanced while every image
        is bad: `metrics.precision_recall` of features sees that.
        """
        if not self.get("spread"):
            return "not trained yet"
        measured = (self.real_probability, self.fake_probability, self.spread)
        real, fake, spread = (float(np.mean(values[-last:])) for values in measured)
        numbers = f"D(x) = {real:.2f}, D(G(z)) = {fake:.2f}, fakes vary {spread:.0%} as much as real images"
        seen = "judged by losses and spread alone: measure precision and recall too"
        state, remedy = "balanced", ""
        if spread < 0.5:
            state, remedy = "collapsed", "take another seed, or a lower learning rate for the generator"
        elif real - fake > 0.8:
            state, remedy = "the discriminator wins", "lower its learning rate, or its number of channels"
        elif real - fake < 0.05:
            state, remedy = "the generator wins", "raise the discriminator's learning rate, or its channels"
        return "; ".join(filter(None, (f"{state}: {numbers}", seen, remedy)))


@dataclass(frozen=True)
class Training:
    """A trained GAN and how it came about.

    generator: in eval mode, with the moving average of its weights where the preset asks for one, else the last ones.
    frames: uint8 (F, M, S, S), or (F, M, S, S, 3), samples of the same latent vectors after frame_batches (F,) batches;
    M is 64, or with labels 10 a class, one row a class.
    """

    preset: Preset
    generator: AnyGenerator
    discriminator: AnyDiscriminator
    history: GanHistory
    frames: Tensor
    frame_batches: list[int]


class Run:
    """All that changes in a training: networks, the sampler (G, or its moving average), optimisers, latent vectors.

    networks, regularise: as `fit_gan` takes them.
    """

    def __init__(
        self,
        preset: Preset,
        seed: int,
        device: torch.device | str,
        precision: str,
        networks: Networks | None = None,
        regularise: Regulariser | None = None,
    ) -> None:
        self.preset, self.seed, self.precision, self.regularise = preset, seed, precision, regularise
        generator, discriminator = networks or make_networks(preset, seed)
        if networks:
            check_networks(generator, discriminator, preset)
        self.generator, self.discriminator = generator.to(device), discriminator.to(device).train()
        self.sampler = self.generator
        if preset.average:
            self.sampler = copy.deepcopy(self.generator).requires_grad_(False)
        self.latents = make_generator(seed)
        trained = {"generator": self.generator, "discriminator": self.discriminator}
        self.rates = {name: getattr(preset, f"{name}_rate") for name in trained}
        self.optimisers = {
            name: torch.optim.Adam(trained[name].parameters(), rate, preset.betas, foreach=True)
            for name, rate in self.rates.items()
        }
        optimisers = {f"{name}'s optimiser": part for name, part in self.optimisers.items()}
        self.parts: Named = {**trained, **optimisers, "latents": self.latents}

    def step(self, real: Tensor, labels: Tensor | None, batch: int, total: int) -> dict[str, float]:
        """D's update, then G's on the same fakes; returns what `GanHistory` has of a batch.

        real: uint8 (N, S, S) or (N, S, S, 3). batch: how many of the training's total are made. Raises DivergenceError
        where a loss or a gradient is not finite.
        """
        preset, loss = self.preset, LOSSES[self.preset.loss]
        self.generator.train()
        for name, optimiser in self.optimisers.items():
            fall = min(1, 2 - 2 * batch / total) if preset.anneal else 1
            optimiser.param_groups[0]["lr"] = self.rates[name] * fall
        device = device_of(self.generator)
        real = channels_first(real.to(device)).float().div(127.5).sub(1)
        labels = None if labels is None else labels.to(device)
        z = torch.randn(len(real), preset.latent_dim, generator=self.latents).to(device)
        fake = generate(self.generator, z, labels, self.precision)
        made = {"spread": spread(fake.detach(), labels) / spread(real, labels).clamp(min=1e-6)}
        added_d = added_g = 0.0
        if self.regularise:
            made_of = (self.discriminator, real, fake, z, labels, self.latents)
            (real, fake), added_d, added_g = self.regularise(*made_of)
        optimiser_g, optimiser_d = self.optimisers.values()
        rest = (loss, labels if preset.discriminator_sees_labels else None, self.precision)
        made |= discriminator_step(self.discriminator, real, fake, optimiser_d, *rest, added_d)
        made |= generator_step(self.generator, self.discriminator, fake, optimiser_g, *rest, added_g)
        # Brought to the CPU at once.
        measured = dict(zip(made, torch.stack([*made.values()]).tolist(), strict=True))
        for name, value in measured.items():
            if not math.isfinite(value):
                raise DivergenceError(
                    f"expected finite numbers, got {value} as {name} in batch {batch}; lower the learning rates."
                )
        if preset.average:
            decay = min(preset.average, (batch + 1) / (batch + 11))
            update_average(self.sampler, self.generator, decay)
        return measured

    def draw_frame(self) -> Tensor:
        """Samples uint8 (M, S, S), or (M, S, S, 3), of latent vectors that are the same at each call."""
        preset, labels, number = self.preset, None, 64
        if preset.num_classes:
            labels, number = torch.arange(preset.num_classes).repeat_interleave(10), 10
        z = draw_latents(number, preset.latent_dim, self.seed).repeat(preset.num_classes or 1, 1)
        return to_uint8(sample(self.sampler, z, labels))


def fit_gan(
    images: ArrayLike,
    preset: Preset = PRACTICAL,
    seed: int = 0,
    *,
    labels: ArrayLike | None = None,
    networks: Networks | None = None,
    regularise: Regulariser | None = None,
    frame_every: int = 100,
    measure: Measure | None = None,
    measure_every: int = 200,
    device: torch.device | str = "cpu",
    precision: str = "fast",
    **options: Any,
) -> Training:
    """Train a DCGAN on images uint8, resized once to the preset's size, as the preset says.

    images: square, grey (N, H, W), or for a preset of 3 channels (N, H, W, 3) or (N, 3, H, W). networks: a generator of
    z (N, latent_dim) to images (N, C, S, S) in [-1, 1] and a discriminator of these to logits (N,), or (N, 1), to be
    trained in place of the preset's; where it has classes, labels (N,) are their second argument. regularise:
    called before each update, gives what D sees of real and fake images, and what is added to D's loss and to G's.
    frame_every: batches between two frames. measure: called with the generator in eval mode every `measure_every`
    batches and at the end; its values go to the history. options: monitor and checkpoint, as
    `dlapps.core.training.run_epochs` takes them. The same seed gives the same training on one
    machine. Raises ValueError for bad input, DivergenceError for a loss or a gradient that is not finite.
    """
    check_counts(frame_every=frame_every, measure_every=measure_every)
    data, classes = _prepare(images, labels, preset)
    identity = {"fit": "gan", **asdict(preset), "seed": seed, "precision": precision}
    identity |= {"images": data, "labels": classes, "regularise": regularise}
    run = Run(preset, seed, device, precision, networks, regularise)
    num_batches = -(-len(data) // preset.batch_size)
    total = preset.num_epochs * num_batches

    def train_epoch(epoch: int, _: torch.Generator) -> History:
        measured = History(frames=[], frame_batches=[], measures=[])
        order = torch.randperm(len(data), generator=make_generator(1000 * seed + epoch))
        batches = Bar(order.split(preset.batch_size))
        for batch, rows in enumerate(batches, epoch * num_batches):
            if batch % frame_every == 0:
                measured.add({"frames": run.draw_frame(), "frame_batches": batch})
            measured.add(run.step(data[rows], None if classes is None else classes[rows], batch, total))
            done = batch + 1
            if measure and (done % measure_every == 0 or done == total):
                measured.add({"measures": {"batch": done, **(measure(run.sampler.eval()) or {})}})
        return measured

    train = seeded(train_epoch, seed)
    made = run_epochs(train, run.sampler, run.parts, identity, preset.num_epochs, **options)
    frames = torch.stack([*made.pop("frames"), run.draw_frame()])
    frame_batches = [*made.pop("frame_batches"), len(made.spread)]
    return Training(preset, run.sampler, run.discriminator.eval(), GanHistory(made), frames, frame_batches)


def fit_conditional_gan(
    images: ArrayLike, labels: ArrayLike, preset: Preset = CONDITIONAL_PRACTICAL, seed: int = 0, **options: Any
) -> Training:
    """Train a conditional DCGAN on images and their labels (N,) in [0, K); images and options as for `fit_gan`."""
    return fit_gan(images, preset, seed, labels=labels, **options)


def prepare_images(images: ArrayLike, size: int) -> Tensor:
    """Square images, uint8 (N, H, H) or (N, H, H, 3), resized bilinearly to that size, as a picture would be."""
    levels = as_uint8(images)
    if levels.shape[1] != levels.shape[2]:
        raise ValueError(
            f"expected square images, got {levels.shape[1]} x {levels.shape[2]} pixels; crop or pad them, so that "
            "nothing is squashed."
        )
    if levels.shape[1] == size:
        return levels
    chunks = (channels_first(chunk).float() for chunk in levels.split(1000))
    # Antialiased, as Pillow does it where a picture shrinks; the same as not where it grows.
    resized = [F.interpolate(chunk, (size, size), mode="bilinear", antialias=True).round().byte() for chunk in chunks]
    return as_uint8(torch.cat(resized))


def channels_first(images: Tensor) -> Tensor:
    """(N, S, S) or (N, S, S, 3) to (N, 1, S, S) or (N, 3, S, S)."""
    return images[:, None] if images.ndim == 3 else images.movedim(3, 1)


def _prepare(images: ArrayLike, labels: ArrayLike | None, preset: Preset) -> tuple[Tensor, Tensor | None]:
    """Both as tensors, ready to be trained on; ValueError unless they are what the preset is made for."""
    levels = as_uint8(images)
    channels = 1 if levels.ndim == 3 else 3
    if channels != preset.channels:
        raise ValueError(
            f"expected images of {preset.channels} channels, as the preset has, got {channels}; take replace(preset, "
            f"channels={channels}), or convert them."
        )
    if bool(preset.num_classes) != (labels is not None):
        raise ValueError(
            f"expected labels exactly where a preset has classes, got {preset.num_classes} classes and "
            f"{'no' if labels is None else len(levels)} labels; call fit_gan without labels, or fit_conditional_gan."
        )
    classes = None if labels is None else as_labels(labels, len(levels), preset.num_classes)
    return prepare_images(levels, preset.size), classes
