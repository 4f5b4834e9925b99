"""Linear classifiers on features: C and fusion weights chosen by cross-validation, never on test pictures."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

# X_train (N, D), y_train (N,), X_test (M, D), y_test (M,): float features and integer classes from 0.
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ChosenSVM:
    """A linear SVM whose C was chosen by cross-validation: accuracies for each C, and of the chosen one."""

    costs: tuple[float, ...]
    cv_accuracies: tuple[float, ...]
    cost: float
    cv_accuracy: float
    test_accuracy: float


@dataclass(frozen=True)
class Scores:
    """Class scores by a classifier that has not seen the example.

    out_of_fold: (R, N, K), of the training examples, in R repeats of cross-validation; test: (M, K).
    """

    out_of_fold: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Fusion:
    """A weighted sum of several classifiers' scores, its weights chosen on the out-of-fold scores; test: (M, K)."""

    weights: dict[str, float]
    cv_accuracy: float
    test: np.ndarray


def make_folds(num_folds: int = 5, repeat: int = 0) -> StratifiedKFold:
    """Folds of the training examples, the same at each call; another repeat, another shuffle."""
    return StratifiedKFold(num_folds, shuffle=True, random_state=repeat)


def choose_per_class(labels: ArrayLike, number: int, seed: int) -> np.ndarray:
    """Rows of `number` random examples of each class."""
    labels, random = np.asarray(labels), np.random.default_rng(seed)
    return np.concatenate([random.permutation(np.flatnonzero(labels == label))[:number] for label in np.unique(labels)])


def choose_svm(split: Split, costs: Sequence[float], num_folds: int = 5) -> ChosenSVM:
    """Fit one-against-all linear SVMs (squared hinge, Fan et al. 2008) for each C; the best one reads the test part."""
    X, y, X_test, y_test = split
    search = GridSearchCV(LinearSVC(random_state=0), {"C": list(costs)}, cv=make_folds(num_folds), n_jobs=-1).fit(X, y)
    accuracies = tuple(float(score) for score in search.cv_results_["mean_test_score"])
    test_accuracy = float(search.score(X_test, y_test))
    return ChosenSVM(tuple(costs), accuracies, search.best_params_["C"], float(search.best_score_), test_accuracy)


def svm_scores(split: Split, num_folds: int = 5, num_repeats: int = 3) -> Scores:
    """Decision values of linear SVMs with C = 1. Repeats make the choices that rest on them less a matter of chance."""
    X, y, X_test, _ = split
    svm = LinearSVC(random_state=0)
    out_of_fold = [
        cross_val_predict(svm, X, y, cv=make_folds(num_folds, repeat), method="decision_function", n_jobs=-1)
        for repeat in range(num_repeats)
    ]
    return Scores(np.stack(out_of_fold), svm.fit(X, y).decision_function(X_test))


def choose_fusion(scores: Mapping[str, Scores], grid: Mapping[str, Sequence[float]], labels: ArrayLike) -> Fusion:
    """The weights of the grid whose sum of out-of-fold scores is right most often on the training labels (N,).

    Where one classifier has a single repeat, it is added to each of the others'. Raises ValueError when scores and grid
    do not name the same classifiers.
    """
    if set(scores) != set(grid):
        raise ValueError(f"expected weights for {', '.join(scores)}, got {', '.join(grid)}; name the same classifiers.")
    candidates = [dict(zip(grid, weights, strict=True)) for weights in itertools.product(*grid.values())]
    accuracies = []
    for weights in candidates:
        summed = _weighted_sum(weights, {name: scores[name].out_of_fold for name in scores})
        accuracies.append(float((summed.argmax(2) == np.asarray(labels)).mean()))
    best = candidates[int(np.argmax(accuracies))]
    return Fusion(best, max(accuracies), _weighted_sum(best, {name: scores[name].test for name in scores}))


def _weighted_sum(weights: Mapping[str, float], scores: Mapping[str, np.ndarray]) -> np.ndarray:
    return functools.reduce(np.add, (weight * scores[name] for name, weight in weights.items()))


def reduce_and_fit(split: Split, num_dimensions: int) -> tuple[float, float]:
    """PCA and a linear SVM (C = 1): test accuracy, and the seconds to fit both and to read the test part.

    The least of three timings: what other processes do only adds to it.
    """
    X, y, X_test, y_test = split
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        pipeline = make_pipeline(PCA(num_dimensions, random_state=0), LinearSVC(random_state=0)).fit(X, y)
        accuracy = float(pipeline.score(X_test, y_test))
        seconds.append(time.perf_counter() - start)
    return accuracy, min(seconds)


def confused_pairs(matrix: ArrayLike, number: int) -> list[tuple[int, int, int]]:
    """The pairs of classes most often taken for each other, either way: (class, class, count) from the worst on."""
    matrix = np.asarray(matrix)
    both = np.triu(matrix + matrix.T, k=1)
    order = np.argsort(-both, axis=None, kind="stable")[:number]
    pairs = (np.unravel_index(index, both.shape) for index in order)
    return [(int(first), int(second), int(both[first, second])) for first, second in pairs]
