"""Networks of a feature extractor, a label predictor and a domain classifier: the
practical's, and the recipe's.

They take RGB pixels (N, 3, 28, 28) float32 in [0, 1] and standardise them themselves.
Domain labels: source 0, target 1.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.core.runtime import channels_last, drawn_from, run_once

# Mean and standard deviation of MNIST's training pixels, used for both domains.
MNIST_MEAN, MNIST_STD = 0.1307, 0.3081


class GradientReversal(torch.autograd.Function):
    """Identity forward, -weight times the gradient backward:
    `GradientReversal.apply(features, weight)`.

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
    """lambda(p) = 2 / (1 + exp(-slope p)) - 1 for the progress p in [0, 1]: 0 at first,
    near 1 for a slope of 10.
    """
    # A checkpoint sees what `partial` binds.
    return functools.partial(_rise, slope)


def _rise(slope: float, progress: float) -> float:
    return 2 / (1 + math.exp(-slope * progress)) - 1


class Standardise(nn.Module):
    """(pixels - MNIST_MEAN) / MNIST_STD, in all channels."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Standardised pixels of the same shape."""
        return (pixels - MNIST_MEAN) / MNIST_STD


class FeatureExtractor(nn.Sequential):
    """Two convolutions of 32 and 48 filters, 5 x 5, each with ReLU and a pooling by 2:
    (N, 3, 28, 28) to (N, 2352).

    input_shape: (C, H, W) of other pixels, which have 48 (H / 4) (W / 4) features.
    """

    def __init__(
        self,
        normalisation: nn.Module | None = None,
        batch_norm: bool = False,
        input_shape: tuple[int, int, int] = (3, 28, 28),
    ) -> None:
        blocks: list[nn.Module] = []
        for channels, width in ((input_shape[0], 32), (32, 48)):
            # Pooling before the ReLU gives the same maps for a quarter of its work.
            blocks += [nn.Conv2d(channels, width, 5, padding=2), nn.MaxPool2d(2)]
            blocks += [nn.BatchNorm2d(width)] if batch_norm else []
            blocks.append(nn.ReLU())
        super().__init__(normalisation or Standardise(), *blocks, nn.Flatten())
        self.input_shape = input_shape

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (N, D) of pixels (N, C, H, W); ValueError for another shape."""
        if pixels.shape[1:] != self.input_shape:
            sizes = ", ".join(map(str, self.input_shape))
            raise ValueError(
                f"expected pixels (N, {sizes}), got {tuple(pixels.shape)}; resize the pictures, or make "
                "the network with their input_shape."
            )
        return super().forward(pixels)


class LabelPredictor(nn.Sequential):
    """Features (N, D) to class logits (N, K) by way of 100 and 100 units."""

    def __init__(
        self, num_features: int = 2352, num_classes: int = 10, dropout: float = 0.0
    ) -> None:
        super().__init__(
            nn.Linear(num_features, 100), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(100, 100), nn.ReLU(), nn.Dropout(dropout), nn.Linear(100, num_classes),
        )  # fmt: skip


class DomainClassifier(nn.Sequential):
    """Features (N, D) to one logit (N,), positive for the target, by way of 100 units."""

    def __init__(self, num_features: int = 2352) -> None:
        super().__init__(
            nn.Linear(num_features, 100), nn.ReLU(), nn.Linear(100, 1), nn.Flatten(0)
        )


class DomainAdversarialNetwork(nn.Module):
    """The three parts together; called, it gives class logits (N, K). The same seed
    gives the same weights.

    batch_norm, dropout and normalisation are what public versions of the network
    change; the defaults are the practical's. A feature extractor of your own takes
    pixels (N, *input_shape) to features (N, D), and the other parts have the width D;
    input_shape is its own or (3, 28, 28). Raises ValueError for one that fails on such
    pixels, gives no features (N, D), or has frozen weights alone. The trainings take
    any module of these three parts and num_classes.
    """

    def __init__(
        self,
        seed: int = 0,
        num_classes: int = 10,
        batch_norm: bool = False,
        dropout: float = 0.0,
        normalisation: nn.Module | None = None,
        *,
        feature_extractor: nn.Module | None = None,
        input_shape: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes)
        shape = (
            input_shape
            or getattr(feature_extractor, "input_shape", None)
            or (3, 28, 28)
        )
        self.input_shape, self.num_classes = shape, num_classes
        with drawn_from(seed):
            self.feature_extractor = feature_extractor or FeatureExtractor(
                normalisation, batch_norm, shape
            )
            num_features = _count_features(self.feature_extractor, shape)
            # `predict` is called with the extractor alone too.
            self.feature_extractor.input_shape = shape  # type: ignore[assignment]
            self.label_predictor = LabelPredictor(num_features, num_classes, dropout)
            self.domain_classifier = DomainClassifier(num_features)
        channels_last(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits (N, K) of pixels (N, 3, 28, 28) in [0, 1], or of those that the
        extractor takes.
        """
        return self.label_predictor(self.feature_extractor(pixels))


def _count_features(extractor: nn.Module, input_shape: tuple[int, ...]) -> int:
    features = run_once(
        extractor, torch.zeros(2, *input_shape), name="a feature extractor"
    )
    if not features.ndim == len(features) == 2:
        raise ValueError(
            f"expected a feature extractor that gives features (2, D), got {tuple(features.shape)}; end it in "
            "nn.Flatten()."
        )
    weights = [weight.requires_grad for weight in extractor.parameters()]
    if weights and not any(weights):
        raise ValueError(
            "expected a feature extractor to train, got one of frozen weights; call its requires_grad_(True)."
        )
    return features.shape[1]


class ImprovedNetwork(nn.Module):
    """A small residual network on instance-normalised pixels (N, 3, 28, 28); class
    logits (N, K); 0.92 M weights.

    Ten convolutions, six of them in residual blocks (He et al. 2016), the first at full
    resolution; instance norm takes contrast and tint of each picture away. A domain
    classifier besides, for `fit_dann`.
    """

    def __init__(self, seed: int = 0, num_classes: int = 10) -> None:
        super().__init__()
        self.num_classes = num_classes
        with drawn_from(seed):
            self.feature_extractor = nn.Sequential(
                nn.InstanceNorm2d(3), *_convolution(3, 32, 5, 1),
                *_convolution(32, 64, 3, 2), Residual(64),
                *_convolution(64, 96, 3, 2), Residual(96),
                *_convolution(96, 160, 3, 2), Residual(160),
                nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            )  # fmt: skip
            self.label_predictor = nn.Linear(160, num_classes)
            self.domain_classifier = DomainClassifier(160)
        channels_last(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits (N, K) of pixels (N, 3, 28, 28) in [0, 1]."""
        return self.label_predictor(self.feature_extractor(pixels))


class Residual(nn.Module):
    """ReLU of the maps (N, C, H, W) and of what two convolutions add to them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *_convolution(width, width, 3, 1), *_convolution(width, width, 3, 1)[:2]
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        return F.relu(maps + self.change(maps))


def _convolution(channels: int, width: int, size: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(
        channels, width, size, stride, padding=size // 2, bias=False
    )
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]
