"""Training on the source alone, and domain-adversarial training of neural networks (Ganin et al., JMLR 2016).

Pictures are uint8 tensors, arrays or lists, (N, H, W) or (N, H, W, 3); labels whole numbers (N,). Wrong sizes, labels
out of range, an empty domain and losses that are not finite are errors of one sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps.dann.layers import DomainAdversarialNetwork, GradientReversal, reversal_schedule
from dlapps.dann.pictures import as_domains, batch_to_pixels, channels_of, draw_batches, predict
from dlapps.dann.selection import class_diversity
from dlapps.images import as_uint8
from dlapps.runtime import autocast, device_of
from dlapps.training import Augment, History, as_labels, minimise, run_epochs, seeded

Means = dict[str, float]
NUM_WATCHED = 1000


@dataclass(frozen=True)
class Settings:
    """How a network is trained: gradient descent at learning_rate / (1 + 10 p)^.75, p the progress in [0, 1].

    batch_size: of each domain. schedule: the reversal weight, a function of p or a constant (0: the feature extractor
    does not see the domain loss; -1: it is trained to tell the domains apart). max_norm: the gradient of all weights is
    shortened to this length. paired: take the domains in one and the same order, as a common mistake does.
    """

    num_epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.01
    momentum: float = 0.9
    schedule: float | Callable[[float], float] = reversal_schedule(2)  # noqa: RUF009 - a function has no state.
    max_norm: float = math.inf
    paired: bool = False

    def weight(self, progress: float) -> float:
        """The reversal weight at a progress in [0, 1]."""
        return self.schedule(progress) if callable(self.schedule) else self.schedule

    def rate(self, progress: float) -> float:
        """The learning rate at a progress in [0, 1]."""
        return self.learning_rate / (1 + 10 * progress) ** 0.75


SOURCE_ONLY = Settings(num_epochs=10, batch_size=128)
PRACTICAL = Settings()
# A domain loss that is climbed has no bound: without that of the gradient, seed 0 ends in NaN in its second epoch.
PAPER = Settings(schedule=reversal_schedule(10), max_norm=5.0)


def fit_source_only(
    network: DomainAdversarialNetwork,
    images: ArrayLike,
    labels: ArrayLike,
    settings: Settings = SOURCE_ONLY,
    seed: int = 0,
    precision: str = "fast",
    augment: Augment | None = None,
    **options: Any,
) -> History:
    """Train a classifier of pixels on one domain; returns its history, with class_loss.

    augment(pixels, generator) changes each batch, as `random_affine` does. options: monitor, checkpoint, extend and
    progress, as `dlapps.training.run_epochs` takes them.
    """
    images = as_uint8(images)
    labels = as_labels(labels, len(images), network.num_classes)
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, settings.momentum)
    device, channels = device_of(network), channels_of(network)
    num_steps = -(-len(images) // settings.batch_size)

    def train_epoch(epoch: int, generator: torch.Generator) -> Means:
        network.train()
        total = 0.0
        order = torch.randperm(len(images), generator=generator)
        for step, rows in enumerate(order.split(settings.batch_size)):
            done = (epoch + step / num_steps) / settings.num_epochs
            optimiser.param_groups[0]["lr"] = settings.rate(done)
            pixels = batch_to_pixels(images[rows], device, channels)
            pixels = augment(pixels, generator) if augment else pixels
            with autocast(device, precision):
                logits = network(pixels)
            loss = F.cross_entropy(logits.float(), labels[rows].to(device))
            minimise(loss, optimiser, settings.max_norm)
            total += loss.item() * len(rows) / len(images)
        return {"class_loss": total}

    identity = {"fit": "source only", **asdict(settings), "seed": seed, "precision": precision}
    identity |= {"augment": augment, "images": images, "labels": labels}
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
    **options: Any,
) -> History:
    """Train on labelled source pictures and unlabelled target pictures, the gradient of the domain loss reversed.

    An epoch is a pass through the source; target pictures are drawn independently. Returns the history: class_loss,
    domain_loss, domain_accuracy, reversal_weight, target_diversity (`class_diversity` of predictions on the first
    NUM_WATCHED target pictures), and what the monitor adds; `health` reads it. options: as for `fit_source_only`.
    """
    source, labels, target = as_domains(source, labels, target, network.num_classes)
    if settings.paired and len(source) != len(target):
        raise ValueError(f"expected paired domains of one size, got {len(source)} and {len(target)}; unpair them.")
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, settings.momentum)
    device, channels = device_of(network), channels_of(network)
    num_steps = -(-len(source) // settings.batch_size)

    def train_epoch(epoch: int, generator: torch.Generator) -> Means:
        network.train()
        batches = draw_batches(source, target, settings.batch_size, generator)
        sums = torch.zeros(3)
        for step, (here, there) in enumerate(batches):
            done = (epoch + step / num_steps) / settings.num_epochs
            optimiser.param_groups[0]["lr"] = settings.rate(done)
            pixels = batch_to_pixels(source[here], device, channels)
            others = batch_to_pixels(target[here if settings.paired else there], device, channels)
            classes = labels[here].to(device)
            with autocast(device, precision):
                losses = dann_losses(network, pixels, others, classes, settings.weight(done))
            minimise(losses[0] + losses[1], optimiser, settings.max_norm)
            sums += torch.stack(losses).detach().cpu() * len(here) / len(source)
        names = ("class_loss", "domain_loss", "domain_accuracy")
        measured = dict(zip(names, sums.tolist(), strict=True))
        measured["reversal_weight"] = settings.weight((epoch + 1) / settings.num_epochs)
        return measured | {"target_diversity": class_diversity(predict(network, target[:NUM_WATCHED], precision))}

    identity = {"fit": "dann", **asdict(settings), "seed": seed, "precision": precision}
    identity |= {"source": source, "labels": labels, "target": target}
    parts, train = {"optimiser": optimiser}, seeded(train_epoch, seed)
    return run_epochs(train, network, parts, identity, settings.num_epochs, **options)


def dann_losses(
    network: DomainAdversarialNetwork, source: Tensor, target: Tensor, labels: Tensor, weight: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Class loss of the source batch, domain loss of both, and domain accuracy; from pixels (N, 3, H, W)."""
    features = network.feature_extractor(torch.cat([source, target]))
    class_loss = F.cross_entropy(network.label_predictor(features[: len(source)]).float(), labels)
    return class_loss, *domain_loss(network.domain_classifier, features, len(source), weight)


def domain_loss(classifier: nn.Module, features: Tensor, num_source: int, weight: float) -> tuple[Tensor, Tensor]:
    """Loss and accuracy of a domain classifier on features (N, D), the source's first; its gradient is reversed."""
    logits = classifier(GradientReversal.apply(features, weight)).float().flatten()
    domains = (torch.arange(len(logits), device=logits.device) >= num_source).float()
    loss = F.binary_cross_entropy_with_logits(logits, domains)
    return loss, ((logits > 0) == domains.bool()).float().mean()
