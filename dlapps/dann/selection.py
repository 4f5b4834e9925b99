"""Scores of an adapted network that need no target label: which epoch, which preset, which pseudo-labels to trust."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps.core.intervals import Interval, rank_correlation
from dlapps.core.metrics import as_tensor, entropy


@dataclass(frozen=True)
class PseudoLabels:
    """The pictures that a network is confident about: rows (M,) int64, their labels (M,), its confidence (M,)."""

    rows: Tensor
    labels: Tensor
    confidence: Tensor


def pseudo_label(logits: ArrayLike, threshold: float = 0.9) -> PseudoLabels:
    """The predicted classes of logits (N, K) whose probability is at least the threshold in [0, 1]; 0 takes all."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected a threshold in [0, 1], got {threshold}; it is a probability.")
    confidence, labels = _as_logits(logits).softmax(1).max(1)
    (rows,) = torch.where(confidence >= threshold)
    return PseudoLabels(rows, labels[rows], confidence[rows])


def _as_logits(logits: ArrayLike) -> Tensor:
    """Logits (N, K) float32, some of which may be minus infinity; ValueError for others that are not finite."""
    found = as_tensor(logits).float()
    if found.ndim != 2 or not found.numel():
        raise ValueError(f"expected logits (N, K), got {tuple(found.shape)}; pass one row a picture.")
    # NaN is the highest of its row.
    if wrong := int((~found.amax(1).isfinite()).sum()):
        raise ValueError(
            f"expected logits whose highest is finite, got NaN or infinity in {wrong} of {len(found)} rows; check the "
            "network and its input."
        )
    return found


def class_diversity(logits: ArrayLike, num_classes: int | None = None) -> float:
    """Entropy of the mean of predictions (N, K), in units of log K: 1 where all classes are equally frequent, near 0
    where nearly all pictures fall into one. num_classes: in place of K, where there are no more classes;
    above 1 where others than these are predicted too."""
    predictions = _as_logits(logits).softmax(1)
    return entropy(predictions.mean(0)) / math.log(max(2, num_classes or predictions.shape[1]))


# Scores of a history that need no target label; whether a high one (1) or a low one (-1) is taken for the better.
VALIDATORS = {"entropy": -1, "density": 1, "source_accuracy": 1, "stand_in_accuracy": 1}


def choose_epoch(history: Mapping[str, Sequence[float]], criterion: str) -> int:
    """The epoch (from 0) that a criterion prefers: "last", or one of VALIDATORS, the lowest "entropy" for example.

    "oracle" is the highest "target_accuracy": it looks at target labels, and says only how far the others are from it.
    An epoch whose score is NaN is passed over; ValueError where all are.
    """
    if not any(map(len, history.values())):
        raise ValueError("expected a history of one epoch or more, got an empty one; train first.")
    if criterion == "last":
        return len(next(iter(history.values()))) - 1
    name, sign = ("target_accuracy", 1) if criterion == "oracle" else (criterion, VALIDATORS.get(criterion))
    if sign is None:
        raise ValueError(f"expected last, oracle, {', '.join(VALIDATORS)}, got {criterion!r}; choose one of them.")
    if name not in history:
        raise ValueError(f"expected a history with {name}, got {', '.join(history)}; have a monitor measure it.")
    scores = sign * np.asarray(history[name], float)
    if np.isnan(scores).all():
        raise ValueError(f"expected an epoch with {name}, got NaN in all {len(scores)}; train anew at a lower rate.")
    return int(np.nanargmax(scores))


def rank_validators(trainings: Mapping[str, Sequence[Mapping[str, Sequence[float]]]]) -> dict[str, Interval]:
    """How well validators, after the last epoch, rank trainings by their accuracy on the target.

    trainings: setting -> the histories of its seeds. Spearman's correlation of each of VALIDATORS that all histories
    have, with the interval of `intervals.rank_correlation`, which draws settings.
    """
    ended = [(setting, history) for setting, seeds in trainings.items() for history in seeds]
    groups = [setting for setting, _ in ended]
    reached = [history["target_accuracy"][-1] for _, history in ended]
    return {
        name: rank_correlation(reached, [sign * history[name][-1] for _, history in ended], groups)
        for name, sign in VALIDATORS.items()
        if all(name in history for _, history in ended)
    }
