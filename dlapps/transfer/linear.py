"""Linear classifiers on features.

C and the weights of a fusion are chosen by cross-validation on the training part, never
on test pictures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.svm import LinearSVC

from dlapps.core.arrays import as_labels

# X_train (N, D), y_train (N,), X_test (M, D), y_test (M,): float features and integer
# classes from 0.
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
# Training pictures of each class in a random split.
PER_CLASS = 100


@dataclass(frozen=True)
class ChosenSVM:
    """A linear SVM whose C was chosen by cross-validation.

    costs: the values of C that were tried.
    cv_accuracies: one for each of the costs.
    cost, cv_accuracy, test_accuracy: of the chosen SVM.
    test_right: bool (M,), whether it names the class of each test example.
    """

    costs: tuple[float, ...]
    cv_accuracies: tuple[float, ...]
    cost: float
    cv_accuracy: float
    test_accuracy: float
    test_right: np.ndarray


@dataclass(frozen=True)
class Scores:
    """Class scores by classifiers that have not seen the example.

    out_of_fold: (N, K), of the training examples.
    test: (M, K), of the test examples.
    """

    out_of_fold: np.ndarray
    test: np.ndarray

    def right(self, labels: ArrayLike) -> np.ndarray:
        """Return bool (M,): whether the highest test score is that of the label."""
        num_examples, num_classes = self.test.shape
        labels = as_labels(labels, num_examples, num_classes).numpy()
        return self.test.argmax(axis=1) == labels


@dataclass(frozen=True)
class Fusion(Scores):
    """A weighted sum of the scores of several classifiers.

    weights: by the name of the classifier.
    loss: the cross-entropy of the out-of-fold sum, which the weights minimise.
    """

    weights: dict[str, float]
    loss: float

    def sum(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """Sum other scores of these classifiers with the weights.

        scores: arrays of one shape by classifier; those of others are ignored.
        """
        return _weighted_sum(self.weights, scores)


def make_folds(num_folds: int = 5, seed: int = 0) -> StratifiedKFold:
    """Return shuffled folds, which are the same at each call with that seed."""
    return StratifiedKFold(num_folds, shuffle=True, random_state=seed)


def choose_per_class(labels: ArrayLike, number: int, seed: int) -> np.ndarray:
    """Choose the rows of `number` random examples of each class.

    labels: whole numbers (N,).
    """
    labels = as_labels(labels, len(np.asarray(labels))).numpy()
    random = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        chosen.append(random.permutation(rows)[:number])
    return np.concatenate(chosen)


def random_splits(
    labels: ArrayLike, number: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows to train on, PER_CLASS random ones of each class, and all others.

    This is the protocol of Lazebnik et al. 2006.
    """
    all_rows = np.arange(len(np.asarray(labels)))
    for seed in range(number):
        rows = choose_per_class(labels, PER_CLASS, seed)
        yield rows, np.setdiff1d(all_rows, rows)


def choose_svm(
    split: Split, costs: Sequence[float], num_folds: int = 5, seed: int = 0
) -> ChosenSVM:
    """Choose C by cross-validation on the training part, and test the best SVM.

    There is a linear SVM with squared hinge loss for each class against all others (Fan
    et al. 2008).
    """
    X, y, X_test, y_test = _check_split(split)
    folds = make_folds(num_folds, seed)
    svm = LinearSVC(random_state=seed)
    search = GridSearchCV(svm, {"C": list(costs)}, cv=folds)
    search.fit(X, y)
    right = search.predict(X_test) == y_test
    return ChosenSVM(
        costs=tuple(costs),
        cv_accuracies=tuple(search.cv_results_["mean_test_score"].tolist()),
        cost=search.best_params_["C"],
        cv_accuracy=float(search.best_score_),
        test_accuracy=float(right.mean()),
        test_right=right,
    )


def svm_scores(split: Split, cost: float, num_folds: int = 5, seed: int = 0) -> Scores:
    """Compute decision values of linear SVMs with C = cost.

    The value of a training example comes from an SVM that has not seen its fold.
    """
    X, y, X_test, _ = _check_split(split)
    folds = make_folds(num_folds, seed)
    svm = LinearSVC(C=cost, random_state=seed)
    out_of_fold = cross_val_predict(svm, X, y, cv=folds, method="decision_function")
    test = svm.fit(X, y).decision_function(X_test)
    return Scores(_score_per_class(out_of_fold), _score_per_class(test))


def random_split_scores(
    split: Split, cost: float, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compute decision values (S, M, K) and labels (S, M) of S random splits.

    Training and test part are put together and divided by `random_splits`; the values
    are those of its test parts.
    """
    X_train, y_train, X_test, y_test = _check_split(split)
    X = np.concatenate([X_train, X_test])
    y = np.concatenate([y_train, y_test])
    svm = LinearSVC(C=cost, random_state=0)
    scores = []
    labels = []
    for rows, others in random_splits(y, number):
        svm.fit(X[rows], y[rows])
        scores.append(_score_per_class(svm.decision_function(X[others])))
        labels.append(y[others])
    return np.stack(scores), np.stack(labels)


def _check_split(split: Split) -> Split:
    """Return the split with labels int64.

    Raises ValueError if labels are not whole numbers, or not as many as features.
    """
    X_train, y_train, X_test, y_test = split
    y_train = as_labels(y_train, len(X_train)).numpy()
    y_test = as_labels(y_test, len(X_test)).numpy()
    return X_train, y_train, X_test, y_test


def _score_per_class(decisions: np.ndarray) -> np.ndarray:
    """Return scores (N, K); for two classes scikit-learn gives (N,), of the second."""
    if decisions.ndim == 1:
        return np.stack([-decisions, decisions], axis=1)
    return decisions


def choose_fusion(scores: Mapping[str, Scores], labels: ArrayLike) -> Fusion:
    """Choose weights of several classifiers by stacking (Wolpert 1992).

    The weighted sum of out-of-fold scores is taken for logits, and the weights minimise
    its cross-entropy; none is negative (Breiman 1996). The accuracy would jump by whole
    examples and say little of close decisions.

    scores: by the name of the classifier.
    labels: of the training examples (N,), columns of the scores.

    Raises ValueError for labels outside 0 to K - 1.
    """
    out_of_fold = {name: part.out_of_fold for name, part in scores.items()}
    test = {name: part.test for name, part in scores.items()}
    parts = np.stack(list(out_of_fold.values()))  # (P, N, K) of P classifiers
    num_parts, num_examples, num_classes = parts.shape
    columns = as_labels(labels, num_examples, num_classes).numpy()
    rows = np.arange(num_examples)

    def cross_entropy(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Compute the loss and its gradient with respect to the weights."""
        logits = np.tensordot(weights, parts, 1)
        log_probabilities = log_softmax(logits, axis=1)
        loss = -log_probabilities[rows, columns].mean()
        residual = np.exp(log_probabilities)
        residual[rows, columns] -= 1
        gradient = (parts * residual).sum((1, 2)) / num_examples
        return float(loss), gradient

    start = np.ones(num_parts)
    bounds = [(0, None)] * num_parts
    optimum = minimize(cross_entropy, start, jac=True, bounds=bounds)
    weights = dict(zip(scores, optimum.x.tolist(), strict=True))
    return Fusion(
        out_of_fold=_weighted_sum(weights, out_of_fold),
        test=_weighted_sum(weights, test),
        weights=weights,
        loss=float(optimum.fun),
    )


def _weighted_sum(
    weights: Mapping[str, float], scores: Mapping[str, np.ndarray]
) -> np.ndarray:
    weighted = [weight * scores[name] for name, weight in weights.items()]
    return np.sum(weighted, axis=0)


def confused_pairs(matrix: ArrayLike, number: int) -> list[tuple[int, int, int]]:
    """Find the pairs of classes most often taken for each other, either way.

    matrix: a confusion matrix (K, K). Returns (class, class, count), the worst first;
    fewer than `number` if no others are taken for each other.
    """
    matrix = np.asarray(matrix)
    both_ways = np.triu(matrix + matrix.T, k=1)
    worst = np.argsort(-both_ways, axis=None, kind="stable")[:number]
    pairs = []
    for index in worst:
        first, second = np.unravel_index(index, both_ways.shape)
        if both_ways[first, second] == 0:
            break
        pairs.append((int(first), int(second), int(both_ways[first, second])))
    return pairs
