"""Training on the source alone, and by DANN (Ganin et al., JMLR 2016).

Images are uint8 tensors, arrays or lists, (N, H, W) or (N, H, W, 3); labels are whole
numbers (N,). Trainings raise ValueError for labels out of range and an empty domain,
and DivergenceError for a loss that is not finite.
"""

import warnings

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps.core import paths
from dlapps.core.arrays import as_labels
from dlapps.core.checks import check_name
from dlapps.core.images import as_uint8
from dlapps.core.runtime import device_of
from dlapps.core.training import (
    Augment,
    History,
    Means,
    Monitor,
    count_batches,
    draw_batches,
    minimise,
    run_epochs,
)
from dlapps.core.weights import load_weights
from dlapps.dann.layers import (
    DomainAdversarialNetwork,
    GradientReversal,
    ImprovedNetwork,
)
from dlapps.dann.pictures import batch_to_pixels, draw_domain_batches
from dlapps.dann.settings import PRACTICAL, SOURCE_ONLY, Settings

MOMENTUM = 0.9
# From this accuracy on the domain classifier has won: its loss says nothing more.
WON = 0.999
TRAINED = ("source only", "DANN", "flat colours", "textures")


def dann_losses(
    network: DomainAdversarialNetwork,
    source: Tensor,
    target: Tensor,
    labels: Tensor,
    weight: float,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return the class loss, the domain loss and the measurements of a batch.

    They are L_y and L_d of equation 9 of Ganin et al. (2016). The gradient of the
    domain loss is multiplied by -weight before it reaches the features: the domain
    classifier descends it, and the features climb it.

    source, target: pixels (N, C, H, W) and (M, C, H, W).
    labels: the classes (N,) of the source.
    """
    features = network.feature_extractor(torch.cat([source, target]))
    class_logits = network.label_predictor(features[: len(source)])
    class_loss = F.cross_entropy(class_logits.float(), labels)
    reversed_features = GradientReversal.apply(features, weight)
    domain_logits = network.domain_classifier(reversed_features).float().flatten()
    is_target = torch.arange(len(features), device=features.device) >= len(source)
    domain_loss = F.binary_cross_entropy_with_logits(domain_logits, is_target.float())
    correct = (domain_logits > 0) == is_target
    measured = {"domain_loss": domain_loss, "domain_accuracy": correct.float().mean()}
    return class_loss, domain_loss, measured


def fit_source_only(
    network: DomainAdversarialNetwork,
    images: ArrayLike,
    labels: ArrayLike,
    settings: Settings = SOURCE_ONLY,
    seed: int = 0,
    augment: Augment | None = None,
    monitor: Monitor | None = None,
) -> History:
    """Train a classifier on one domain, and return its history, class_loss.

    The learning rates are those of `fit_dann`, so that the two can be compared.

    augment: a function of a batch of pixels and a generator, such as `random_affine`.
    monitor: a function of the network and the epoch, which may return measurements.
    """
    images = as_uint8(images)
    labels = as_labels(labels, len(images), _num_classes_of(network))
    device = device_of(network)
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, MOMENTUM)
    num_steps = count_batches(len(images), settings.batch_size)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        network.train()
        means = Means()
        batches = draw_batches(len(images), settings.batch_size, generator)
        for step, rows in enumerate(batches):
            progress = (epoch + step / num_steps) / settings.num_epochs
            optimiser.param_groups[0]["lr"] = settings.rate(progress)
            pixels = batch_to_pixels(images[rows], device)
            if augment:
                pixels = augment(pixels, generator)
            logits = network(pixels).float()
            loss = F.cross_entropy(logits, labels[rows].to(device))
            minimise(loss, optimiser, settings.max_norm)
            means.add({"class_loss": loss}, len(rows))
        return means.as_numbers()

    return run_epochs(train_epoch, network, settings.num_epochs, seed, monitor)


def fit_dann(
    network: DomainAdversarialNetwork,
    source: ArrayLike,
    labels: ArrayLike,
    target: ArrayLike,
    settings: Settings = PRACTICAL,
    seed: int = 0,
    augment: Augment | None = None,
    monitor: Monitor | None = None,
) -> History:
    """Train on labelled source images and unlabelled target images.

    An epoch is a pass through the source; target images are drawn independently.

    augment: changes the source alone, as in `fit_source_only`.
    monitor: as in `fit_source_only`.

    Returns the history: class_loss, domain_loss, domain_accuracy, reversal_weight, and
    the measurements of the monitor. Warns if the domain classifier was practically
    never wrong in the last two epochs.
    """
    source = as_uint8(source)
    target = as_uint8(target)
    labels = as_labels(labels, len(source), _num_classes_of(network))
    domains = (source, labels, target)
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, MOMENTUM)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        network.train()
        means = Means()
        batches = draw_domain_batches(
            network, domains, settings, epoch, generator, augment
        )
        for batch in batches:
            optimiser.param_groups[0]["lr"] = settings.rate(batch.progress)
            weight = settings.weight(batch.progress)
            class_loss, domain_loss, measured = dann_losses(
                network, batch.source, batch.target, batch.classes, weight
            )
            minimise(class_loss + domain_loss, optimiser, settings.max_norm)
            means.add({"class_loss": class_loss, **measured}, len(batch.classes))
        end = (epoch + 1) / settings.num_epochs
        return {**means.as_numbers(), "reversal_weight": settings.weight(end)}

    history = run_epochs(train_epoch, network, settings.num_epochs, seed, monitor)
    _warn_of_a_winner(history, settings)
    return history


def _num_classes_of(network: nn.Module) -> int:
    number = getattr(network, "num_classes", None)
    if number is None:
        raise ValueError(
            f"expected a network with num_classes, got {type(network).__name__}; pass "
            "dann.DomainAdversarialNetwork, or a module with its parts and num_classes."
        )
    return number


def _warn_of_a_winner(history: History, settings: Settings) -> None:
    """Warn if the domain classifier made no error at the end, though it was opposed."""
    never_wrong = min(history["domain_accuracy"][-2:]) > WON
    if never_wrong and settings.weight(1) > 0:
        warnings.warn(
            "expected a domain classifier that is sometimes wrong, got one that is "
            f"right for {history['domain_accuracy'][-1]:.1%} of the last epoch; the "
            "features were not made alike, and the target may be read worse than "
            "without it: lower learning_rate or the weight.",
            stacklevel=3,
        )


def load_trained(way: str) -> DomainAdversarialNetwork:
    """Load one of the committed networks TRAINED, in eval mode.

    It was trained from seed 0 on all of MNIST with PAPER's settings: twenty epochs for
    "source only" and "DANN", which saw MNIST-M with the photos of BSDS500 as well; ten
    epochs for the others, on digits that lie on random grounds.
    """
    check_name("a network", way, TRAINED)
    name = way.lower().replace(" ", "-")
    path = paths.require_network(f"mnistm-{name}.pt", "the network")
    return load_weights(DomainAdversarialNetwork, path)


def load_improved() -> ImprovedNetwork:
    """Load the committed improved network, in eval mode.

    It was trained from seed 0 by the recipe of Chapter 3 (`studies/dann_recipe.py`)
    on all of MNIST and on MNIST-M with the photos of BSDS500.
    """
    path = paths.require_network("mnistm-improved.pt", "the network")
    return load_weights(ImprovedNetwork, path)
