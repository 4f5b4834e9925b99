"""What Chapter 3's studies measure: readings by several views, domains told apart."""

import numpy as np
import torch
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from dlapps import dann
from dlapps.core.runtime import make_generator
from dlapps.core.training import accuracy


def shifted_accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The accuracy of mean probabilities over a picture and its four shifts by a pixel.

    What a shift uncovers repeats the border. images: uint8 (N, H, W, 3).
    """
    height, width = images.shape[1:3]
    padded = np.pad(images.numpy(), ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    total = torch.zeros(())
    for top, left in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):
        view = padded[:, top : top + height, left : left + width]
        total = total + dann.predict(network, view).softmax(1)
    return accuracy(total, labels)


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
