"""What makes the features of both domains alike in `fit_dann`: a gradient that is reversed, or a distance that falls.

An alignment is called with the network, the features (N, D) of a batch, the source's first, how many these are, and the
weight that the schedule gives. It returns its loss, a scalar that is added to the class loss, and what it measured,
scalar tensors by name. One that is an nn.Module is trained along with the network.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.runtime import autocast, drawn_from
from dlapps.dann.layers import DomainAdversarialNetwork, DomainClassifier, GradientReversal

Aligned = tuple[Tensor, dict[str, Tensor]]
Alignment = Callable[[DomainAdversarialNetwork, Tensor, int, float], Aligned]
# Of the kernels of `mmd_loss`, in units of the median.
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


def reverse_gradient(network: DomainAdversarialNetwork, features: Tensor, num_source: int, weight: float) -> Aligned:
    """The network's domain classifier descends its loss, the features climb it (Ganin et al. 2016).

    Measures domain_loss and domain_accuracy.
    """
    return domain_loss(network.domain_classifier, features, num_source, weight)


def domain_loss(classifier: nn.Module, features: Tensor, num_source: int, weight: float) -> Aligned:
    """Loss and accuracy of a domain classifier on features (N, D), the source's first; its gradient is reversed."""
    logits = classifier(GradientReversal.apply(features, weight)).float().flatten()
    domains = (torch.arange(len(logits), device=logits.device) >= num_source).float()
    loss = F.binary_cross_entropy_with_logits(logits, domains)
    right = ((logits > 0) == domains.bool()).float()
    return loss, {"domain_loss": loss, "domain_accuracy": right.mean()}


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
