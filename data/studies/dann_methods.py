"""What Chapter 3's studies measure: readings by several views, domains told apart."""

import torch
import torch.nn.functional as F
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from dlapps import dann
from dlapps.core.runtime import make_generator


class Shifted(nn.Module):
    """Mean probabilities of a network over a picture and its four shifts by a pixel.

    Called with pixels (N, C, H, W), it gives these (N, K). What a shift uncovers
    repeats the border.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Probabilities (N, K)."""
        height, width = pixels.shape[2:]
        padded = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
        probabilities = []
        for top, left in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):
            view = padded[:, :, top : top + height, left : left + width]
            probabilities.append(self.network(view).float().softmax(1))
        return torch.stack(probabilities).mean(0)


def domains_apart(network: nn.Module, source: Tensor, target: Tensor) -> float:
    """`proxy_a_distance` of the features of pictures uint8 of both domains."""
    extract = network.get_submodule("feature_extractor")
    return proxy_a_distance(
        dann.predict(extract, source), dann.predict(extract, target)
    )


def proxy_a_distance(source: Tensor, target: Tensor) -> float:
    """2 (1 - 2 error) of a linear SVM that classifies features (N, D) by domain.

    The error is that of 5-fold cross-validation (Ben-David et al. 2007). 2: it makes no
    error; 0: it guesses. More features make it easier.
    """
    features = torch.cat([source, target])
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
