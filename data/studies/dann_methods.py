"""What Chapter 3 compares with domain-adversarial training.

Other alignments, MCD, grounds of digits, and a score. An alignment is what
`fit_aligned` takes: a function of the network, the features (N, D) of a batch, the
source's first, the number of these, and the schedule's weight, which returns a loss and
its measurements by name. Pixels are (N, C, H, W) float32 in [0, 1]; trainings take
images uint8 (N, H, W) or (N, H, W, 3).
"""

import copy
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.func import functional_call

from dlapps.core.metrics import as_features
from dlapps.core.runtime import autocast, device_of, drawn_from, make_generator
from dlapps.core.training import History, Means, minimise, run_epochs
from dlapps.dann.layers import (
    DomainAdversarialNetwork,
    DomainClassifier,
    GradientReversal,
)
from dlapps.dann.pictures import (
    as_domains,
    draw_domain_batches,
    random_affine,
    random_strokes,
    target_diversity,
)
from dlapps.dann.settings import Settings
from dlapps.dann.training import MOMENTUM, domain_loss

# What is aligned: features, a label predictor and a domain classifier.
Network = DomainAdversarialNetwork
# The bandwidths of `mmd_loss`'s kernels, in units of the median.
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
# Steps of the features for each step of the predictors, as in MCD's code for digits.
NUM_GENERATOR_STEPS = 4


Aligned = tuple[Tensor, dict[str, Tensor]]
Alignment = Callable[[Network, Tensor, int, float], Aligned]


def reverse_gradient(
    network: Network, features: Tensor, num_source: int, weight: float
) -> Aligned:
    """DANN's domain loss, which the classifier descends and the features climb."""
    reversed_features = GradientReversal.apply(features, weight)
    return domain_loss(network.domain_classifier(reversed_features), num_source)


def fit_aligned(
    network: Network,
    source: Tensor,
    labels: Tensor,
    target: Tensor,
    settings: Settings,
    seed: int = 0,
    alignment: Alignment = reverse_gradient,
    **options: Any,
) -> History:
    """`fit_dann` with another alignment.

    Returns the history: class_loss, the measurements of the alignment,
    target_diversity, reversal_weight, and what the monitor adds. options: as for
    `fit_dann`.
    """
    domains = as_domains(network, source, labels, target)
    device = device_of(network)
    optimiser = torch.optim.SGD(network.parameters(), settings.learning_rate, MOMENTUM)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        network.train()
        means = Means()
        for batch in draw_domain_batches(network, domains, settings, epoch, generator):
            optimiser.param_groups[0]["lr"] = settings.rate(batch.progress)
            weight = settings.weight(batch.progress)
            number = len(batch.source)
            both = torch.cat([batch.source, batch.target])
            with autocast(device):
                features = network.feature_extractor(both)
                logits = network.label_predictor(features[:number])
                class_loss = F.cross_entropy(logits.float(), batch.classes)
                loss, measured = alignment(network, features, number, weight)
            minimise(class_loss + loss, optimiser, settings.max_norm)
            means.add({"class_loss": class_loss, **measured}, number)
        return {
            **means.as_numbers(),
            "target_diversity": target_diversity(network, domains),
            "reversal_weight": settings.weight((epoch + 1) / settings.num_epochs),
        }

    identity = {
        **asdict(settings),
        **domains._asdict(),
        "alignment": alignment,
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


def align_by_coral(
    network: Network, features: Tensor, num_source: int, weight: float
) -> Aligned:
    """The weight times `coral_loss` of the logits, which Sun and Saenko align."""
    logits = network.label_predictor(features)
    loss = coral_loss(logits[:num_source], logits[num_source:])
    return weight * loss, {"coral_loss": loss}


def align_by_mmd(
    network: Network, features: Tensor, num_source: int, weight: float
) -> Aligned:
    """The weight times `mmd_loss` of the features."""
    loss = mmd_loss(features[:num_source], features[num_source:])
    return weight * loss, {"mmd_loss": loss}


def align_by_cdan(
    network: Network, features: Tensor, num_source: int, weight: float
) -> Aligned:
    """The domain loss of a network whose classifier is a `CdanClassifier`, reversed."""
    classifier: Any = network.domain_classifier
    probabilities = network.label_predictor(features).float().softmax(1).detach()
    mapped = classifier.project(features, probabilities)
    reversed_map = GradientReversal.apply(mapped, weight)
    return domain_loss(classifier(reversed_map), num_source)


class CdanClassifier(DomainClassifier):
    """CDAN's domain classifier of features and predictions, without entropy weights.

    It takes the randomised multilinear map of Long et al. (2018), (R_f f) * (R_g g) /
    sqrt(d), which they use where D K, here 23,520, is above 4,096. f are the features
    (N, D), g the network's probabilities (N, K), R_f and R_g standard normal matrices,
    drawn once from the seed.
    """

    features_map: Tensor
    classes_map: Tensor

    def __init__(
        self,
        seed: int,
        num_features: int = 2352,
        num_classes: int = 10,
        dimensions: int = 1024,
    ) -> None:
        with drawn_from(seed):
            features_map = torch.randn(num_features, dimensions)
            classes_map = torch.randn(num_classes, dimensions)
            super().__init__(dimensions)
        self.register_buffer("features_map", features_map, persistent=False)
        self.register_buffer("classes_map", classes_map, persistent=False)

    def project(self, features: Tensor, predictions: Tensor) -> Tensor:
        """The multilinear map (N, d) of features (N, D) and probabilities (N, K)."""
        product = (features @ self.features_map) * (predictions @ self.classes_map)
        return product / self.features_map.shape[1] ** 0.5


def make_cdan(seed: int) -> DomainAdversarialNetwork:
    """The practical's network with a `CdanClassifier`."""
    network = DomainAdversarialNetwork(seed)
    network.domain_classifier = CdanClassifier(seed)
    return network


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """||C_s - C_t||_F^2 / (4 D^2): Sun and Saenko (2016), eqs. 1 to 3.

    C_s and C_t are the covariances of features (N, D) and (M, D), taken in float32.
    """
    with autocast(source.device, "float32"):
        change = source.float().T.cov() - target.float().T.cov()
        return change.square().sum() / (4 * source.shape[1] ** 2)


def mmd_loss(source: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of features (N, D), (M, D): Long et al. (2015).

    It is the unbiased estimate (Gretton et al. 2012, eq. 3), which may fall below 0,
    for the mean of five Gaussian kernels exp(-||x - y||^2 / b) of equal weight. b is
    BANDWIDTHS times the median of ||x - y||^2 over all pairs of the batch, which gets
    no gradient. Taken in float32.
    """
    with autocast(source.device, "float32"):
        features = torch.cat([source, target]).float()
        squares = torch.cdist(features, features).square()
        median = torch.pdist(features.detach()).square().median().clamp_min(1e-12)
        kernels = [torch.exp(-squares / (width * median)) for width in BANDWIDTHS]
        others = 1 - torch.eye(len(features), device=features.device)
        kernel = torch.stack(kernels).mean(0) * others
        n = len(source)
        m = len(target)
        within_source = kernel[:n, :n].sum() / (n * (n - 1))
        within_target = kernel[n:, n:].sum() / (m * (m - 1))
        return within_source + within_target - 2 * kernel[:n, n:].mean()


def fit_mcd(
    network: Network,
    source: Tensor,
    labels: Tensor,
    target: Tensor,
    settings: Settings,
    seed: int = 0,
    **options: Any,
) -> History:
    """Maximum classifier discrepancy (Saito et al. 2018): two label predictors part on
    target images, and features bring them together again.

    The second predictor has the layers of the network's and first weights of its own;
    the network ends with its own predictor, the first, and the second is left behind.
    The discrepancy has the paper's weight, 1; the settings' schedule has no part in it.
    Returns the history: class_loss (the first predictor's, in step A), discrepancy (in
    the last step C), target_diversity, and what the monitor adds. options: as for
    `fit_dann`.
    """
    domains = as_domains(network, source, labels, target)
    device = device_of(network)
    second = make_second(network.label_predictor, seed).train()
    # One optimiser of all weights: a weight that gets no gradient in a step stays as it
    # is, and so does its momentum.
    weights = nn.ModuleList([network, second]).parameters()
    optimiser = torch.optim.SGD(weights, settings.learning_rate, MOMENTUM)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        network.train()
        means = Means()
        for batch in draw_domain_batches(network, domains, settings, epoch, generator):
            optimiser.param_groups[0]["lr"] = settings.rate(batch.progress)
            with autocast(device):
                features = network.feature_extractor(batch.source)
                losses = class_losses(network, second, features, batch.classes)
            minimise(losses.sum(), optimiser, settings.max_norm)
            with autocast(device):
                loss = loss_of_predictors(
                    network, second, batch.source, batch.target, batch.classes
                )
            minimise(loss, optimiser, settings.max_norm)
            for _ in range(NUM_GENERATOR_STEPS):
                with autocast(device):
                    discrepancy = loss_of_features(network, second, batch.target)
                minimise(discrepancy, optimiser, settings.max_norm)
            measured = {"class_loss": losses[0], "discrepancy": discrepancy}
            means.add(measured, len(batch.classes))
        diversity = target_diversity(network, domains)
        return {**means.as_numbers(), "target_diversity": diversity}

    return run_epochs(
        train_epoch,
        network,
        {"second": second, "optimiser": optimiser},
        {"fit": "mcd", **asdict(settings), **domains._asdict()},
        settings.num_epochs,
        seed,
        **options,
    )


def make_second(predictor: nn.Module, seed: int) -> nn.Module:
    """A label predictor of the same layers, with weights drawn from the seed."""
    second = copy.deepcopy(predictor)
    with drawn_from(seed):
        for layer in second.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
    return second


def class_losses(
    network: Network, second: nn.Module, features: Tensor, labels: Tensor
) -> Tensor:
    """Step A: the class losses (2,) of both predictors (eqs. 2 and 3).

    All weights descend their sum.
    """
    first_logits = network.label_predictor(features).float()
    second_logits = second(features).float()
    first_loss = F.cross_entropy(first_logits, labels)
    second_loss = F.cross_entropy(second_logits, labels)
    return torch.stack([first_loss, second_loss])


def loss_of_predictors(
    network: Network, second: nn.Module, pixels: Tensor, others: Tensor, labels: Tensor
) -> Tensor:
    """Step B: class losses of the source minus discrepancy of the target (eqs. 4, 5).

    The predictors alone descend it; the features stay as they are.
    """
    with torch.no_grad():
        source = network.feature_extractor(pixels)
        target = network.feature_extractor(others)
    discrepancy = mean_discrepancy(network.label_predictor(target), second(target))
    return class_losses(network, second, source, labels).sum() - discrepancy


def loss_of_features(network: Network, second: nn.Module, others: Tensor) -> Tensor:
    """Step C: the discrepancy of the target (eq. 6).

    The feature extractor alone descends it; the predictors stay as they are.
    """
    features = network.feature_extractor(others)
    first_logits = _fixed(network.label_predictor, features)
    return mean_discrepancy(first_logits, _fixed(second, features))


def mean_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute difference of two predictors' probabilities (eq. 1), in [0, 2 / K].

    first, second: their logits (N, K).
    """
    difference = first.float().softmax(1) - second.float().softmax(1)
    return difference.abs().mean()


def _fixed(predictor: nn.Module, features: Tensor) -> Tensor:
    """Logits through which gradients reach the features alone."""
    weights = {name: weight.detach() for name, weight in predictor.named_parameters()}
    return functional_call(predictor, weights, (features,))


class Shifted(nn.Module):
    """Mean probabilities of a network over a picture and its four shifts by a pixel.

    Called with pixels (N, C, H, W), it gives their logarithms (N, K). What a shift
    uncovers repeats the border.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Log-probabilities (N, K)."""
        height, width = pixels.shape[2:]
        padded = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
        probabilities = []
        for top, left in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):
            view = padded[:, :, top : top + height, left : left + width]
            probabilities.append(self.network(view).float().softmax(1))
        return torch.stack(probabilities).mean(0).log()


def draw_grounds(number: int, contrast: float, generator: torch.Generator) -> Tensor:
    """Random colours with white noise: (number, 3, 28, 28) float32 in [0, 1].

    The colours are drawn as those of `dann.random_textures`. The noise of a ground has
    a random deviation up to `contrast`: 0 gives flat colours, .32 the contrasts of
    `dann.random_textures`, but without smoothness and borders.
    """
    grey = 0.15 + 0.7 * torch.rand(number, 1, 1, 1, generator=generator)
    tint = 0.4 * torch.rand(number, 3, 1, 1, generator=generator) - 0.2
    deviation = contrast * torch.rand(number, 1, 1, 1, generator=generator)
    shared = torch.randn(number, 1, 28, 28, generator=generator)
    own = torch.randn(number, 3, 28, 28, generator=generator)
    noise = 0.9 * shared + 0.4 * own
    return (grey + tint + deviation * noise).clamp(0, 1)


def lay_on_grounds(
    pixels: Tensor, generator: torch.Generator, contrast: float
) -> Tensor:
    """`dann.augment_source` without negatives, on `draw_grounds` in place of textures.

    pixels: grey digits (N, 3, 28, 28). Three in four are laid on a ground, with strokes
    of another; the rest stay on black.
    """
    digits = random_affine(pixels[:, :1].contiguous(), generator, padding="zeros")
    digits = random_strokes(digits, generator)
    below = draw_grounds(len(digits), contrast, generator)
    above = draw_grounds(len(digits), contrast, generator)
    laid = below.lerp(above, digits)
    chosen = torch.rand(len(digits), 1, 1, 1, generator=generator) < 0.75
    return torch.where(chosen, laid, digits)


def proxy_a_distance(source: Tensor, target: Tensor) -> float:
    """2 (1 - 2 error) of a linear SVM that classifies features (N, D) by domain.

    The error is that of 5-fold cross-validation (Ben-David et al. 2007). 2: it makes no
    error; 0: it guesses. More features make it easier.
    """
    features = torch.cat(as_features(source, target, least=5)).float()
    features = (features - features.mean(0)) / features.std(0).clamp_min(1e-6)
    order = torch.randperm(len(features), generator=make_generator(0))
    domains = (order >= len(source)).long()
    # Both domains count alike, whatever their sizes: else an SVM that always answers
    # the larger would often be right.
    svm = LinearSVC(C=1e-3, class_weight="balanced", random_state=0)
    accuracies = cross_val_score(
        svm, features[order].numpy(), domains.numpy(), scoring="balanced_accuracy"
    )
    error = 1 - accuracies.mean()
    return float(2 * (1 - 2 * error))
