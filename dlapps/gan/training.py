"""Training on images, on images and labels: what changes in it, the update of a batch, the loop over batches."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from dlapps.gan.clusters import find_clusters
from dlapps.gan.history import GanHistory
from dlapps.gan.networks import ConditionalGenerator, check_labels
from dlapps.gan.presets import CONDITIONAL_PRACTICAL, PRACTICAL, AnyDiscriminator, Preset, make_networks, sampler_of
from dlapps.gan.sampling import Sampler, draw_latents, sample, sample_grid, to_uint8
from dlapps.gan.steps import LOSSES, discriminator_step, generate, generator_step, spread
from dlapps.runtime import make_generator
from dlapps.training import DivergenceError, History, Named, run_epochs
from dlapps.weights import update_average

Measure = Callable[[Sampler], dict[str, float]]


@dataclass(frozen=True)
class Training:
    """A trained GAN and how it came about.

    generator: in eval mode, with the moving average of its weights where the preset asks for one, else the last ones.
    frames: uint8 (F, M, S, S), samples of the same latent vectors after frame_batches (F,) batches; M is 64, or with
    labels 10 a digit, one row a digit.
    """

    preset: Preset
    generator: Sampler
    discriminator: AnyDiscriminator
    history: GanHistory
    frames: Tensor
    frame_batches: list[int]


class Run:
    """All that changes in a training: networks, the average that samples are drawn from, optimisers, latent vectors.

    labels: int64 (N,), the clusters of the images where the preset has such.
    """

    def __init__(
        self, preset: Preset, seed: int, device: torch.device | str, precision: str, labels: Tensor | None = None
    ) -> None:
        self.preset, self.seed, self.precision = preset, seed, precision
        generator, discriminator = make_networks(preset, seed)
        self.generator, self.discriminator = generator.to(device), discriminator.to(device)
        self.average = self.generator
        if preset.average:
            self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.sampler = sampler_of(preset, self.average, labels).to(device)
        self.latents = make_generator(seed)
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        self.rates = {name: getattr(preset, f"{name}_rate") for name in preset.trained}
        self.optimisers = {
            name: torch.optim.Adam(networks[name].parameters(), rate, preset.betas, foreach=True)
            for name, rate in self.rates.items()
        }
        optimisers = {f"{name}'s optimiser": part for name, part in self.optimisers.items()}
        self.parts: Named = {**networks, **optimisers, "latents": self.latents}

    def step(self, real: Tensor, labels: Tensor | None, batch: int, total: int) -> dict[str, float]:
        """D's update, then G's on the same fakes; returns what `GanHistory` has of a batch.

        real: uint8 (N, S, S). batch: how many of the training's total are made. Raises DivergenceError where a loss or
        a gradient is not finite.
        """
        preset, loss = self.preset, LOSSES[self.preset.loss]
        self.generator.train()
        for name, optimiser in self.optimisers.items():
            fall = min(1, 2 - 2 * batch / total) if preset.anneal else 1
            optimiser.param_groups[0]["lr"] = self.rates[name] * fall
        device = next(self.generator.parameters()).device
        real = real.to(device)[:, None].float().div(127.5).sub(1)
        labels = None if labels is None else labels.to(device)
        z = torch.randn(len(real), preset.latent_dim, generator=self.latents).to(device)
        fake = generate(self.generator, z, labels, self.precision)
        options = (loss, labels if preset.discriminator_sees_labels else None, self.precision)
        optimiser_d, optimiser_g = map(self.optimisers.get, ("discriminator", "generator"))
        made = discriminator_step(self.discriminator, real, fake, optimiser_d, *options)
        made |= generator_step(self.generator, self.discriminator, fake, optimiser_g, *options)
        made["spread"] = spread(fake.detach(), labels) / spread(real, labels).clamp(min=1e-6)
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
        """Samples uint8 (M, S, S) of latent vectors that are the same at each call."""
        number = 10 if self.preset.num_classes else 64
        z = draw_latents(number, self.sampler.latent_dim, self.seed)
        if isinstance(self.sampler, ConditionalGenerator):
            return to_uint8(sample_grid(self.sampler, z).flatten(0, 1))
        return to_uint8(sample(self.sampler, z))


def fit_gan(
    images: Tensor,
    preset: Preset = PRACTICAL,
    seed: int = 0,
    *,
    labels: Tensor | None = None,
    frame_every: int = 100,
    measure: Measure | None = None,
    measure_every: int = 200,
    device: torch.device | str = "cpu",
    precision: str = "fast",
    progress: bool = False,
    **options: Any,
) -> Training:
    """Train a DCGAN on images uint8 (N, H, W), resized once to the preset's size, as the preset says.

    frame_every: batches between two frames. measure: called with the generator in eval mode every `measure_every`
    batches and at the end; its values go to the history. progress: bars of epochs and of batches. options: monitor and
    checkpoint, as `dlapps.training.run_epochs` takes them. The same seed gives the same training on one machine. Raises
    ValueError for bad input, DivergenceError for a loss or a gradient that is not finite.
    """
    check_labels_match(preset, labels, len(images))
    data = prepare_images(images, preset.size)
    identity = {"fit": "gan", **asdict(preset), "seed": seed, "precision": precision}
    identity |= {"images": images, "labels": labels}
    if preset.clusters:
        labels = find_clusters(data, preset.clusters, seed)
    run = Run(preset, seed, device, precision, labels)
    num_epochs, num_batches = preset.num_epochs, -(-len(data) // preset.batch_size)
    total = num_epochs * num_batches

    def train_epoch(epoch: int) -> History:
        measured = History(frames=[], frame_batches=[], measures=[])
        order = torch.randperm(len(data), generator=make_generator(1000 * seed + epoch))
        batches = tqdm(order.split(preset.batch_size), "batches", leave=False, disable=not progress)
        for batch, rows in enumerate(batches, epoch * num_batches):
            if batch % frame_every == 0:
                measured.add({"frames": run.draw_frame(), "frame_batches": batch})
            told = None if labels is None else labels[rows]
            measured.add(run.step(data[rows], told, batch, total))
            done = batch + 1
            if measure and (done % measure_every == 0 or done == total):
                measured.add({"measures": {"batch": done, **measure(run.sampler.eval())}})
        return measured

    made = run_epochs(train_epoch, run.sampler, run.parts, identity, num_epochs, progress=progress, **options)
    frames = torch.stack([*made.pop("frames"), run.draw_frame()])
    frame_batches = [*made.pop("frame_batches"), total]
    networks = (run.sampler, run.discriminator.eval())
    return Training(preset, *networks, GanHistory(made), frames, frame_batches)


def fit_conditional_gan(
    images: Tensor, labels: Tensor, preset: Preset = CONDITIONAL_PRACTICAL, seed: int = 0, **options: Any
) -> Training:
    """Train a conditional DCGAN on images uint8 (N, H, W) and their labels int64 (N,); options as for `fit_gan`."""
    return fit_gan(images, preset, seed, labels=labels, **options)


def prepare_images(images: Tensor, size: int) -> Tensor:
    """uint8 (N, H, W), resized bilinearly to uint8 (N, size, size) as a picture would be."""
    if images.dtype != torch.uint8 or images.ndim != 3 or not len(images):
        raise ValueError(
            f"expected images uint8 (N, H, W), got {images.dtype} {tuple(images.shape)}; convert them, colour to grey."
        )
    if images.shape[1:] == (size, size):
        return images
    chunks = (chunk[:, None].float() for chunk in images.split(1000))
    # Antialiased, as Pillow does it where a picture shrinks; the same as not where it grows.
    resized = (F.interpolate(chunk, (size, size), mode="bilinear", antialias=True) for chunk in chunks)
    return torch.cat([chunk.squeeze(1).round().byte() for chunk in resized])


def check_labels_match(preset: Preset, labels: Tensor | None, number: int) -> None:
    """Raise ValueError unless there are labels (number,) exactly where the preset has classes."""
    if preset.clusters and preset.num_classes:
        raise ValueError(
            f"expected classes or clusters, got {preset.num_classes} classes and {preset.clusters} clusters; set "
            "one of them to 0."
        )
    if bool(preset.num_classes) != (labels is not None):
        raise ValueError(
            f"expected labels exactly where a preset has classes, got {preset.num_classes} classes and "
            f"{'no' if labels is None else len(labels)} labels; call fit_gan without labels, or fit_conditional_gan."
        )
    if labels is not None:
        check_labels(labels, number, preset.num_classes)
