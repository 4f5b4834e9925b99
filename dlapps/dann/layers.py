"""The domain-adversarial network of Ganin et al. (JMLR 2016), to the layer as the practical has it, or of other parts.

The practical's takes RGB pixels (N, 3, 28, 28) float32 in [0, 1] and standardises them itself. Domain labels: source 0,
target 1.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.core.runtime import channels_last, drawn_from, run_once

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
    # A checkpoint sees what `partial` binds.
    return functools.partial(_rise, slope)


def _rise(slope: float, progress: float) -> float:
    return 2 / (1 + math.exp(-slope * progress)) - 1


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
    """Two convolutions of 32 and 48 filters, 5 x 5, each with ReLU and a pooling by 2: (N, 3, 28, 28) to (N, 2352).

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

    def __init__(self, num_features: int = 2352, num_classes: int = 10, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Linear(num_features, 100), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(100, 100), nn.ReLU(), nn.Dropout(dropout), nn.Linear(100, num_classes),
        )  # fmt: skip


class DomainClassifier(nn.Sequential):
    """Features (N, D) to one logit (N,), positive for the target, by way of 100 units."""

    def __init__(self, num_features: int = 2352) -> None:
        super().__init__(nn.Linear(num_features, 100), nn.ReLU(), nn.Linear(100, 1), nn.Flatten(0))


class DomainAdversarialNetwork(nn.Module):
    """The three parts together; called, it gives class logits (N, K). The same seed gives the same weights.

    batch_norm, dropout and normalisation are what public versions of the network change; the defaults are the
    practical's. Parts of your own take the place of the practical's, which fit the width D of the features: an
    extractor of pixels (N, *input_shape) to features (N, D), input_shape by default its own or (3, 28, 28); a label
    predictor of these to logits (N, K), whose K is then num_classes; a domain classifier to one logit, positive for the
    target. Raises ValueError for parts that do not fit together, and for an extractor whose weights are all frozen.
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
        label_predictor: nn.Module | None = None,
        domain_classifier: nn.Module | None = None,
        input_shape: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes)
        shape = input_shape or getattr(feature_extractor, "input_shape", None) or (3, 28, 28)
        with drawn_from(seed):
            self.input_shape = shape
            self.feature_extractor = feature_extractor or FeatureExtractor(normalisation, batch_norm, shape)
            features = _try(self.feature_extractor, torch.zeros(2, *shape), "a feature extractor")
            # `dann.predict` is called with the extractor alone too.
            self.feature_extractor.input_shape = shape  # type: ignore[assignment]
            weights = [*self.feature_extractor.parameters()]
            if weights and not any(weight.requires_grad for weight in weights):
                raise ValueError(
                    "expected a feature extractor to train, got one of frozen weights; call its requires_grad_(True)."
                )
            num_features = features.shape[1]
            self.label_predictor = label_predictor or LabelPredictor(num_features, num_classes, dropout)
            self.num_classes = _try(self.label_predictor, features, "a label predictor").shape[1]
            self.domain_classifier = domain_classifier or DomainClassifier(num_features)
            _try(self.domain_classifier, features, "a domain classifier", "a logit each (2,)")
        channels_last(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits (N, K) of pixels (N, 3, 28, 28) in [0, 1], or of those that the extractor takes."""
        return self.label_predictor(self.feature_extractor(pixels))


def _try(part: nn.Module, inputs: Tensor, name: str, outputs: str = "rows (2, D)") -> Tensor:
    """What a part makes of two inputs; ValueError unless these are rows, or one logit each."""
    rows = run_once(part, inputs, name=name)
    if not (rows.numel() == 2 if "logit" in outputs else rows.ndim == len(rows) == 2):
        raise ValueError(f"expected {name} that gives {outputs}, got {tuple(rows.shape)}; end it in other layers.")
    return rows
