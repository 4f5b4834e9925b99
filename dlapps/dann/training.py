"""Training on the source alone, and domain-adversarial training of neural networks (Ganin et al., JMLR 2016).

Pictures are uint8 tensors, arrays or lists, (N, H, W) or (N, H, W, 3); labels whole numbers (N,). Wrong sizes, labels
out of range, an empty domain and losses that are not finite are errors of one sentence.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps import check_counts, check_positive, check_shares
from dlapps.core.images import as_uint8
from dlapps.core.runtime import autocast, check_last_batch, device_of
from dlapps.core.training import Augment, History, as_labels, check_options, minimise, run_epochs, seeded
from dlapps.dann.alignment import Alignment, reverse_gradient
from dlapps.dann.layers import DomainAdversarialNetwork, reversal_schedule
from dlapps.dann.pictures import as_domains, batch_to_pixels, channels_of, draw_batches, predict, try_pictures
from dlapps.dann.selection import class_diversity

NUM_WATCHED = 1000
DOMAINS = ("source", "labels", "target")


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
    schedule: float | Callable[[float], float] = reversal_schedule(2)  # noqa: RUF009 - it has no state to share.
    max_norm: float = math.inf
    paired: bool = False

    def __post_init__(self) -> None:
        check_counts(num_epochs=self.num_epochs, batch_size=self.batch_size)
        check_positive(learning_rate=self.learning_rate, max_norm=self.max_norm)
        check_shares(momentum=self.momentum)

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
    progress, as `dlapps.core.training.run_epochs` takes them.
    """
    check_options("fit_source_only", options)
    images = as_uint8(images)
    labels = as_labels(labels, len(images), network.num_classes)
    try_pictures(network, images)
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, settings.momentum)
    device, channels = device_of(network), channels_of(network)
    num_steps = -(-len(images) // settings.batch_size)
    one = batch_to_pixels(images[:1], device, channels)
    check_last_batch(network, lambda: network(one), len(images), settings.batch_size)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
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
    augment: Augment | None = None,
    alignment: Alignment | None = None,
    **options: Any,
) -> History:
    """Train on labelled source pictures and unlabelled target pictures, the gradient of the domain loss reversed.

    An epoch is a pass through the source; target pictures are drawn independently. augment changes the source's pixels
    alone. alignment takes the place of `reverse_gradient`, at the schedule's weight. Returns the history: class_loss,
    what the alignment measured (domain_loss, domain_accuracy), target_diversity (`class_diversity` of predictions on
    the first NUM_WATCHED target pictures), reversal_weight, and what the monitor adds; `health` reads it. options: as
    for `fit_source_only`.
    """
    check_options("fit_dann", options)
    domains = as_domains(network, source, labels, target, settings.paired)
    device = device_of(network)
    modules = {"alignment": alignment.to(device)} if isinstance(alignment, nn.Module) else {}
    weights = nn.ModuleList([network, *modules.values()]).parameters()
    optimiser = torch.optim.SGD(weights, settings.learning_rate, settings.momentum)

    def update(pixels: Tensor, others: Tensor, classes: Tensor, done: float) -> dict[str, Tensor]:
        optimiser.param_groups[0]["lr"] = settings.rate(done)
        given = network, pixels, others, classes, settings.weight(done)
        with autocast(device, precision):
            class_loss, loss, measured = dann_losses(*given, alignment or reverse_gradient)
        minimise(class_loss + loss, optimiser, settings.max_norm)
        return {"class_loss": class_loss, **measured}

    one = batch_to_pixels(domains[0][:1], device, channels_of(network)), domains[1][:1].to(device)
    losses = partial(dann_losses, network, one[0], one[0], one[1], 1.0, alignment or reverse_gradient)
    check_last_batch(network, losses, len(domains[0]), settings.batch_size)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        measured = train_on_domains(update, network, domains, settings, precision, augment, epoch, generator)
        return measured | {"reversal_weight": settings.weight((epoch + 1) / settings.num_epochs)}

    identity = {"fit": "dann", **asdict(settings), "seed": seed, "precision": precision}
    identity |= {"augment": augment, "alignment": alignment}
    identity |= zip(DOMAINS, domains, strict=True)
    parts, train = {"optimiser": optimiser, **modules}, seeded(train_epoch, seed)
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
    """A pass through the source's pictures and labels, with as many target pictures: means of what update measured.

    update(pixels, others, classes, done) makes the steps for a batch of source pixels, target pixels and class labels,
    at a progress in [0, 1], and returns scalar tensors by name. Measures target_diversity besides, after the last.
    """
    source, labels, target = domains
    network.train()
    device, channels = device_of(network), channels_of(network)
    num_steps = -(-len(source) // settings.batch_size)
    measured, sums = {}, torch.zeros(())
    batches = draw_batches(source, target, settings.batch_size, generator)
    for step, (here, there) in enumerate(batches):
        pixels = batch_to_pixels(source[here], device, channels)
        pixels = augment(pixels, generator) if augment else pixels
        others = batch_to_pixels(target[here if settings.paired else there], device, channels)
        done = (epoch + step / num_steps) / settings.num_epochs
        measured = update(pixels, others, labels[here].to(device), done)
        sums = sums + torch.stack([*measured.values()]).detach().cpu() * len(here) / len(source)
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
    """Class loss of the source batch, loss of the alignment of both batches, and what it measured by name.

    Of pixels (N, 3, H, W) and labels (N,).
    """
    features = network.feature_extractor(torch.cat([source, target]))
    class_loss = F.cross_entropy(network.label_predictor(features[: len(source)]).float(), labels)
    return class_loss, *alignment(network, features, len(source), weight)
