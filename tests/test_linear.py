"""Choices are made on the training part alone, and the sums are what they say."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from dlapps.transfer import linear
from dlapps.transfer.linear import Scores


@pytest.fixture
def split():
    """Three Gaussian classes, easy but not trivial."""
    random = np.random.default_rng(0)
    labels = np.arange(120) % 3
    features = np.eye(3)[labels] + 0.35 * random.normal(size=(120, 3))
    return features[:60], labels[:60], features[60:], labels[60:]


def test_chosen_cost_has_the_highest_cross_validated_accuracy(split):
    chosen = linear.choose_svm(split, (0.001, 1, 10))
    assert chosen.cv_accuracy == max(chosen.cv_accuracies)
    assert chosen.cost == chosen.costs[np.argmax(chosen.cv_accuracies)]
    assert chosen.test_accuracy > 0.8


def test_test_labels_choose_nothing(split):
    X, y, X_test, y_test = split
    shuffled = (X, y, X_test, np.roll(y_test, 1))
    honest, spoilt = (linear.choose_svm(part, (0.001, 1, 10)) for part in (split, shuffled))
    assert honest.cost == spoilt.cost
    assert honest.cv_accuracies == spoilt.cv_accuracies


def test_out_of_fold_scores_are_worse_than_those_of_seen_examples(split):
    X, y, _, _ = split
    scores = linear.svm_scores((X, y, X, y), cost=1)
    assert scores.out_of_fold.shape == (60, 3)
    assert (scores.out_of_fold.argmax(1) == y).mean() <= (scores.test.argmax(1) == y).mean()


def test_random_splits_train_on_as_many_of_each_class_and_test_on_all_others(split):
    labels = np.concatenate([split[1], split[3]])
    splits = list(linear.random_splits(labels, 3, per_class=10))
    for rows, others in splits:
        assert np.bincount(labels[rows]).tolist() == [10, 10, 10]
        assert sorted([*rows, *others]) == list(range(len(labels)))
    assert not np.array_equal(splits[0][0], splits[1][0])


def test_scores_of_random_splits_are_those_of_classifiers_fitted_on_them(split):
    labels = np.concatenate([split[1], split[3]])
    X = np.concatenate([split[0], split[2]])
    (scores,), (truths,) = linear.random_split_scores(split, cost=1, number=1, per_class=15)
    rows, others = next(linear.random_splits(labels, 1, per_class=15))
    expected = LinearSVC(random_state=0).fit(X[rows], labels[rows]).decision_function(X[others])
    np.testing.assert_allclose(scores, expected)
    assert np.array_equal(truths, labels[others])


def test_fusion_takes_the_better_classifier():
    labels = np.arange(30) % 3
    right, wrong = np.eye(3)[labels], np.eye(3)[(labels + 1) % 3]
    scores = {"right": Scores(right, right), "wrong": Scores(wrong, wrong)}
    fusion = linear.choose_fusion(scores, {"right": (0, 1), "wrong": (0, 0.5, 2)}, labels)
    np.testing.assert_array_equal(fusion.out_of_fold.argmax(1), labels)
    assert fusion.weights["right"] > fusion.weights["wrong"]
    np.testing.assert_allclose(fusion.test, fusion.weights["right"] * right + fusion.weights["wrong"] * wrong)
    np.testing.assert_allclose(fusion.sum({"right": right, "wrong": wrong, "other": wrong}), fusion.test)
    with pytest.raises(ValueError, match="expected weights for right, wrong, got right"):
        linear.choose_fusion(scores, {"right": (1,)}, labels)


def test_pca_to_all_dimensions_loses_nothing(split):
    accuracy, seconds = linear.reduce_and_fit(split, 3)
    assert accuracy == pytest.approx(linear.choose_svm(split, (1,)).test_accuracy, abs=0.04)
    assert seconds > 0


def test_confused_pairs_count_both_ways():
    matrix = np.array([[9, 2, 0], [3, 8, 1], [0, 0, 7]])
    assert linear.confused_pairs(matrix, 2) == [(0, 1, 5), (1, 2, 1)]


def test_examples_are_drawn_by_class_and_seed():
    labels = np.repeat([0, 1, 2], 20)
    rows = linear.choose_per_class(labels, 5, seed=1)
    assert np.bincount(labels[rows]).tolist() == [5, 5, 5]
    assert np.array_equal(rows, linear.choose_per_class(labels, 5, seed=1))
    assert not np.array_equal(rows, linear.choose_per_class(labels, 5, seed=2))
