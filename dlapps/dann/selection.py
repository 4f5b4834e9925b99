"""Scores of an adapted network that need no target label: which epoch, which preset, which pseudo-labels to trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from torch import Tensor

from dlapps.runtime import make_generator


@dataclass(frozen=True)
class PseudoLabels:
    """The pictures that a network is confident about: rows (M,) int64, their labels (M,), its confidence (M,)."""

    rows: Tensor
    labels: Tensor
    confidence: Tensor


def pseudo_label(logits: Tensor, threshold: float = 0.9) -> PseudoLabels:
    """The predicted classes of logits (N, K) whose probability is at least the threshold in [0, 1]; 0 takes all."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected a threshold in [0, 1], got {threshold}; it is a probability.")
    confidence, labels = logits.float().softmax(1).max(1)
    (rows,) = torch.where(confidence >= threshold)
    return PseudoLabels(rows, labels[rows], confidence[rows])


def mean_entropy(logits: Tensor) -> float:
    """Mean entropy in nats of predictions (N, K): low where a network is certain (Morerio et al. 2018)."""
    log_probabilities = logits.float().log_softmax(1)
    return float(-(log_probabilities.exp() * log_probabilities).sum(1).mean())


def soft_neighbourhood_density(logits: Tensor, temperature: float = 0.05) -> float:
    """Mean entropy in nats of each prediction's similarities to the others, (N, K): high where classes are dense.

    Higher is better, up to log(N - 1) (Saito et al. 2021).
    """
    points = F.normalize(logits.float().softmax(1), dim=1)
    similarities = (points @ points.T / temperature).fill_diagonal_(-torch.inf)
    log_shares = similarities.log_softmax(1).fill_diagonal_(0)
    return float(-(log_shares.exp() * log_shares).fill_diagonal_(0).sum(1).mean())


def choose_epoch(history: Mapping[str, Sequence[float]], criterion: str) -> int:
    """The epoch (from 0) that a criterion prefers: "last", the lowest "entropy" or the highest "density".

    "oracle" is the highest "target_accuracy": it looks at target labels, and says only how far the others are from it.
    """
    if criterion == "last":
        return len(next(iter(history.values()))) - 1
    if criterion == "entropy":
        return int(np.argmin(history["entropy"]))
    names = {"density": "density", "oracle": "target_accuracy"}
    if criterion not in names:
        raise ValueError(f"expected last, entropy, density or oracle, got {criterion!r}; choose one of them.")
    return int(np.argmax(history[names[criterion]]))


def proxy_a_distance(source: Tensor, target: Tensor, seed: int = 0) -> float:
    """2 (1 - 2 error) of a linear SVM that tells features (N, D) of the domains apart, by 5-fold cross-validation.

    2: told apart without error; 0: not at all (Ben-David et al. 2007).
    """
    features = torch.cat([source, target]).float()
    features = (features - features.mean(0)) / features.std(0).clamp_min(1e-6)
    order = torch.randperm(len(features), generator=make_generator(seed))
    domains = (order >= len(source)).long()
    svm = LinearSVC(C=1e-3, random_state=seed)
    error = 1 - cross_val_score(svm, features[order].numpy(), domains.numpy()).mean()
    return float(2 * (1 - 2 * error))
