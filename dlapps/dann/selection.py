"""Scores of an adapted network that need no target label: which epoch, which preset, which pseudo-labels to trust."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from torch import Tensor

from dlapps.core.metrics import as_features, as_tensor, entropy
from dlapps.core.paired import Interval, rank_correlation
from dlapps.core.runtime import make_generator


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


def mean_entropy(logits: ArrayLike) -> float:
    """Mean entropy in nats of predictions (N, K): low where a network is certain (Morerio et al. 2018)."""
    # A logit of minus infinity is a probability of 0, and 0 log 0 is 0.
    log_probabilities = _as_logits(logits).log_softmax(1).clamp(min=torch.finfo(torch.float32).min)
    return float(-(log_probabilities.exp() * log_probabilities).sum(1).mean())


def class_diversity(logits: ArrayLike, num_classes: int | None = None) -> float:
    """Entropy of the mean of predictions (N, K), in units of log K: 1 where all classes are equally frequent, near 0
    where nearly all pictures fall into one. num_classes: in place of K, where there are no more classes;
    above 1 where others than these are predicted too."""
    predictions = _as_logits(logits).softmax(1)
    return entropy(predictions.mean(0)) / math.log(max(2, num_classes or predictions.shape[1]))


def health(history: Mapping[str, Sequence[float]]) -> str:
    """What the last epoch of `fit_dann` shows without a target label, in one sentence that begins with a verdict.

    The source is not learnt (class loss above .5 nats); the domains are told apart (domain accuracy above .95: the
    features have kept apart what they should share); predictions on the target collapse (`class_diversity` below .8,
    where both domains have their classes about equally often); else partly aligned, or aligned from a domain accuracy
    of .75 down. Of the runs from MNIST to MNIST-M whose source is learnt, those above .95 classify at most 55 % of the
    target, those below .75 from 53 to 97 %. It cannot see whether classes were mixed up on the way: a target whose
    zeros are aligned with the source's ones looks as good as any.
    """
    names = ("class_loss", "domain_accuracy", "target_diversity")
    if not all(history.get(name) for name in names):
        raise ValueError(f"expected a history of fit_dann, got one of {', '.join(history) or 'nothing'}; pass that.")
    loss, accuracy, diversity = (history[name][-1] for name in names)
    numbers = (
        f"class loss {loss:.2f} on the source, domain accuracy {accuracy:.2f} (chance is 0.50), predictions on the "
        f"target {diversity:.0%} as diverse as equal classes"
    )
    if not loss < 0.5:
        return f"the source is not learnt: {numbers}; train longer, or at a lower reversal weight"
    if accuracy > 0.95:
        return f"the domains are told apart: {numbers}; raise the reversal weight, or make the domains more alike"
    if diversity < 0.8:
        return f"predictions on the target collapse: {numbers}; lower the reversal weight, or take another seed"
    state = "partly aligned" if accuracy > 0.75 else "aligned"
    return f"{state}: {numbers}; no target label was seen, so classes may still be mixed up"


def soft_neighbourhood_density(logits: ArrayLike, temperature: float = 0.05) -> float:
    """Mean entropy in nats of each prediction's similarities to the others, (N, K): high where classes are dense.

    Higher is better, up to log(N - 1) (Saito et al. 2021).
    """
    points = F.normalize(_as_logits(logits).softmax(1), dim=1)
    similarities = (points @ points.T / temperature).fill_diagonal_(-torch.inf)
    log_shares = similarities.log_softmax(1).fill_diagonal_(0)
    return float(-(log_shares.exp() * log_shares).fill_diagonal_(0).sum(1).mean())


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
    have, with the interval of `paired.rank_correlation`, which draws settings.
    """
    ended = [(setting, history) for setting, seeds in trainings.items() for history in seeds]
    groups = [setting for setting, _ in ended]
    reached = [history["target_accuracy"][-1] for _, history in ended]
    return {
        name: rank_correlation(reached, [sign * history[name][-1] for _, history in ended], groups)
        for name, sign in VALIDATORS.items()
        if all(name in history for _, history in ended)
    }


def proxy_a_distance(source: ArrayLike, target: ArrayLike, seed: int = 0, dimensions: int | None = None) -> float:
    """2 (1 - 2 error) of a linear SVM that tells features (N, D) of the domains apart, by 5-fold cross-validation.

    2: told apart without error; 0: not at all (Ben-David et al. 2007). More features make it easier; for networks
    of several widths, take as many dimensions of each: principal components of both domains' features together. Raises
    ValueError for features of two widths, not finite, or of fewer than five pictures of a domain.
    """
    both = as_features(source, target, least=5)
    features = torch.cat(both).float()
    if dimensions is not None:
        if not 1 <= dimensions <= min(features.shape):
            raise ValueError(
                f"expected from 1 to {min(features.shape)} dimensions, got {dimensions}; {tuple(features.shape)} "
                "features have no more."
            )
        features = torch.from_numpy(PCA(dimensions, svd_solver="full").fit_transform(features.numpy()))
    features = (features - features.mean(0)) / features.std(0).clamp_min(1e-6)
    order = torch.randperm(len(features), generator=make_generator(seed))
    domains = (order >= len(both[0])).long()
    # Both domains count alike, whatever their numbers: else an SVM that always answers the larger would be right often.
    svm = LinearSVC(C=1e-3, class_weight="balanced", random_state=seed)
    right = cross_val_score(svm, features[order].numpy(), domains.numpy(), scoring="balanced_accuracy")
    error = 1 - right.mean()
    return float(2 * (1 - 2 * error))
