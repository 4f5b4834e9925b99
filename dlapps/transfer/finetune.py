"""A new last layer, trained with or without the layers before it.

`fit_classifier` trains any parts of a classifier.
"""

from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps.core import training
from dlapps.core.arrays import as_tensor
from dlapps.core.classifier import as_floats, fit_classifier
from dlapps.core.runtime import make_generator
from dlapps.core.training import predict

__all__ = ["NewHead", "accuracy", "batched_logits", "fit_classifier"]

# Of the logits of `NewHead`, whose features have length 1.
SCALE = 10


class NewHead(nn.Module):
    """A new last layer on feature maps: average, L2-normalise, scale, score classes.

    The normalisation, which a linear SVM uses too, makes the learning rates independent
    of the network; the scale allows the softmax to be confident.
    """

    def __init__(self, num_features: int, num_classes: int, seed: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_features, num_classes)
        nn.init.normal_(self.linear.weight, std=0.01, generator=make_generator(seed))
        nn.init.zeros_(self.linear.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits (N, K) of feature maps (N, C, H, W) or vectors (N, C)."""
        vectors = maps.float().mean((2, 3)) if maps.ndim == 4 else maps
        return self.linear(F.normalize(vectors, dim=1) * SCALE)


def batched_logits(network: nn.Module, inputs: ArrayLike) -> Tensor:
    """Return the logits (N, K) float32 of a network in eval mode, batch by batch.

    inputs: as `fit_classifier` takes them. The network keeps its mode.
    """
    return predict(network, as_tensor(inputs), batch_size=64, prepare=as_floats)


def accuracy(network: nn.Module, inputs: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of inputs (N, ...) whose highest score is their label's."""
    return training.accuracy(batched_logits(network, inputs), labels)
