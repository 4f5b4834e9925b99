"""The networks of domain-adversarial training.

That of Ganin et al. (2016) has a feature extractor, a label predictor and a domain
classifier; the recipe that adapts better has a larger one. They take pixels (N, 3, 28,
28) float32 in [0, 1] and standardise them themselves. Domain labels are 0 for the
source and 1 for the target.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.runtime import channels_last, drawn_from

# Mean and standard deviation of MNIST's training pixels, used for both domains.
MNIST_MEAN = 0.1307
MNIST_STD = 0.3081


class GradientReversal(torch.autograd.Function):
    """The gradient reversal layer R of Ganin et al. (2016), with the weight lambda.

        forward:   R(x) = x
        backward:  dR/dx = -lambda I

    No function has this value and this derivative. The layer pretends to be one, so
    that a step down the domain loss after it is a step up for the features before it.
    With lambda = 0 no gradient passes; with lambda = -1 the layer does nothing.

    Call it as `GradientReversal.apply(features, weight)`.
    """

    @staticmethod
    def forward(context: Any, features: Tensor, weight: float) -> Tensor:
        """Return the features as they are."""
        context.weight = weight
        return features.view_as(features)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return -weight times the gradient, and none for the weight itself."""
        return -context.weight * gradient, None


def reversal_schedule(slope: float) -> Callable[[float], float]:
    """Return the schedule of the reversal weight in Ganin et al. (2016).

    It is a function of the training's progress p in [0, 1]:

        lambda(p) = 2 / (1 + exp(-slope p)) - 1

    It starts at 0. With the paper's slope of 10 it ends near 1.
    """

    def weight(progress: float) -> float:
        return 2 / (1 + math.exp(-slope * progress)) - 1

    return weight


class Standardise(nn.Module):
    """(pixels - MNIST_MEAN) / MNIST_STD, in all channels."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Return standardised pixels of the same shape."""
        return (pixels - MNIST_MEAN) / MNIST_STD


class FeatureExtractor(nn.Sequential):
    """Pixels (N, 3, 28, 28) to features (N, 2352).

    normalisation: the first layer, `Standardise` by default.
    """

    def __init__(self, normalisation: nn.Module | None = None) -> None:
        if normalisation is None:
            normalisation = Standardise()
        super().__init__(
            normalisation,                          # (N, 3, 28, 28)
            nn.Conv2d(3, 32, 5, padding=2),         # (N, 32, 28, 28)
            nn.ReLU(),
            nn.MaxPool2d(2),                        # (N, 32, 14, 14)
            nn.Conv2d(32, 48, 5, padding=2),        # (N, 48, 14, 14)
            nn.ReLU(),
            nn.MaxPool2d(2),                        # (N, 48, 7, 7)
            nn.Flatten(),                           # (N, 2352)
        )  # fmt: skip


class LabelPredictor(nn.Sequential):
    """Features (N, D) to class logits (N, K)."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(
            nn.Linear(num_features, 100),    # (N, 100)
            nn.ReLU(),
            nn.Linear(100, 100),             # (N, 100)
            nn.ReLU(),
            nn.Linear(100, num_classes),     # (N, K)
        )  # fmt: skip


class DomainClassifier(nn.Sequential):
    """Features (N, D) to domain logits (N,), positive for the target."""

    def __init__(self, num_features: int) -> None:
        super().__init__(
            nn.Linear(num_features, 100),    # (N, 100)
            nn.ReLU(),
            nn.Linear(100, 1),               # (N, 1)
            nn.Flatten(0),                   # (N,)
        )  # fmt: skip


class DomainAdversarialNetwork(nn.Module):
    """A feature extractor, a label predictor and a domain classifier.

    The same seed gives the same weights. The network returns the class logits (N, K) of
    pixels (N, 3, 28, 28). Trainings take any module with these three parts and
    num_classes.
    """

    def __init__(
        self,
        seed: int = 0,
        num_classes: int = 10,
        normalisation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        with drawn_from(seed):
            self.feature_extractor = FeatureExtractor(normalisation)
            self.label_predictor = LabelPredictor(2352, num_classes)
            self.domain_classifier = DomainClassifier(2352)
        channels_last(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the class logits (N, K) of pixels (N, 3, 28, 28) in [0, 1]."""
        return self.label_predictor(self.feature_extractor(pixels))


class ImprovedNetwork(nn.Module):
    """A residual network from pixels (N, 3, 28, 28) in [0, 1] to class logits (N, 10).

    It has ten convolutions, in residual blocks (He et al. 2016), and 0.92 M weights.
    Instance norm removes the contrast and the tint of each picture; the first
    convolution works at full resolution. The domain classifier is for `fit_dann`.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.num_classes = 10
        # The numbers in a convolution are its channels, kernel, stride and padding.
        with drawn_from(seed):
            self.feature_extractor = nn.Sequential(
                nn.InstanceNorm2d(3),                       # (N, 3, 28, 28)
                nn.Conv2d(3, 32, 5, 1, 2, bias=False),      # (N, 32, 28, 28)
                nn.BatchNorm2d(32),
                nn.ReLU(),
                nn.Conv2d(32, 64, 3, 2, 1, bias=False),     # (N, 64, 14, 14)
                nn.BatchNorm2d(64),
                nn.ReLU(),
                Residual(64),                               # (N, 64, 14, 14)
                nn.Conv2d(64, 96, 3, 2, 1, bias=False),     # (N, 96, 7, 7)
                nn.BatchNorm2d(96),
                nn.ReLU(),
                Residual(96),                               # (N, 96, 7, 7)
                nn.Conv2d(96, 160, 3, 2, 1, bias=False),    # (N, 160, 4, 4)
                nn.BatchNorm2d(160),
                nn.ReLU(),
                Residual(160),                              # (N, 160, 4, 4)
                nn.AdaptiveAvgPool2d(1),                    # (N, 160, 1, 1)
                nn.Flatten(),                               # (N, 160)
            )  # fmt: skip
            self.label_predictor = nn.Linear(160, 10)
            self.domain_classifier = DomainClassifier(160)
        channels_last(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the class logits (N, 10) of pixels (N, 3, 28, 28) in [0, 1]."""
        return self.label_predictor(self.feature_extractor(pixels))


class Residual(nn.Module):
    """ReLU(x + f(x)) of maps x (N, C, H, W), with f two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        return F.relu(maps + self.change(maps))
