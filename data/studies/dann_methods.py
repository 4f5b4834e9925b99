"""How Chapter 3's studies measure whether two domains can be told apart."""

import torch
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from torch import Tensor

from dlapps.core.runtime import make_generator


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
