"""What Chapter 3 compares with domain-adversarial training: other alignments, MCD, batch norm alone, and scores.

An alignment is called with the network, the features (N, D) of a batch, the source's first, how many these are, and the
weight that the schedule gives. It returns its loss, a scalar that is added to the class loss, and what it measured,
scalar tensors by name. One that is an nn.Module is trained along with the network.
"""

import copy
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from dlapps import check_counts
from dlapps.core.images import as_uint8
from dlapps.core.metrics import as_features
from dlapps.core.runtime import autocast, check_last_batch, device_of, drawn_from, make_generator
from dlapps.core.training import Augment, History, check_options, minimise, run_epochs, seeded
from dlapps.dann.alignment import Aligned, domain_loss
from dlapps.dann.layers import DomainAdversarialNetwork, DomainClassifier
from dlapps.dann.pictures import as_domains, batch_to_pixels, channels_of, predict
from dlapps.dann.selection import _as_logits
from dlapps.dann.training import DOMAINS, PRACTICAL, Settings, train_on_domains

# Of the kernels of `mmd_loss`, in units of the median.
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


class CdanAlignment(nn.Module):
    """The reversed gradient of a classifier that sees features and predictions: CDAN without entropy weights.

    It sees the randomised multilinear map of Long et al. (2018), (R_f f) * (R_g g) / sqrt(d), which they take where
    D K, here 23,520, is above 4,096: f the features (N, D), g the network's probabilities (N, K), which get no
    gradient, R standard normal matrices that are drawn once, by the seed. It takes the place of the network's own
    domain classifier. Measures domain_loss and domain_accuracy. Raises ValueError for a network of another D or K.
    """

    features_map: Tensor
    classes_map: Tensor

    def __init__(self, num_features: int = 2352, num_classes: int = 10, dimensions: int = 1024, seed: int = 0) -> None:
        super().__init__()
        with drawn_from(seed):
            self.register_buffer("features_map", torch.randn(num_features, dimensions))
            self.register_buffer("classes_map", torch.randn(num_classes, dimensions))
            self.classifier = DomainClassifier(dimensions)

    def forward(self, network: DomainAdversarialNetwork, features: Tensor, num_source: int, weight: float) -> Aligned:
        """The domain loss and what was measured."""
        predictions = network.label_predictor(features).float().softmax(1).detach()
        given = (features.shape[1], predictions.shape[1])
        made = (len(self.features_map), len(self.classes_map))
        if given != made:
            raise ValueError(
                f"expected {made[0]} features and {made[1]} classes, got {given[0]} and {given[1]}; make the alignment "
                "with the numbers of the network."
            )
        mapped = (features @ self.features_map) * (predictions @ self.classes_map)
        return domain_loss(self.classifier, mapped / self.features_map.shape[1] ** 0.5, num_source, weight)


@dataclass(frozen=True)
class CoralAlignment:
    """`coral_loss` of the label predictor's logits, times the weight and a scale; measures coral_loss without them.

    Sun and Saenko align this last layer, and set the weight so that the loss ends about as large as the class loss.
    """

    scale: float = 1.0

    def __call__(self, network: DomainAdversarialNetwork, features: Tensor, num_source: int, weight: float) -> Aligned:
        """The loss and what was measured."""
        logits = network.label_predictor(features)
        loss = coral_loss(logits[:num_source], logits[num_source:])
        return self.scale * weight * loss, {"coral_loss": loss}


@dataclass(frozen=True)
class MmdAlignment:
    """`mmd_loss`, times the weight and a scale; measures mmd_loss without them."""

    scale: float = 1.0

    def __call__(self, network: nn.Module, features: Tensor, num_source: int, weight: float) -> Aligned:
        """The loss and what was measured, of the features alone."""
        loss = mmd_loss(features[:num_source], features[num_source:])
        return self.scale * weight * loss, {"mmd_loss": loss}


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """||C_s - C_t||_F^2 / (4 D^2), C the covariances of features (N, D), (M, D): Sun and Saenko (2016), eqs. 1 to 3.

    Taken in float32. Raises ValueError for a single picture of a domain.
    """
    _check_numbers(source, target)
    with autocast(source.device, "float32"):
        both = source.float(), target.float()
        parts = [(part - part.mean(0)) / (len(part) - 1) ** 0.5 for part in both]
        rows = torch.cat(parts)
        signs = torch.cat([torch.ones(len(source)), -torch.ones(len(target))]).to(rows.device)
        # C_s - C_t is the sum of r r^T over these rows r, each with its sign; its squared norm that of (r r')^2 over
        # their pairs: a batch has a hundred rows where a covariance has millions of entries.
        return signs @ (rows @ rows.T).square() @ signs / (4 * rows.shape[1] ** 2)


def mmd_loss(source: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of features (N, D), (M, D): Long et al. (2015), with kernels of equal weight.

    The unbiased estimate (Gretton et al. 2012, eq. 3), which may fall below 0, for the mean of five Gaussian kernels
    exp(-||x - y||^2 / b); b is BANDWIDTHS times the median of ||x - y||^2 over all pairs of the batch, which gets no
    gradient. Taken in float32. Raises ValueError for a single picture of a domain.
    """
    _check_numbers(source, target)
    with autocast(source.device, "float32"):
        features = torch.cat([source, target]).float()
        squares = torch.cdist(features, features).square()
        median = torch.pdist(features.detach()).square().median().clamp_min(1e-12)
        kernels = torch.stack([torch.exp(-squares / (bandwidth * median)) for bandwidth in BANDWIDTHS])
        kernel = kernels.mean(0) * (1 - torch.eye(len(features), device=features.device))
        n, m = len(source), len(target)
        within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
        return within - 2 * kernel[:n, n:].mean()


def _check_numbers(source: Tensor, target: Tensor) -> None:
    if min(len(source), len(target)) < 2:
        raise ValueError(
            f"expected two or more pictures of each domain, got {len(source)} and {len(target)}; choose a batch size "
            "that leaves no batch of one."
        )


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


Network = TypeVar("Network", bound=nn.Module)


def adapt_batch_norm(network: Network, target: ArrayLike, precision: str = "fast") -> Network:
    """A copy of the network, in eval mode, whose batch norms have the target's statistics (AdaBN, Li et al. 2017).

    Mean and variance (of the population) of what enters a layer, over all pictures uint8 (N, H, W) or (N, H, W, 3), the
    layers before it adapted already (Algorithm 1): one pass for each layer. Raises ValueError for a network in which no
    batch norm with statistics is called.
    """
    images, adapted = as_uint8(target), copy.deepcopy(network).eval()
    for layer in _find_batch_norms(adapted, images[:1]):
        mean, variance = _measure_inputs(layer, adapted, images, precision)
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
    return adapted


def tent(
    network: Network,
    target: ArrayLike,
    seed: int = 0,
    precision: str = "fast",
    batch_size: int = 128,
    learning_rate: float = 1e-3,
) -> Network:
    """A copy of the network whose batch norms scale and shift so that it is surer of the target (Wang et al. 2021).

    Adam descends the mean entropy of predictions in these scales and shifts, in one pass through pictures uint8
    (N, H, W) or (N, H, W, 3) in random order, each batch normalised by its own statistics; batch size and rate are the
    paper's for all but ImageNet. In the paper each batch is predicted with its own statistics too. Here the copy ends,
    in eval mode, with those of all pictures, by `adapt_batch_norm`: a prediction does not depend on its batch. Raises
    ValueError for a network in which no batch norm is called, DivergenceError for an entropy that is not finite.
    """
    check_counts(batch_size=batch_size)
    images, adapted = as_uint8(target), copy.deepcopy(network).eval()
    device, channels = device_of(adapted), channels_of(adapted)
    one, layers = batch_to_pixels(images[:1], device, channels), nn.ModuleList(_find_batch_norms(adapted, images[:1]))
    check_last_batch(adapted, lambda: adapted(one), len(images), batch_size, layers)
    optimiser = torch.optim.Adam(layers.train().requires_grad_().parameters(), learning_rate)
    for rows in torch.randperm(len(images), generator=make_generator(seed)).split(batch_size):
        with autocast(device, precision):
            logits = adapted(batch_to_pixels(images[rows], device, channels))
        log_probabilities = logits.float().log_softmax(1)
        minimise(-(log_probabilities.exp() * log_probabilities).sum(1).mean(), optimiser)
    adapted.zero_grad()
    return adapt_batch_norm(adapted, images, precision)


def _find_batch_norms(network: nn.Module, images: Tensor) -> list[Any]:
    """The batch norms with statistics, in the order in which they are called."""
    called: list[nn.Module] = []
    norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]
    norms = [norm for norm in norms if norm.running_mean is not None]
    hooks = [norm.register_forward_pre_hook(lambda part, _: called.append(part)) for norm in norms]
    try:
        predict(network, images)
    finally:
        for hook in hooks:
            hook.remove()
    if not called:
        raise ValueError(
            f"expected a network with batch norm, got {type(network).__name__} without; take one that was trained with "
            "it, such as DomainAdversarialNetwork(batch_norm=True)."
        )
    return [*dict.fromkeys(called)]


def _measure_inputs(layer: nn.Module, network: nn.Module, images: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) of what enters a layer, over all pictures and places."""
    number, total, squares = 0, torch.zeros(()), torch.zeros(())

    def add(_: nn.Module, inputs: tuple[Tensor]) -> None:
        nonlocal number, total, squares
        values = inputs[0].transpose(0, 1).flatten(1).float()
        variance, mean = (part.double().cpu() for part in torch.var_mean(values, 1, correction=0))
        number += values.shape[1]
        total = total + values.shape[1] * mean
        squares = squares + values.shape[1] * (variance + mean.square())

    with layer.register_forward_pre_hook(add):
        predict(network, images, precision)
    mean = total / number
    return mean, squares / number - mean.square()


class Shifted(nn.Module):
    """A network whose probabilities are the mean over a picture (N, C, H, W) and its four shifts by a pixel.

    Called, it gives their logarithms (N, K); what a shift uncovers repeats the border.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Log-probabilities (N, K)."""
        height, width = pixels.shape[2:]
        padded = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
        corners = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
        views = [padded[:, :, top : top + height, left : left + width] for top, left in corners]
        return torch.stack([self.network(view).float().softmax(1) for view in views]).mean(0).log()


def mean_entropy(logits: ArrayLike) -> float:
    """Mean entropy in nats of predictions (N, K): low where a network is certain (Morerio et al. 2018)."""
    # A logit of minus infinity is a probability of 0, and 0 log 0 is 0.
    log_probabilities = _as_logits(logits).log_softmax(1).clamp(min=torch.finfo(torch.float32).min)
    return float(-(log_probabilities.exp() * log_probabilities).sum(1).mean())


def soft_neighbourhood_density(logits: ArrayLike, temperature: float = 0.05) -> float:
    """Mean entropy in nats of each prediction's similarities to the others, (N, K): high where classes are dense.

    Higher is better, up to log(N - 1) (Saito et al. 2021).
    """
    points = F.normalize(_as_logits(logits).softmax(1), dim=1)
    similarities = (points @ points.T / temperature).fill_diagonal_(-torch.inf)
    log_shares = similarities.log_softmax(1).fill_diagonal_(0)
    return float(-(log_shares.exp() * log_shares).fill_diagonal_(0).sum(1).mean())


def proxy_a_distance(source: ArrayLike, target: ArrayLike, seed: int = 0, dimensions: int | None = None) -> float:
    """2 (1 - 2 error) of a linear SVM that tells features (N, D) of the domains apart, by 5-fold cross-validation.

    2: told apart without error; 0: not at all (Ben-David et al. 2007). More features make it easier; for networks
    of several widths, take as many dimensions of each: principal components of both domains' features together. Raises
    ValueError for features of two widths, not finite, or of fewer than five pictures of a domain.
    """
    both = as_features(source, target, least=5)
    features = torch.cat(both).float()
    if dimensions is not None:
        if not 1 <= dimensions <= min(features.shape):
            raise ValueError(
                f"expected from 1 to {min(features.shape)} dimensions, got {dimensions}; {tuple(features.shape)} "
                "features have no more."
            )
        features = torch.from_numpy(PCA(dimensions, svd_solver="full").fit_transform(features.numpy()))
    features = (features - features.mean(0)) / features.std(0).clamp_min(1e-6)
    order = torch.randperm(len(features), generator=make_generator(seed))
    domains = (order >= len(both[0])).long()
    # Both domains count alike, whatever their numbers: else an SVM that always answers the larger would be right often.
    svm = LinearSVC(C=1e-3, class_weight="balanced", random_state=seed)
    right = cross_val_score(svm, features[order].numpy(), domains.numpy(), scoring="balanced_accuracy")
    error = 1 - right.mean()
    return float(2 * (1 - 2 * error))
