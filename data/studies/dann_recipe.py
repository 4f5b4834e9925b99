"""A recipe that adapts better than DANN: textures, and pseudo-labels of a teacher.

It lays the source's digits on random textures, and learns the labels that a teacher,
the average of the trained network, predicts for the target with confidence.
"""

import copy
import functools
import math
import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps.core.arrays import as_labels
from dlapps.core.runtime import device_of
from dlapps.core.training import (
    History,
    Means,
    Monitor,
    count_batches,
    make_one_cycle,
    minimise,
    run_epochs,
    update_average,
)
from dlapps.dann.layers import ImprovedNetwork
from dlapps.dann.pictures import (
    DomainBatch,
    as_domains,
    draw_domain_batches,
    random_affine,
    random_strokes,
    random_textures,
    target_diversity,
)
from dlapps.dann.settings import Settings

WEIGHT_DECAY = 1e-2
# Of the teacher's weights, which are a moving average of the student's.
AVERAGE_DECAY = 0.998
# The share of the training after which pseudo-labels are learnt.
WARM_UP = 0.15
# A teacher that collapses predicts one class for nearly all images with confidence, so
# pseudo-labels of a batch that are less diverse than this are ignored.
# `label_diversity` of two of ten classes is .30, that of three .48.
MIN_DIVERSITY = 0.3


@dataclass(frozen=True)
class ImprovedSettings(Settings):
    """Settings of `fit_improved`, which trains by AdamW and one cycle of the rate.

    batch_size: images of each domain in a batch.
    learning_rate: the highest rate of the cycle.
    textures: the share of source digits that are laid on random textures.
    negative: the share of these whose strokes are the negative of the texture below
        them. The strokes of the others are another texture.
    threshold: the probability from which a pseudo-label is trusted. Above 1 no label
        is trusted, and no target image is used.
    """

    num_epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 4e-3
    textures: float = 0.75
    negative: float = 0.5
    threshold: float = 0.9


IMPROVED = ImprovedSettings()


def fit_improved(
    network: ImprovedNetwork,
    source: ArrayLike,
    labels: ArrayLike,
    target: ArrayLike,
    settings: ImprovedSettings = IMPROVED,
    seed: int = 0,
    target_labels: ArrayLike | None = None,
    monitor: Monitor | None = None,
) -> History:
    """Train on augmented source digits and on confident predictions for the target.

    A student is trained; the network is the teacher, the average of its weights.

    source: grey images (N, H, W).
    target_labels: true labels (M,), which are learnt in place of the predictions to
        measure how far the training could get.
    monitor: as for `run_epochs`.

    Returns the history: loss, class_loss (the part of the source), labelled_share (the
    share of target images with a trusted label), the measurements of the monitor, and
    target_diversity, `class_diversity` of the teacher's predictions for the first
    NUM_WATCHED target images. Warns if the diversity falls below MIN_DIVERSITY after
    the warm-up.
    """
    domains = as_domains(network, source, labels, target)
    check_grey(domains.source)
    if target_labels is not None:
        number = len(domains.target)
        target_labels = as_labels(target_labels, number, network.num_classes)
    device = device_of(network)
    num_classes = len(domains.labels.unique())
    num_steps = settings.num_epochs * count_batches(
        len(domains.source), settings.batch_size
    )
    student = Student(network, settings.learning_rate, num_steps)
    augment = functools.partial(augment_source, settings=settings)

    def learns_target(batch: DomainBatch) -> bool:
        is_labelled = target_labels is not None or settings.threshold <= 1
        return is_labelled and batch.progress >= WARM_UP

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        student.network.train()
        means = Means()
        batches = draw_domain_batches(
            network, domains, settings, epoch, generator, augment
        )
        for batch in batches:
            if learns_target(batch):
                if target_labels is None:
                    to_learn, trusted = pseudo_label(
                        network, batch.target, settings.threshold, num_classes
                    )
                else:
                    to_learn = target_labels[batch.target_rows].to(device)
                    trusted = torch.ones(len(to_learn), device=device)
                moved = random_affine(batch.target, generator)
                losses = improved_losses(
                    student.network, batch, moved, to_learn, trusted
                )
            else:
                losses = source_losses(student.network, batch)
            student.step(losses["loss"])
            means.add(losses, len(batch.classes))
        diversity = target_diversity(network, domains)
        return {**means.as_numbers(), "target_diversity": diversity}

    history = run_epochs(train_epoch, network, settings.num_epochs, seed, monitor)
    if target_labels is None and settings.threshold <= 1:
        _warn_of_few_classes(history, settings, num_classes)
    return history


def check_grey(pictures: Tensor) -> None:
    """Raise ValueError unless pictures are (N, H, W)."""
    if pictures.ndim != 3:
        raise ValueError(
            f"expected source pictures (N, H, W), got {tuple(pictures.shape)}; "
            "pass grey strokes on black."
        )


class Student:
    """A copy of the teacher that is trained; the teacher is its moving average."""

    def __init__(
        self, teacher: ImprovedNetwork, learning_rate: float, num_steps: int
    ) -> None:
        self.teacher = teacher
        self.network = copy.deepcopy(teacher)
        self.optimiser, self.schedule = make_one_cycle(
            {self.network: learning_rate}, WEIGHT_DECAY, num_steps
        )

    def step(self, loss: Tensor) -> None:
        """Make one step down a loss, and move the teacher towards the student."""
        minimise(loss, self.optimiser)
        self.schedule.step()
        # Nearly `early_decay`; the committed network was trained with this form.
        steps = self.schedule.last_epoch
        decay = min(AVERAGE_DECAY, (1 + steps) / (10 + steps))
        update_average(self.teacher, self.network, decay)


def _warn_of_few_classes(
    history: History, settings: ImprovedSettings, num_classes: int
) -> None:
    """Warn if the teacher predicted a few classes only, in an epoch after WARM_UP."""
    first = int(WARM_UP * settings.num_epochs)
    if min(history["target_diversity"][first:]) < MIN_DIVERSITY:
        warnings.warn(
            f"expected pseudo-labels of {num_classes} classes, got epochs with "
            "nearly all of a few; train longer, or on more images.",
            stacklevel=3,
        )


def augment_source(
    pixels: Tensor, generator: torch.Generator, settings: ImprovedSettings
) -> Tensor:
    """Move grey digits (N, 3, H, W) and lay a share of them on textures."""
    digits = random_affine(pixels[:, :1].contiguous(), generator, padding="zeros")
    digits = random_strokes(digits, generator)
    laid = lay_on_textures(digits, settings.negative, generator)
    chosen = torch.rand(len(digits), 1, 1, 1, generator=generator) < settings.textures
    return torch.where(chosen.to(laid.device), laid, digits)


def pseudo_label(
    teacher: ImprovedNetwork, pictures: Tensor, threshold: float, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Return the teacher's labels (N,) of target images, and which are trusted.

    pictures: pixels (N, 3, H, W).
    num_classes: the number of classes in the source.

    A label is trusted if its probability reaches the threshold, unless the trusted ones
    are less diverse than MIN_DIVERSITY. The second tensor is 1 for a trusted label,
    else 0: float32 (N,).
    """
    with torch.no_grad():
        logits = teacher(pictures).float()
    confidence, labels = logits.softmax(1).max(1)
    trusted = (confidence >= threshold).float()
    if label_diversity(labels[trusted > 0], num_classes) < MIN_DIVERSITY:
        trusted = torch.zeros_like(trusted)
    return labels, trusted


def label_diversity(labels: Tensor, num_classes: int) -> float:
    """Return the entropy of labels (N,), divided by its highest possible value.

    It is 1 if the classes are equally frequent, and 0 if all labels are the same.
    """
    if len(labels) < 2:
        return 0.0
    shares = labels.bincount() / len(labels)
    highest = math.log(max(2, min(len(labels), num_classes)))
    return float(torch.special.entr(shares).sum()) / highest


def source_losses(student: ImprovedNetwork, batch: DomainBatch) -> dict[str, Tensor]:
    """Return the losses of a step on the source alone, named as `improved_losses`'."""
    loss = F.cross_entropy(student(batch.source).float(), batch.classes)
    return {"loss": loss, "class_loss": loss, "labelled_share": loss.new_zeros(())}


def improved_losses(
    student: ImprovedNetwork,
    batch: DomainBatch,
    moved: Tensor,
    pseudo_labels: Tensor,
    trusted: Tensor,
) -> dict[str, Tensor]:
    """Return the loss of a step, its part for the source, and the labelled share.

    batch: its source is augmented.
    moved: its target images, moved (N, 3, H, W).
    pseudo_labels, trusted: what `pseudo_label` returns for them, (N,) each.

    The labelled share is the share of target images whose label is trusted.
    """
    # One pass: batch norm sees both domains together.
    both = torch.cat([batch.source, moved])
    both = both.contiguous(memory_format=torch.channels_last)
    source_logits, target_logits = student(both).float().split(len(moved))
    class_loss = F.cross_entropy(source_logits, batch.classes)
    target_losses = F.cross_entropy(target_logits, pseudo_labels, reduction="none")
    return {
        "loss": class_loss + (trusted * target_losses).mean(),
        "class_loss": class_loss,
        "labelled_share": trusted.mean(),
    }


def lay_on_textures(
    digits: Tensor, negative: float, generator: torch.Generator
) -> Tensor:
    """Lay digits (N, 1, H, W) on random textures: pixels (N, 3, H, W).

    With the probability `negative` the strokes of a digit are the negative of the
    texture below them; otherwise they are another texture.
    """
    number, _, height, width = digits.shape
    # At least two, so that a single digit has another texture as well.
    textures = random_textures(max(2, number), (height, width), generator)
    textures = textures.to(digits.device)
    below = textures[:number]
    others = textures.roll(len(textures) // 2, 0)[:number]
    is_negative = torch.rand(number, 1, 1, 1, generator=generator) < negative
    above = torch.where(is_negative.to(digits.device), 1 - below, others)
    return below.lerp(above, digits)
