"""Training: the loop over batches, which can be stopped and taken up again with the same result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from dlapps.gan.checkpoints import identify, load_checkpoint, save_checkpoint
from dlapps.gan.clusters import find_clusters
from dlapps.gan.history import History
from dlapps.gan.networks import check_labels
from dlapps.gan.presets import CONDITIONAL_PRACTICAL, PRACTICAL, AnyDiscriminator, Preset
from dlapps.gan.run import Run
from dlapps.gan.sampling import Sampler
from dlapps.runtime import make_generator

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
    history: History
    frames: Tensor
    frame_batches: list[int]


def fit_gan(
    images: Tensor,
    preset: Preset = PRACTICAL,
    seed: int = 0,
    *,
    labels: Tensor | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 200,
    frame_every: int = 100,
    measure: Measure | None = None,
    measure_every: int = 200,
    device: torch.device | str = "cpu",
    precision: str = "fast",
    progress: bool = False,
) -> Training:
    """Train a DCGAN on images uint8 (N, H, W), resized once to the preset's size, as the preset says.

    checkpoint: a file that is written every `checkpoint_every` batches and at the end, and from which a training that
    was stopped goes on to the same result. frame_every: batches between two frames. measure: called with the generator
    in eval mode every `measure_every` batches; its values go to the history. The same seed gives the same training on
    one machine. Raises ValueError for bad input, GanError (one too) for a loss that is not finite and for a checkpoint
    of another training; what is on disk stays.
    """
    check_labels_match(preset, labels, len(images))
    data = prepare_images(images, preset.size)
    identity = identify(preset, seed, precision, images, labels) if checkpoint else {}
    if preset.clusters:
        labels = find_clusters(data, preset.clusters, seed)
    run = Run(preset, seed, device, precision, labels)
    if checkpoint and (state := load_checkpoint(checkpoint, identity)):
        run.load_state(state)
    batches_an_epoch = -(-len(data) // preset.batch_size)
    total = preset.num_epochs * batches_an_epoch
    with tqdm(total=total, initial=run.batch, desc="batches", disable=not progress) as bar:
        for epoch in range(run.batch // batches_an_epoch, preset.num_epochs):
            order = torch.randperm(len(data), generator=make_generator(1000 * seed + epoch))
            for rows in order.split(preset.batch_size)[run.batch - epoch * batches_an_epoch :]:
                if run.batch % frame_every == 0:
                    run.keep_frame()
                run.step(data[rows], None if labels is None else labels[rows], run.batch / total)
                if measure and (run.batch % measure_every == 0 or run.batch == total):
                    run.history.measures.append({"batch": run.batch, **measure(run.sampler.eval())})
                if checkpoint and run.batch % checkpoint_every == 0:
                    save_checkpoint(checkpoint, identity, run.state())
                bar.update()
    run.keep_frame()
    if checkpoint:
        save_checkpoint(checkpoint, identity, run.state())
    return Training(preset, run.sampler.eval(), run.discriminator.eval(), run.history, *run.frames())


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
