"""The domain-adversarial network of Ganin et al. (JMLR 2016), to the layer as the practical has it.

Networks take RGB pixels (N, 3, 28, 28) float32 in [0, 1] and standardise them themselves. Domain labels: source 0,
target 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dlapps.runtime import channels_last

# Mean and standard deviation of MNIST's training pixels, used for both domains.
MNIST_MEAN, MNIST_STD = 0.1307, 0.3081


class GradientReversal(torch.autograd.Function):
    """Identity forward, -weight times the gradient backward: `GradientReversal.apply(features, weight)`.

    A weight of -1 is the layer left out, 0 cuts the gradient.
    """

    @staticmethod
    def forward(context: Any, features: Tensor, weight: float) -> Tensor:
        """The features as they are."""
        context.weight = weight
        return features.view_as(features)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """-weight times the gradient; none for the weight itself."""
        return -context.weight * gradient, None


def reversal_schedule(slope: float) -> Callable[[float], float]:
    """lambda(p) = 2 / (1 + exp(-slope p)) - 1 for the progress p in [0, 1]: 0 at first, near 1 for a slope of 10."""
    return lambda progress: 2 / (1 + math.exp(-slope * progress)) - 1


class Standardise(nn.Module):
    """(pixels - mean) / std with one mean and deviation for all channels."""

    def __init__(self, mean: float = MNIST_MEAN, std: float = MNIST_STD) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def extra_repr(self) -> str:
        """Mean and deviation, which tell one from another in a checkpoint's identity."""
        return f"mean={self.mean}, std={self.std}"

    def forward(self, pixels: Tensor) -> Tensor:
        """Standardised pixels of the shape that came."""
        return (pixels - self.mean) / self.std


class FeatureExtractor(nn.Sequential):
    """Two convolutions of 32 and 48 filters, 5 x 5, each with ReLU and a pooling by 2: (N, 3, 28, 28) to (N, 2352)."""

    def __init__(self, normalisation: nn.Module | None = None, batch_norm: bool = False) -> None:
        blocks: list[nn.Module] = []
        for channels, width in ((3, 32), (32, 48)):
            # Pooling before the ReLU gives the same maps for a quarter of its work.
            blocks += [nn.Conv2d(channels, width, 5, padding=2), nn.MaxPool2d(2)]
            blocks += [nn.BatchNorm2d(width)] if batch_norm else []
            blocks.append(nn.ReLU())
        super().__init__(normalisation or Standardise(), *blocks, nn.Flatten())

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (N, 2352) of pixels (N, 3, 28, 28); ValueError for another shape."""
        if pixels.shape[1:] != (3, 28, 28):
            raise ValueError(f"expected pixels (N, 3, 28, 28), got {tuple(pixels.shape)}; resize the pictures.")
        return super().forward(pixels)


class LabelPredictor(nn.Sequential):
    """Features (N, 2352) to class logits (N, K) by way of 100 and 100 units."""

    def __init__(self, num_features: int = 2352, num_classes: int = 10, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Linear(num_features, 100), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(100, 100), nn.ReLU(), nn.Dropout(dropout), nn.Linear(100, num_classes),
        )  # fmt: skip


class DomainClassifier(nn.Sequential):
    """Features (N, 2352) to one logit (N,), positive for the target, by way of 100 units."""

    def __init__(self, num_features: int = 2352) -> None:
        super().__init__(nn.Linear(num_features, 100), nn.ReLU(), nn.Linear(100, 1), nn.Flatten(0))


class DomainAdversarialNetwork(nn.Module):
    """The three parts together; called, it gives class logits (N, K). The same seed gives the same weights.

    batch_norm, dropout and normalisation are what public versions of the network change; the defaults are the
    practical's.
    """

    def __init__(
        self,
        seed: int = 0,
        num_classes: int = 10,
        batch_norm: bool = False,
        dropout: float = 0.0,
        normalisation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.feature_extractor = FeatureExtractor(normalisation, batch_norm)
            self.label_predictor = LabelPredictor(num_classes=num_classes, dropout=dropout)
            self.domain_classifier = DomainClassifier()
        channels_last(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits (N, K) of pixels (N, 3, 28, 28) in [0, 1]."""
        return self.label_predictor(self.feature_extractor(pixels))
