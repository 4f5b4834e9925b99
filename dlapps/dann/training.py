"""Training on the source alone, by DANN (Ganin et al., JMLR 2016), and by a recipe.

The recipe adapts more than DANN: it lays the source's digits on random textures, and
learns pseudo-labels that an averaged teacher predicts for the target. Images are uint8
tensors, arrays or lists, (N, H, W) or (N, H, W, 3); labels are whole numbers (N,).

Trainings raise ValueError for wrong sizes, labels out of range and an empty domain, and
DivergenceError for a loss that is not finite.
"""

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps import check_counts, check_name, check_positive, check_shares
from dlapps.core import paths
from dlapps.core.arrays import as_labels
from dlapps.core.images import as_uint8
from dlapps.core.metrics import entropy
from dlapps.core.runtime import autocast, device_of
from dlapps.core.training import (
    Augment,
    History,
    Means,
    count_batches,
    draw_batches,
    load_weights,
    make_one_cycle,
    minimise,
    run_epochs,
    update_average,
)
from dlapps.dann.layers import (
    DomainAdversarialNetwork,
    GradientReversal,
    ImprovedNetwork,
    reversal_schedule,
)
from dlapps.dann.pictures import (
    as_domains,
    batch_to_pixels,
    channels_of,
    check_size,
    class_diversity,
    draw_domain_batches,
    lay_on_textures,
    predict,
    random_affine,
    random_strokes,
)

NUM_WATCHED = 1000
MOMENTUM = 0.9


@dataclass(frozen=True)
class Settings:
    """Settings of a training by stochastic gradient descent with MOMENTUM.

    batch_size: images of each domain in a batch.
    learning_rate: the rate at the start. At a progress p in [0, 1] it has fallen to
        learning_rate / (1 + 10 p)^.75.
    schedule: the reversal weight, a constant or a function of p. With 0 the feature
        extractor does not see the domain loss; with -1 it learns to tell the domains
        apart.
    max_norm: the gradient of all weights is shortened to this length.
    paired: take the images of both domains in one order, a common mistake.
    """

    num_epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.01
    schedule: float | Callable[[float], float] = reversal_schedule(2)  # noqa: RUF009 - it has no state to share.
    max_norm: float = math.inf
    paired: bool = False

    def __post_init__(self) -> None:
        check_counts(num_epochs=self.num_epochs, batch_size=self.batch_size)
        check_positive(learning_rate=self.learning_rate, max_norm=self.max_norm)

    def weight(self, progress: float) -> float:
        """Return the reversal weight at a progress in [0, 1]."""
        if callable(self.schedule):
            return self.schedule(progress)
        return self.schedule

    def rate(self, progress: float) -> float:
        """Return the learning rate at a progress in [0, 1]."""
        return self.learning_rate / (1 + 10 * progress) ** 0.75


SOURCE_ONLY = Settings(num_epochs=10, batch_size=128)
PRACTICAL = Settings()
# The features climb the domain loss, which has no bound: if the gradient had none
# either, seed 0 would end in NaN in its second epoch.
PAPER = Settings(schedule=reversal_schedule(10), max_norm=5.0)

Aligned = tuple[Tensor, dict[str, Tensor]]
Alignment = Callable[[DomainAdversarialNetwork, Tensor, int, float], Aligned]


def reverse_gradient(
    network: DomainAdversarialNetwork, features: Tensor, num_source: int, weight: float
) -> Aligned:
    """Return the domain loss, which the classifier descends and the features climb.

    features: (N, D) of a batch, those of the source first.

    Returns the loss and, by name, domain_loss and domain_accuracy.
    """
    reversed_features = GradientReversal.apply(features, weight)
    return domain_loss(network.domain_classifier(reversed_features), num_source)


def domain_loss(logits: Tensor, num_source: int) -> Aligned:
    """Return the loss of a domain classifier, and its loss and accuracy by name.

    logits: (N,) or (N, 1), those of the source first. Their domain label is 0.
    """
    logits = logits.float().flatten()
    is_target = torch.arange(len(logits), device=logits.device) >= num_source
    loss = F.binary_cross_entropy_with_logits(logits, is_target.float())
    correct = (logits > 0) == is_target
    return loss, {"domain_loss": loss, "domain_accuracy": correct.float().mean()}


def dann_losses(
    network: DomainAdversarialNetwork,
    source: Tensor,
    target: Tensor,
    labels: Tensor,
    weight: float,
    alignment: Alignment = reverse_gradient,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return the class loss, the domain loss and the measurements of a batch.

    They are L_y and L_d of equation 9 of Ganin et al. (2016). The gradient of the
    domain loss is multiplied by -weight before it reaches the features.

    source, target: pixels (N, C, H, W) and (M, C, H, W).
    labels: the classes (N,) of the source.
    alignment: computes another loss in place of `reverse_gradient`.
    """
    features = network.feature_extractor(torch.cat([source, target]))
    class_logits = network.label_predictor(features[: len(source)])
    class_loss = F.cross_entropy(class_logits.float(), labels)
    aligned, measured = alignment(network, features, len(source), weight)
    return class_loss, aligned, measured


def fit_source_only(
    network: DomainAdversarialNetwork,
    images: ArrayLike,
    labels: ArrayLike,
    settings: Settings = SOURCE_ONLY,
    seed: int = 0,
    augment: Augment | None = None,
    **options: Any,
) -> History:
    """Train a classifier on one domain, and return its history, class_loss.

    The learning rates are those of `fit_dann`, so that the two can be compared.

    augment: a function of a batch of pixels and a generator, such as `random_affine`.
    options: monitor and checkpoint, as `run_epochs` takes them.
    """
    images = as_uint8(images)
    labels = as_labels(labels, len(images), network.num_classes)
    check_size(network, images)
    device = device_of(network)
    channels = channels_of(network)
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, MOMENTUM)
    num_steps = count_batches(len(images), settings.batch_size)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        network.train()
        means = Means()
        batches = draw_batches(len(images), settings.batch_size, generator)
        for step, rows in enumerate(batches):
            progress = (epoch + step / num_steps) / settings.num_epochs
            optimiser.param_groups[0]["lr"] = settings.rate(progress)
            pixels = batch_to_pixels(images[rows], device, channels)
            if augment:
                pixels = augment(pixels, generator)
            with autocast(device):
                logits = network(pixels)
            loss = F.cross_entropy(logits.float(), labels[rows].to(device))
            minimise(loss, optimiser, settings.max_norm)
            means.add({"class_loss": loss}, len(rows))
        return means.as_numbers()

    identity = {
        **asdict(settings),
        "augment": augment,
        "images": images,
        "labels": labels,
    }
    return run_epochs(
        train_epoch,
        network,
        {"optimiser": optimiser},
        identity,
        settings.num_epochs,
        seed,
        **options,
    )


def fit_dann(
    network: DomainAdversarialNetwork,
    source: ArrayLike,
    labels: ArrayLike,
    target: ArrayLike,
    settings: Settings = PRACTICAL,
    seed: int = 0,
    augment: Augment | None = None,
    alignment: Alignment = reverse_gradient,
    **options: Any,
) -> History:
    """Train on labelled source images and unlabelled target images.

    An epoch is a pass through the source; target images are drawn independently.

    augment: changes the source alone, as in `fit_source_only`.
    alignment: computes another loss in place of `reverse_gradient`.
    options: monitor and checkpoint, as `run_epochs` takes them.

    Returns the history: class_loss, the measurements of the alignment (domain_loss and
    domain_accuracy), reversal_weight, those of the monitor, and target_diversity. This
    is `class_diversity` of the predictions for the first NUM_WATCHED target images.
    """
    domains = as_domains(network, source, labels, target, settings.paired)
    source, labels, target = domains
    device = device_of(network)
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, MOMENTUM)

    def update(
        source_pixels: Tensor, target_pixels: Tensor, classes: Tensor, progress: float
    ) -> dict[str, Tensor]:
        optimiser.param_groups[0]["lr"] = settings.rate(progress)
        weight = settings.weight(progress)
        with autocast(device):
            class_loss, aligned, measured = dann_losses(
                network, source_pixels, target_pixels, classes, weight, alignment
            )
        minimise(class_loss + aligned, optimiser, settings.max_norm)
        return {"class_loss": class_loss, **measured}

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        measured = train_on_domains(
            update, network, domains, settings, augment, epoch, generator
        )
        progress = (epoch + 1) / settings.num_epochs
        measured["reversal_weight"] = settings.weight(progress)
        return measured

    identity = {
        **asdict(settings),
        "augment": augment,
        "alignment": alignment,
        "source": source,
        "labels": labels,
        "target": target,
    }
    return run_epochs(
        train_epoch,
        network,
        {"optimiser": optimiser},
        identity,
        settings.num_epochs,
        seed,
        **options,
    )


def train_on_domains(
    update: Callable[[Tensor, Tensor, Tensor, float], dict[str, Tensor]],
    network: nn.Module,
    domains: tuple[Tensor, Tensor, Tensor],
    settings: Settings,
    augment: Augment | None,
    epoch: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """Train on both domains for an epoch, and return the means of the measurements.

    update: makes the steps of a batch. It takes the pixels of the source and of the
        target, the classes of the source and the progress in [0, 1], and returns scalar
        tensors by name.
    domains: the source's images and labels, and the target's images.

    target_diversity is measured at the end of the epoch.
    """
    source, labels, target = domains
    network.train()
    device = device_of(network)
    channels = channels_of(network)
    num_steps = count_batches(len(source), settings.batch_size)
    means = Means()
    batches = draw_domain_batches(source, target, settings.batch_size, generator)
    for step, (source_rows, target_rows) in enumerate(batches):
        if settings.paired:
            target_rows = source_rows
        source_pixels = batch_to_pixels(source[source_rows], device, channels)
        if augment:
            source_pixels = augment(source_pixels, generator)
        target_pixels = batch_to_pixels(target[target_rows], device, channels)
        classes = labels[source_rows].to(device)
        progress = (epoch + step / num_steps) / settings.num_epochs
        measured = update(source_pixels, target_pixels, classes, progress)
        means.add(measured, len(source_rows))
    predictions = predict(network, target[:NUM_WATCHED])
    diversity = class_diversity(predictions, len(labels.unique()))
    return {**means.as_numbers(), "target_diversity": diversity}


@dataclass(frozen=True)
class ImprovedSettings:
    """Settings of `fit_improved`, which trains by AdamW and one cycle of the rate.

    batch_size: images of each domain in a batch.
    learning_rate: the highest rate of the cycle.
    textures: the share of source digits that are laid on random textures.
    negative: the share of these whose strokes are the negative of the texture below
        them. The strokes of the others are another texture.
    threshold: the probability from which a pseudo-label is trusted. Above 1 no label
        is trusted, and no target image is used.

    Pseudo-labels are learnt once WARM_UP of the training is over. The teacher that
    predicts them is a moving average of the weights with the decay AVERAGE_DECAY. A
    teacher that collapses predicts one class for nearly all images with confidence, so
    the labels of a batch are ignored if they are less diverse than MIN_DIVERSITY.
    """

    num_epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 4e-3
    textures: float = 0.75
    negative: float = 0.5
    threshold: float = 0.9

    def __post_init__(self) -> None:
        check_counts(num_epochs=self.num_epochs, batch_size=self.batch_size)
        check_shares(textures=self.textures, negative=self.negative)

    def uses_target(self, num_epochs: float) -> bool:
        """Return whether pseudo-labels are learnt after so many epochs."""
        return self.threshold <= 1 and num_epochs >= WARM_UP * self.num_epochs


IMPROVED = ImprovedSettings()
WEIGHT_DECAY = 1e-2
AVERAGE_DECAY = 0.998
WARM_UP = 0.15
# `label_diversity` of two of ten classes is .30, that of three .48.
MIN_DIVERSITY = 0.3


def fit_improved(
    network: ImprovedNetwork,
    source: ArrayLike,
    labels: ArrayLike,
    target: ArrayLike,
    settings: ImprovedSettings = IMPROVED,
    seed: int = 0,
    target_labels: ArrayLike | None = None,
    **options: Any,
) -> History:
    """Train on augmented source digits and on confident predictions for the target.

    A student is trained; the network is the teacher, the average of its weights.

    source: grey images (N, H, W).
    target_labels: true labels (M,), which are learnt in place of the predictions to
        measure how far the training could get.
    options: monitor and checkpoint, as `run_epochs` takes them.

    Returns the history: loss, class_loss (the part of the source), labelled_share (the
    share of target images with a trusted label), the measurements of the monitor, and
    target_diversity, `class_diversity` of the teacher's predictions for the first
    NUM_WATCHED target images. Warns if the diversity falls below MIN_DIVERSITY after
    the warm-up.
    """
    source, labels, target = as_domains(network, source, labels, target)
    check_grey(source)
    if target_labels is not None:
        target_labels = as_labels(target_labels, len(target), network.num_classes)
    device = device_of(network)
    num_classes = len(labels.unique())
    num_steps = count_batches(len(source), settings.batch_size)
    student = Student(network, settings.learning_rate, settings.num_epochs * num_steps)

    def label_target(rows: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        if target_labels is None:
            return pseudo_label(network, pictures, settings.threshold, num_classes)
        return target_labels[rows].to(device), torch.ones(len(rows), device=device)

    def compute_losses(
        source_rows: Tensor,
        target_rows: Tensor,
        uses_target: bool,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        digits = batch_to_pixels(source[source_rows], device)
        digits = augment_source(digits, settings, generator)
        classes = labels[source_rows].to(device)
        with autocast(device):
            if not uses_target:
                return source_losses(student.network, digits, classes)
            pictures = batch_to_pixels(target[target_rows], device)
            pseudo_labels, trusted = label_target(target_rows, pictures)
            moved = random_affine(pictures, generator)
            return improved_losses(
                student.network, digits, classes, moved, pseudo_labels, trusted
            )

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        student.network.train()
        means = Means()
        batches = draw_domain_batches(source, target, settings.batch_size, generator)
        for step, (source_rows, target_rows) in enumerate(batches):
            uses_target = settings.uses_target(epoch + step / num_steps)
            losses = compute_losses(source_rows, target_rows, uses_target, generator)
            student.step(losses["loss"])
            means.add(losses, len(source_rows))
        predictions = predict(network, target[:NUM_WATCHED])
        diversity = class_diversity(predictions, num_classes)
        return {**means.as_numbers(), "target_diversity": diversity}

    identity = {
        **asdict(settings),
        "source": source,
        "labels": labels,
        "target": target,
        "target_labels": target_labels,
    }
    history = run_epochs(
        train_epoch,
        network,
        student.parts(),
        identity,
        settings.num_epochs,
        seed,
        **options,
    )
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
        # The first steps are forgotten sooner: their weights are nearly random.
        steps = self.schedule.last_epoch
        decay = min(AVERAGE_DECAY, (1 + steps) / (10 + steps))
        update_average(self.teacher, self.network, decay)

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint stores besides the teacher."""
        return {
            "student": self.network,
            "optimiser": self.optimiser,
            "schedule": self.schedule,
        }


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
    pixels: Tensor, settings: ImprovedSettings, generator: torch.Generator
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
    return entropy(shares) / highest


def source_losses(
    student: ImprovedNetwork, digits: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """Return the losses of a step on the source alone, named as `improved_losses`'."""
    loss = F.cross_entropy(student(digits).float(), labels)
    return {"loss": loss, "class_loss": loss, "labelled_share": loss.new_zeros(())}


def improved_losses(
    student: ImprovedNetwork,
    digits: Tensor,
    labels: Tensor,
    pictures: Tensor,
    pseudo_labels: Tensor,
    trusted: Tensor,
) -> dict[str, Tensor]:
    """Return the loss of a step, its part for the source, and the labelled share.

    digits: augmented source digits (N, 3, H, W).
    labels: their classes (N,).
    pictures: moved target images (M, 3, H, W).
    pseudo_labels, trusted: what `pseudo_label` returns for them, (M,) each.

    The labelled share is the share of target images whose label is trusted.
    """
    # One pass: batch norm sees both domains together.
    both = torch.cat([digits, pictures]).contiguous(memory_format=torch.channels_last)
    source_logits, target_logits = student(both).float().split(len(digits))
    class_loss = F.cross_entropy(source_logits, labels)
    target_losses = F.cross_entropy(target_logits, pseudo_labels, reduction="none")
    return {
        "loss": class_loss + (trusted * target_losses).mean(),
        "class_loss": class_loss,
        "labelled_share": trusted.mean(),
    }


def load_trained(way: str) -> DomainAdversarialNetwork:
    """Load a committed network, "source only" or "DANN", in eval mode.

    It was trained from seed 0 with PAPER's twenty epochs, on all of MNIST, and for
    "DANN" on MNIST-M with the photos of BSDS500. Raises ValueError for another name.
    """
    check_name("a training", way, ("source only", "DANN"))
    name = way.lower().replace(" ", "-")
    path = paths.require_network(f"mnistm-{name}.pt", "the network")
    return load_weights(DomainAdversarialNetwork(), path)


def load_improved() -> ImprovedNetwork:
    """Load the committed improved network, in eval mode.

    It was trained from seed 0 with IMPROVED, on all of MNIST and on MNIST-M with the
    photos of BSDS500.
    """
    path = paths.require_network("mnistm-improved.pt", "the network")
    return load_weights(ImprovedNetwork(), path)
