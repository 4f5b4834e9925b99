"""Maximum classifier discrepancy: features on which two label predictors agree (Saito et al. 2018)."""

import copy
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.func import functional_call

from dlapps import check_counts
from dlapps.core.runtime import autocast, check_last_batch, device_of, drawn_from
from dlapps.core.training import Augment, History, check_options, minimise, run_epochs, seeded
from dlapps.dann.layers import DomainAdversarialNetwork
from dlapps.dann.pictures import as_domains, batch_to_pixels, channels_of
from dlapps.dann.training import DOMAINS, PRACTICAL, Settings, train_on_domains


def fit_mcd(
    network: DomainAdversarialNetwork,
    source: ArrayLike,
    labels: ArrayLike,
    target: ArrayLike,
    settings: Settings = PRACTICAL,
    seed: int = 0,
    precision: str = "fast",
    augment: Augment | None = None,
    num_generator_steps: int = 4,
    weight: float = 1.0,
    **options: Any,
) -> History:
    """Train two label predictors that part on target pictures, and features that bring them together again.

    The second predictor has the layers of the network's and first weights of its own; the network ends with its own
    predictor, the first, and the second is left behind. Steps A and B, and num_generator_steps times C, for each batch:
    4 as in the authors' code for digits. weight: of the discrepancy in B and C; 1 in the paper, whose Adam takes steps
    of one length whatever the size of a loss. The settings' schedule has no part in it. Returns the history: class_loss
    (the first predictor's, in A), discrepancy (in the last C), target_diversity, and what the monitor adds. Arguments
    and options: as for `fit_dann`.
    """
    check_counts(num_generator_steps=num_generator_steps)
    check_options("fit_mcd", options)
    domains = as_domains(network, source, labels, target, settings.paired)
    device, second = device_of(network), make_second(network.label_predictor, seed).train()
    weights = nn.ModuleList([network, second]).parameters()
    optimiser = torch.optim.SGD(weights, settings.learning_rate, settings.momentum)

    one = batch_to_pixels(domains[0][:1], device, channels_of(network))
    check_last_batch(network, lambda: network(one), len(domains[0]), settings.batch_size)

    # One optimiser of all weights: one that gets no gradient in a step stays as it is, and so does its momentum.
    def update(pixels: Tensor, others: Tensor, classes: Tensor, done: float) -> dict[str, Tensor]:
        optimiser.param_groups[0]["lr"] = settings.rate(done)
        with autocast(device, precision):
            losses = class_losses(network, second, network.feature_extractor(pixels), classes)
        minimise(losses.sum(), optimiser, settings.max_norm)
        with autocast(device, precision):
            loss = loss_of_predictors(network, second, pixels, others, classes, weight)
        minimise(loss, optimiser, settings.max_norm)
        for _ in range(num_generator_steps):
            with autocast(device, precision):
                apart = loss_of_features(network, second, others)
            minimise(weight * apart, optimiser, settings.max_norm)
        return {"class_loss": losses[0], "discrepancy": apart}

    identity = {"fit": "mcd", **asdict(settings), "seed": seed, "precision": precision}
    identity |= {"augment": augment, "weight": weight, "num_generator_steps": num_generator_steps}
    identity |= zip(DOMAINS, domains, strict=True)
    train = seeded(partial(train_on_domains, update, network, domains, settings, precision, augment), seed)
    parts = {"second": second, "optimiser": optimiser}
    return run_epochs(train, network, parts, identity, settings.num_epochs, **options)


def make_second(predictor: nn.Module, seed: int) -> nn.Module:
    """A label predictor of the same layers with weights drawn by the seed.

    Raises ValueError for one whose layers cannot be drawn anew: from equal weights the two would never part.
    """
    # A predictor that was the first to be drawn from this seed has the very weights that it gives.
    for each in (seed, seed * 1_000_003 + 1):
        second = copy.deepcopy(predictor).cpu()
        with drawn_from(each):
            for layer in second.modules():
                reset = getattr(layer, "reset_parameters", None)
                if reset:
                    reset()
        second = second.to(device_of(predictor))
        pairs = zip(predictor.parameters(), second.parameters(), strict=True)
        if not all(torch.equal(*pair) for pair in pairs):
            return second
    raise ValueError(
        "expected a label predictor of layers with reset_parameters, got one without; build it of torch.nn's."
    )


def class_losses(network: DomainAdversarialNetwork, second: nn.Module, features: Tensor, labels: Tensor) -> Tensor:
    """Step A, for all weights: the class losses (2,) of both predictors, whose sum falls (eqs. 2 and 3)."""
    logits = (predictor(features).float() for predictor in (network.label_predictor, second))
    return torch.stack([F.cross_entropy(each, labels) for each in logits])


def loss_of_predictors(
    network: DomainAdversarialNetwork, second: nn.Module, pixels: Tensor, others: Tensor, labels: Tensor, weight: float
) -> Tensor:
    """Step B, for the predictors on features as they are: class losses of the source minus the discrepancy of the
    target, times its weight (eqs. 4 and 5)."""
    with torch.no_grad():
        here, there = network.feature_extractor(pixels), network.feature_extractor(others)
    apart = mean_discrepancy(network.label_predictor(there), second(there))
    return class_losses(network, second, here, labels).sum() - weight * apart


def loss_of_features(network: DomainAdversarialNetwork, second: nn.Module, others: Tensor) -> Tensor:
    """Step C, for the feature extractor under predictors as they are: the discrepancy of the target (eq. 6)."""
    features = network.feature_extractor(others)
    return mean_discrepancy(*(_as_it_is(predictor, features) for predictor in (network.label_predictor, second)))


def mean_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute difference of two predictors' probabilities, from logits (N, K) each (eq. 1): in [0, 2 / K]."""
    return (first.float().softmax(1) - second.float().softmax(1)).abs().mean()


def _as_it_is(predictor: nn.Module, features: Tensor) -> Tensor:
    """Logits through which gradients reach the features alone."""
    weights = {name: weight.detach() for name, weight in predictor.named_parameters()}
    return functional_call(predictor, weights, (features,))
