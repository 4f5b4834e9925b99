"""Training on the source alone, domain-adversarial training (Ganin et al., JMLR 2016),
and a recipe that adapts more.

The recipe lays source digits on random textures and learns, besides, pseudo-labels of
an averaged teacher. Images are uint8 tensors, arrays or lists, (N, H, W) or (N, H, W,
3); labels whole numbers (N,). Wrong sizes, labels out of range, an empty domain and
losses that are not finite are errors of one sentence.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps import check_counts, check_name, check_positive, check_shares
from dlapps.core import paths
from dlapps.core.images import as_uint8
from dlapps.core.runtime import Bar, autocast, check_last_batch, device_of
from dlapps.core.training import (
    Augment,
    History,
    as_labels,
    load_weights,
    make_one_cycle,
    minimise,
    run_epochs,
    seeded,
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
    draw_batches,
    lay_on_textures,
    predict,
    random_affine,
    random_strokes,
)

NUM_WATCHED = 1000
MOMENTUM = 0.9
DOMAINS = ("source", "labels", "target")


@dataclass(frozen=True)
class Settings:
    """How a network is trained: descent with MOMENTUM at learning_rate / (1 + 10
    p)^.75, p the progress in [0, 1].

    batch_size: of each domain. schedule: the reversal weight, a function of p or a
    constant (0: the feature extractor does not see the domain loss; -1: it is trained
    to tell the domains apart). max_norm: the gradient of all weights is shortened to
    this length. paired: take the domains in one and the same order, as a common mistake
    does.
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
        """The reversal weight at a progress in [0, 1]."""
        return self.schedule(progress) if callable(self.schedule) else self.schedule

    def rate(self, progress: float) -> float:
        """The learning rate at a progress in [0, 1]."""
        return self.learning_rate / (1 + 10 * progress) ** 0.75


SOURCE_ONLY = Settings(num_epochs=10, batch_size=128)
PRACTICAL = Settings()
# A domain loss that is climbed has no bound: without that of the gradient, seed 0 ends
# in NaN in its second epoch.
PAPER = Settings(schedule=reversal_schedule(10), max_norm=5.0)

Aligned = tuple[Tensor, dict[str, Tensor]]
Alignment = Callable[[DomainAdversarialNetwork, Tensor, int, float], Aligned]


def reverse_gradient(
    network: DomainAdversarialNetwork, features: Tensor, num_source: int, weight: float
) -> Aligned:
    """The network's domain classifier descends its loss, the features climb it (Ganin
    et al. 2016).

    features (N, D) of a batch, the source's first. Returns the loss and, by name,
    domain_loss and domain_accuracy.
    """
    return domain_loss(
        network.domain_classifier(GradientReversal.apply(features, weight)), num_source
    )


def domain_loss(logits: Tensor, num_source: int) -> Aligned:
    """Loss and accuracy of a domain classifier from its logits (N,) or (N, 1), the
    source's first.
    """
    logits = logits.float().flatten()
    domains = (torch.arange(len(logits), device=logits.device) >= num_source).float()
    loss = F.binary_cross_entropy_with_logits(logits, domains)
    right = ((logits > 0) == domains.bool()).float()
    return loss, {"domain_loss": loss, "domain_accuracy": right.mean()}


def fit_source_only(
    network: DomainAdversarialNetwork,
    images: ArrayLike,
    labels: ArrayLike,
    settings: Settings = SOURCE_ONLY,
    seed: int = 0,
    augment: Augment | None = None,
    **options: Any,
) -> History:
    """Train a classifier of pixels on one domain; returns its history, with class_loss.

    augment(pixels, generator) changes each batch, as `random_affine` does. options:
    monitor and checkpoint, as `run_epochs` takes them.
    """
    images = as_uint8(images)
    labels = as_labels(labels, len(images), network.num_classes)
    check_size(network, images)
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, MOMENTUM)
    device, channels = device_of(network), channels_of(network)
    num_steps = -(-len(images) // settings.batch_size)
    one = batch_to_pixels(images[:1], device, channels)
    check_last_batch(network, lambda: network(one), len(images), settings.batch_size)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        network.train()
        total = 0.0
        order = torch.randperm(len(images), generator=generator)
        for step, rows in enumerate(Bar(order.split(settings.batch_size))):
            done = (epoch + step / num_steps) / settings.num_epochs
            optimiser.param_groups[0]["lr"] = settings.rate(done)
            pixels = batch_to_pixels(images[rows], device, channels)
            pixels = augment(pixels, generator) if augment else pixels
            with autocast(device):
                logits = network(pixels)
            loss = F.cross_entropy(logits.float(), labels[rows].to(device))
            minimise(loss, optimiser, settings.max_norm)
            total += loss.item() * len(rows) / len(images)
        return {"class_loss": total}

    identity = {
        "fit": "source only",
        **asdict(settings),
        "seed": seed,
        "augment": augment,
    }
    identity |= {"images": images, "labels": labels}
    parts, train = {"optimiser": optimiser}, seeded(train_epoch, seed)
    return run_epochs(train, network, parts, identity, settings.num_epochs, **options)


def fit_dann(
    network: DomainAdversarialNetwork,
    source: ArrayLike,
    labels: ArrayLike,
    target: ArrayLike,
    settings: Settings = PRACTICAL,
    seed: int = 0,
    precision: str = "fast",
    augment: Augment | None = None,
    alignment: Alignment = reverse_gradient,
    **options: Any,
) -> History:
    """Train on labelled source pictures and unlabelled target pictures, the gradient of
    the domain loss reversed.

    An epoch is a pass through the source; target pictures are drawn independently.
    augment changes the source's pixels alone. alignment takes the place of
    `reverse_gradient`, at the schedule's weight. Returns the history: class_loss, what
    the alignment measured (domain_loss, domain_accuracy), target_diversity
    (`class_diversity` of predictions on the first NUM_WATCHED target pictures),
    reversal_weight, and what the monitor adds. options: as for `fit_source_only`.
    """
    domains = as_domains(network, source, labels, target, settings.paired)
    device = device_of(network)
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, MOMENTUM)

    def update(
        pixels: Tensor, others: Tensor, classes: Tensor, done: float
    ) -> dict[str, Tensor]:
        optimiser.param_groups[0]["lr"] = settings.rate(done)
        batch = pixels, others, classes, settings.weight(done)
        with autocast(device, precision):
            class_loss, loss, measured = dann_losses(network, *batch, alignment)
        minimise(class_loss + loss, optimiser, settings.max_norm)
        return {"class_loss": class_loss, **measured}

    one = (
        batch_to_pixels(domains[0][:1], device, channels_of(network)),
        domains[1][:1].to(device),
    )
    losses = partial(dann_losses, network, one[0], one[0], one[1], 1.0, alignment)
    check_last_batch(network, losses, len(domains[0]), settings.batch_size)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        measured = train_on_domains(
            update, network, domains, settings, precision, augment, epoch, generator
        )
        return measured | {
            "reversal_weight": settings.weight((epoch + 1) / settings.num_epochs)
        }

    identity = {"fit": "dann", **asdict(settings), "seed": seed, "precision": precision}
    identity |= {"augment": augment, "alignment": alignment}
    identity |= zip(DOMAINS, domains, strict=True)
    parts, train = {"optimiser": optimiser}, seeded(train_epoch, seed)
    return run_epochs(train, network, parts, identity, settings.num_epochs, **options)


def train_on_domains(
    update: Callable[[Tensor, Tensor, Tensor, float], dict[str, Tensor]],
    network: nn.Module,
    domains: tuple[Tensor, Tensor, Tensor],
    settings: Settings,
    precision: str,
    augment: Augment | None,
    epoch: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """A pass through the source's pictures and labels, with as many target pictures:
    means of what update measured.

    update(pixels, others, classes, done) makes the steps for a batch of source pixels,
    target pixels and class labels, at a progress in [0, 1], and returns scalar tensors
    by name. Measures target_diversity besides, after the last.
    """
    source, labels, target = domains
    network.train()
    device, channels = device_of(network), channels_of(network)
    num_steps = -(-len(source) // settings.batch_size)
    measured, sums = {}, torch.zeros(())
    batches = draw_batches(source, target, settings.batch_size, generator)
    for step, (here, there) in enumerate(Bar(batches, total=num_steps)):
        pixels = batch_to_pixels(source[here], device, channels)
        pixels = augment(pixels, generator) if augment else pixels
        others = batch_to_pixels(
            target[here if settings.paired else there], device, channels
        )
        done = (epoch + step / num_steps) / settings.num_epochs
        measured = update(pixels, others, labels[here].to(device), done)
        sums = sums + torch.stack([*measured.values()]).detach().cpu() * len(
            here
        ) / len(source)
    watched = predict(network, target[:NUM_WATCHED], precision)
    means = dict(zip(measured, sums.tolist(), strict=True))
    return means | {"target_diversity": class_diversity(watched, len(labels.unique()))}


def dann_losses(
    network: DomainAdversarialNetwork,
    source: Tensor,
    target: Tensor,
    labels: Tensor,
    weight: float,
    alignment: Alignment = reverse_gradient,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Class loss of the source batch, loss of the alignment of both batches, and what
    it measured by name.

    Of pixels (N, 3, H, W) and labels (N,).
    """
    features = network.feature_extractor(torch.cat([source, target]))
    class_loss = F.cross_entropy(
        network.label_predictor(features[: len(source)]).float(), labels
    )
    return class_loss, *alignment(network, features, len(source), weight)


@dataclass(frozen=True)
class ImprovedSettings:
    """How the improved network is trained: AdamW, one cycle of the learning rate,
    batch_size of each domain.

    textures: share of source digits that are laid on random textures. negative: share
    of these whose strokes are the negative of what they lie on, not another texture.
    Once WARM_UP of the training is over, pseudo-labels join whose probability reaches
    the threshold (above 1: none, and no target image is used); the teacher is the
    average of the weights with AVERAGE_DECAY a step.
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


IMPROVED = ImprovedSettings()
WEIGHT_DECAY, AVERAGE_DECAY = 1e-2, 0.998
WARM_UP = 0.15


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
    """Train on augmented source digits and on confident predictions for the target; the
    network ends as the average.

    Source pictures are grey, (N, H, W). target_labels take the place of the
    predictions, for an oracle. Returns the
    history: loss, class_loss (its part for the source), labelled_share (of the target
    pictures), and what the monitor adds. options: as for `fit_source_only`.
    """
    source, labels, target = as_domains(network, source, labels, target)
    if source.ndim != 3:
        raise ValueError(
            f"expected source pictures (N, H, W), got {tuple(source.shape)}; pass grey strokes on black."
        )
    answers = (
        None
        if target_labels is None
        else as_labels(target_labels, len(target), network.num_classes)
    )
    device, student = device_of(network), copy.deepcopy(network)
    num_steps = -(-len(source) // settings.batch_size)
    one = batch_to_pixels(source[:1], device)
    check_last_batch(student, lambda: student(one), len(source), settings.batch_size)
    in_all = settings.num_epochs * num_steps
    optimiser, schedule = make_one_cycle(
        {student: settings.learning_rate}, WEIGHT_DECAY, in_all
    )
    first = WARM_UP * settings.num_epochs if settings.threshold <= 1 else math.inf

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        student.train()
        sums = torch.zeros(3)
        batches = draw_batches(source, target, settings.batch_size, generator)
        for step, (here, there) in enumerate(Bar(batches, total=num_steps)):
            digits = augment_source(
                batch_to_pixels(source[here], device), settings, generator
            )
            classes, pseudo = labels[here].to(device), None
            with autocast(device):
                if epoch + step / num_steps >= first:
                    pictures = batch_to_pixels(target[there], device)
                    known = None if answers is None else answers[there].to(device)
                    pseudo = label_target(network, pictures, settings, generator, known)
                losses = improved_losses(student, digits, classes, pseudo)
            minimise(losses[0], optimiser)
            schedule.step()
            # The first steps are forgotten sooner: their weights are nearly random.
            made = schedule.last_epoch
            update_average(
                network, student, min(AVERAGE_DECAY, (1 + made) / (10 + made))
            )
            sums += torch.stack(losses).detach().cpu() * len(here) / len(source)
        return dict(
            zip(("loss", "class_loss", "labelled_share"), sums.tolist(), strict=True)
        )

    parts = {"student": student, "optimiser": optimiser, "schedule": schedule}
    identity = {"fit": "improved", **asdict(settings), "seed": seed}
    identity |= {
        "source": source,
        "labels": labels,
        "target": target,
        "answers": answers,
    }
    train = seeded(train_epoch, seed)
    return run_epochs(train, network, parts, identity, settings.num_epochs, **options)


def load_trained(way: str) -> DomainAdversarialNetwork:
    """A committed network, in eval mode: seed 0 of PAPER's twenty epochs on all of
    MNIST, "source only" or "DANN".

    DANN saw MNIST-M of BSDS500's photos as well. Raises ValueError for another name.
    """
    check_name("a training", way, ("source only", "DANN"))
    path = paths.require_network(
        f"mnistm-{way.lower().replace(' ', '-')}.pt", "the network"
    )
    return load_weights(DomainAdversarialNetwork(), path)


def load_improved() -> ImprovedNetwork:
    """The committed network, in eval mode: seed 0 of IMPROVED on all of MNIST and
    MNIST-M of BSDS500's photos.
    """
    path = paths.require_network("mnistm-improved.pt", "the network")
    return load_weights(ImprovedNetwork(), path)


def augment_source(
    pixels: Tensor, settings: ImprovedSettings, generator: torch.Generator
) -> Tensor:
    """Grey digits (N, 3, H, W) moved, a share of them laid on textures."""
    digits = random_affine(pixels[:, :1].contiguous(), generator, padding="zeros")
    digits = random_strokes(digits, generator)
    laid = lay_on_textures(digits, settings.negative, generator)
    chosen = torch.rand(len(digits), 1, 1, 1, generator=generator) < settings.textures
    return torch.where(chosen.to(laid.device), laid, digits)


Pseudo = tuple[Tensor, Tensor, Tensor]


def label_target(
    teacher: ImprovedNetwork,
    pictures: Tensor,
    settings: ImprovedSettings,
    generator: torch.Generator,
    known: Tensor | None = None,
) -> Pseudo:
    """Target pictures (N, 3, H, W) moved, the teacher's labels for them as they were,
    and which of these to trust.

    known: labels (N,) that take the place of the teacher's.
    """
    if known is None:
        with torch.no_grad():
            confidence, known = teacher(pictures).float().softmax(1).max(1)
        trusted = (confidence >= settings.threshold).float()
    else:
        trusted = torch.ones(len(known), device=known.device)
    return random_affine(pictures, generator), known, trusted


def improved_losses(
    student: ImprovedNetwork, digits: Tensor, labels: Tensor, pseudo: Pseudo | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of a step, its part for the source, and the share of target pictures
    whose labels are trusted.
    """
    if pseudo is None:
        class_loss = F.cross_entropy(student(digits).float(), labels)
        return class_loss, class_loss, class_loss.new_zeros(())
    moved, pseudo_labels, trusted = pseudo
    both = torch.cat([digits, moved]).contiguous(memory_format=torch.channels_last)
    logits = student(both).float()
    class_loss = F.cross_entropy(logits[: len(digits)], labels)
    target_losses = F.cross_entropy(
        logits[len(digits) :], pseudo_labels, reduction="none"
    )
    return class_loss + (trusted * target_losses).mean(), class_loss, trusted.mean()
