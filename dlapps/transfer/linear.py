"""Linear classifiers on features: C and fusion weights chosen by cross-validation,
never on test pictures.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.svm import LinearSVC

from dlapps.core.training import as_labels

# X_train (N, D), y_train (N,), X_test (M, D), y_test (M,): float features and integer
# classes from 0.
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
# Training pictures of each class in a random split.
PER_CLASS = 100


@dataclass(frozen=True)
class ChosenSVM:
    """A linear SVM whose C was chosen by cross-validation: accuracies for each C, and
    of the chosen one.

    test_right: whether it names the class of each test example, booleans (M,).
    """

    costs: tuple[float, ...]
    cv_accuracies: tuple[float, ...]
    cost: float
    cv_accuracy: float
    test_accuracy: float
    test_right: np.ndarray


@dataclass(frozen=True)
class Scores:
    """Class scores by a classifier that has not seen the example: of the training
    examples (N, K), of others (M, K).
    """

    out_of_fold: np.ndarray
    test: np.ndarray

    def right(self, labels: ArrayLike) -> np.ndarray:
        """Whether the highest score of each test example is its label's, booleans (M,)."""
        return self.test.argmax(1) == as_labels(labels, *self.test.shape).numpy()


@dataclass(frozen=True)
class Fusion(Scores):
    """A weighted sum of several classifiers' scores; loss: its cross-entropy out of
    fold, which chose the weights.
    """

    weights: dict[str, float]
    loss: float

    def sum(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """The weighted sum of other scores, arrays of one shape for each of the
        classifiers (others are ignored).
        """
        return _weighted_sum(self.weights, scores)


def make_folds(num_folds: int = 5, seed: int = 0) -> StratifiedKFold:
    """Folds of the training examples, shuffled, the same at each call with that seed."""
    return StratifiedKFold(num_folds, shuffle=True, random_state=seed)


def choose_per_class(labels: ArrayLike, number: int, seed: int) -> np.ndarray:
    """Rows of `number` random examples of each class; labels are whole numbers (N,)."""
    labels, random = (
        as_labels(labels, len(np.asarray(labels))).numpy(),
        np.random.default_rng(seed),
    )
    classes = (np.flatnonzero(labels == label) for label in np.unique(labels))
    return np.concatenate([random.permutation(rows)[:number] for rows in classes])


def random_splits(
    labels: ArrayLike, number: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to train on, PER_CLASS random ones of each class, and all others (protocol
    of Lazebnik et al. 2006).
    """
    for seed in range(number):
        rows = choose_per_class(labels, PER_CLASS, seed)
        yield rows, np.setdiff1d(np.arange(len(np.asarray(labels))), rows)


def choose_svm(
    split: Split, costs: Sequence[float], num_folds: int = 5, seed: int = 0
) -> ChosenSVM:
    """Fit one-against-all linear SVMs (squared hinge, Fan et al. 2008) for each C; the
    best one reads the test part.
    """
    X, y, X_test, y_test = _checked(split)
    folds = make_folds(num_folds, seed)
    search = GridSearchCV(
        LinearSVC(random_state=seed), {"C": list(costs)}, cv=folds
    ).fit(X, y)
    accuracies = tuple(float(score) for score in search.cv_results_["mean_test_score"])
    right = search.predict(X_test) == y_test
    cost, best = search.best_params_["C"], float(search.best_score_)
    return ChosenSVM(tuple(costs), accuracies, cost, best, float(right.mean()), right)


def svm_scores(split: Split, cost: float, num_folds: int = 5, seed: int = 0) -> Scores:
    """Decision values of linear SVMs: of each training example by one that has not seen
    it, and of the test part.
    """
    X, y, X_test, _ = _checked(split)
    svm, folds = LinearSVC(C=cost, random_state=seed), make_folds(num_folds, seed)
    out_of_fold = cross_val_predict(svm, X, y, cv=folds, method="decision_function")
    return Scores(
        _per_class(out_of_fold), _per_class(svm.fit(X, y).decision_function(X_test))
    )


def random_split_scores(
    split: Split, cost: float, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Decision values (S, M, K) and labels (S, M) of the test parts of S
    `random_splits` of both parts together.
    """
    X_train, y_train, X_test, y_test = _checked(split)
    X, y = np.concatenate([X_train, X_test]), np.concatenate([y_train, y_test])
    svm, scores, labels = LinearSVC(C=cost, random_state=0), [], []
    for rows, others in random_splits(y, number):
        scores.append(
            _per_class(svm.fit(X[rows], y[rows]).decision_function(X[others]))
        )
        labels.append(y[others])
    return np.stack(scores), np.stack(labels)


def _checked(split: Split) -> Split:
    """The split, its labels int64; ValueError for others than whole numbers, or of
    another number.
    """
    X, y, X_test, y_test = split
    return (
        X,
        as_labels(y, len(X)).numpy(),
        X_test,
        as_labels(y_test, len(X_test)).numpy(),
    )


def _per_class(decisions: np.ndarray) -> np.ndarray:
    """Scores (N, K); of two classes scikit-learn gives (N,), those of the second."""
    return decisions if decisions.ndim == 2 else np.stack([-decisions, decisions], 1)


def choose_fusion(scores: Mapping[str, Scores], labels: ArrayLike) -> Fusion:
    """Stacking (Wolpert 1992): weights for which the summed scores, as logits, explain
    the training labels (N,) best.

    They minimise the cross-entropy of the softmax of the sum of out-of-fold scores and
    are not negative (Breiman 1996). The cross-entropy and not the accuracy, which jumps
    by whole examples and says little of close decisions. Labels are those in [0, K), in
    the order of the columns; ValueError for others.
    """
    parts = np.stack(
        [part.out_of_fold for part in scores.values()]
    )  # (classifiers, N, K)
    truths = np.arange(parts.shape[1]), as_labels(labels, *parts.shape[1:]).numpy()

    def cross_entropy(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = log_softmax(np.tensordot(weights, parts, 1), axis=1)
        residual = np.exp(logits)
        residual[truths] -= 1
        return -float(logits[truths].mean()), (parts * residual).sum((1, 2)) / len(
            logits
        )

    found = minimize(
        cross_entropy, np.ones(len(parts)), jac=True, bounds=[(0, None)] * len(parts)
    )
    weights = {
        name: float(weight) for name, weight in zip(scores, found.x, strict=True)
    }
    out_of_fold = _weighted_sum(
        weights, {name: part.out_of_fold for name, part in scores.items()}
    )
    test = _weighted_sum(weights, {name: part.test for name, part in scores.items()})
    return Fusion(out_of_fold, test, weights, float(found.fun))


def _weighted_sum(
    weights: Mapping[str, float], scores: Mapping[str, np.ndarray]
) -> np.ndarray:
    return functools.reduce(
        np.add, (weight * scores[name] for name, weight in weights.items())
    )


def confused_pairs(matrix: ArrayLike, number: int) -> list[tuple[int, int, int]]:
    """The pairs of classes most often taken for each other, either way: (class, class,
    count) from the worst on.
    """
    matrix = np.asarray(matrix)
    both = np.triu(matrix + matrix.T, k=1)
    order = np.argsort(-both, axis=None, kind="stable")[:number]
    pairs = (np.unravel_index(index, both.shape) for index in order)
    return [
        (int(first), int(second), int(both[first, second])) for first, second in pairs
    ]
