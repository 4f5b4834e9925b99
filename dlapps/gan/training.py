"""Training on images, on images and labels: what changes in it, the update of a batch, the loop over batches."""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor
from tqdm.auto import tqdm

from dlapps import check_counts
from dlapps.core.images import as_uint8
from dlapps.core.runtime import device_of, make_generator
from dlapps.core.training import DivergenceError, History, Named, as_labels, check_options, run_epochs, seeded
from dlapps.core.weights import update_average
from dlapps.gan.clusters import find_clusters
from dlapps.gan.history import GanHistory
from dlapps.gan.presets import (
    CONDITIONAL_PRACTICAL,
    PRACTICAL,
    AnyDiscriminator,
    Preset,
    check_networks,
    make_networks,
    sampler_of,
)
from dlapps.gan.sampling import Sampler, draw_latents, sample, to_uint8
from dlapps.gan.steps import LOSSES, discriminator_step, generate, generator_step, likeness, move, penalise, spread

Measure = Callable[[Sampler], dict[str, float] | None]
# A generator and a discriminator of any kind.
Networks = tuple[Any, Any]


@dataclass(frozen=True)
class Training:
    """A trained GAN and how it came about.

    generator: in eval mode, with the moving average of its weights where the preset asks for one, else the last ones.
    frames: uint8 (F, M, S, S), or (F, M, S, S, 3), samples of the same latent vectors after frame_batches (F,) batches;
    M is 64, or with labels 10 a class, one row a class.
    """

    preset: Preset
    generator: Sampler
    discriminator: AnyDiscriminator
    history: GanHistory
    frames: Tensor
    frame_batches: list[int]


class Run:
    """All that changes in a training: networks, the average that samples are drawn from, optimisers, latent vectors.

    labels: int64 (N,), the clusters of the images where the preset has such. networks: in place of the preset's.
    """

    def __init__(
        self,
        preset: Preset,
        seed: int,
        device: torch.device | str,
        precision: str,
        labels: Tensor | None = None,
        networks: Networks | None = None,
    ) -> None:
        self.preset, self.seed, self.precision = preset, seed, precision
        generator, discriminator = networks or make_networks(preset, seed)
        if networks:
            check_networks(generator, discriminator, preset)
        self.generator, self.discriminator = generator.to(device), discriminator.to(device).train()
        self.average = self.generator
        if preset.average:
            self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.sampler = sampler_of(preset, self.average, labels).to(device)
        self.latents = make_generator(seed)
        trained = {"generator": self.generator, "discriminator": self.discriminator}
        self.rates = {name: getattr(preset, f"{name}_rate") for name in preset.trained}
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
        told = labels if preset.discriminator_sees_labels else None
        seen = (real, fake)
        if preset.moves:
            seen = (move(real, self.latents), move(fake, self.latents))
        optimiser_d, optimiser_g = map(self.optimisers.get, ("discriminator", "generator"))
        added = preset.penalty_weight * penalise(preset.penalty, self.discriminator, *seen, told, self.latents)
        made |= discriminator_step(self.discriminator, *seen, optimiser_d, loss, told, self.precision, added)
        alike = preset.seeking * likeness(fake, z, labels) if preset.seeking else 0.0
        made |= generator_step(
            self.generator, self.discriminator, seen[1], optimiser_g, loss, told, self.precision, alike
        )
        # Brought to the CPU at once.
        measured = dict(zip(made, torch.stack([*made.values()]).tolist(), strict=True))
        for name, value in measured.items():
            if not math.isfinite(value):
                raise DivergenceError(
                    f"expected finite numbers, got {value} as {name} in batch {batch}; lower the learning rates."
                )
        if preset.average:
            decay = min(preset.average, (batch + 1) / (batch + 11))
            update_average(self.average, self.generator, decay)
        return measured

    def draw_frame(self) -> Tensor:
        """Samples uint8 (M, S, S), or (M, S, S, 3), of latent vectors that are the same at each call."""
        preset = self.preset
        # Clusters are drawn by one number more.
        latent_dim = preset.latent_dim + bool(preset.clusters)
        if preset.num_classes:
            labels = torch.arange(preset.num_classes).repeat_interleave(10)
            z = draw_latents(10, latent_dim, self.seed).repeat(preset.num_classes, 1)
            return to_uint8(sample(self.sampler, z, labels))
        return to_uint8(sample(self.sampler, draw_latents(64, latent_dim, self.seed)))


def fit_gan(
    images: ArrayLike,
    preset: Preset = PRACTICAL,
    seed: int = 0,
    *,
    labels: ArrayLike | None = None,
    networks: Networks | None = None,
    frame_every: int = 100,
    measure: Measure | None = None,
    measure_every: int = 200,
    device: torch.device | str = "cpu",
    precision: str = "fast",
    progress: bool = False,
    **options: Any,
) -> Training:
    """Train a DCGAN on images uint8, resized once to the preset's size, as the preset says.

    images: square, grey (N, H, W), or for a preset of 3 channels (N, H, W, 3) or (N, 3, H, W). networks: a generator of
    z (N, latent_dim) to images (N, C, S, S) in [-1, 1] and a discriminator of these to logits (N,), or (N, 1), to be
    trained in place of the preset's; where it has classes, labels (N,) are their second argument. frame_every: batches
    between two frames. measure: called with the generator in eval mode every `measure_every` batches and at the end;
    its values go to the history. progress: bars of epochs and of batches. options: monitor, checkpoint and extend, as
    `dlapps.training.run_epochs` takes them. The same seed gives the same training on one machine. Raises ValueError for
    bad input, DivergenceError for a loss or a gradient that is not finite.
    """
    check_options("fit_gan", options)
    check_counts(frame_every=frame_every, measure_every=measure_every)
    data, told = _prepare(images, labels, preset)
    identity = {"fit": "gan", **asdict(preset), "seed": seed, "precision": precision}
    identity |= {"images": data, "labels": told}
    if preset.clusters:
        told = find_clusters(data, preset.clusters, seed)
    run = Run(preset, seed, device, precision, told, networks)
    num_batches = -(-len(data) // preset.batch_size)
    total = preset.num_epochs * num_batches

    def train_epoch(epoch: int, _: torch.Generator) -> History:
        measured = History(frames=[], frame_batches=[], measures=[])
        order = torch.randperm(len(data), generator=make_generator(1000 * seed + epoch))
        batches = tqdm(order.split(preset.batch_size), "batches", leave=False, disable=not progress)
        for batch, rows in enumerate(batches, epoch * num_batches):
            if batch % frame_every == 0:
                measured.add({"frames": run.draw_frame(), "frame_batches": batch})
            measured.add(run.step(data[rows], None if told is None else told[rows], batch, total))
            done = batch + 1
            if measure and (done % measure_every == 0 or done == total):
                measured.add({"measures": {"batch": done, **(measure(run.sampler.eval()) or {})}})
        return measured

    train = seeded(train_epoch, seed)
    made = run_epochs(train, run.sampler, run.parts, identity, preset.num_epochs, progress=progress, **options)
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
    if preset.clusters and preset.num_classes:
        raise ValueError(
            f"expected classes or clusters, got {preset.num_classes} classes and {preset.clusters} clusters; set "
            "one of them to 0."
        )
    if bool(preset.num_classes) != (labels is not None):
        raise ValueError(
            f"expected labels exactly where a preset has classes, got {preset.num_classes} classes and "
            f"{'no' if labels is None else len(levels)} labels; call fit_gan without labels, or fit_conditional_gan."
        )
    told = None if labels is None else as_labels(labels, len(levels), preset.num_classes)
    return prepare_images(levels, preset.size), told
