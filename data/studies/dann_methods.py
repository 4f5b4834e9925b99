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


def proxy_a_distance(source: Tensor, target: Tensor) -> float:
    """2 (1 - 2 error) of a linear SVM that classifies features (N, D) by domain.

    The error is that of 5-fold cross-validation (Ben-David et al. 2007), on as many
    features of both domains. 2: it makes no error; 0: it guesses.
    """
    features = torch.cat([source, target])
    features = (features - features.mean(0)) / features.std(0).clamp_min(1e-6)
    order = torch.randperm(len(features), generator=make_generator(0))
    domains = (order >= len(source)).long()
    svm = LinearSVC(C=1e-3, random_state=0)
    accuracies = cross_val_score(svm, features[order].numpy(), domains.numpy())
    error = 1 - accuracies.mean()
    return float(2 * (1 - 2 * error))
