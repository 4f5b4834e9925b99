"""Choices are made on the training part alone, and the sums are what they say."""

import numpy as np
import pytest

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
    scores = linear.svm_scores((X, y, X, y), num_repeats=2)
    assert scores.out_of_fold.shape == (2, 60, 3)
    assert not np.array_equal(*scores.out_of_fold)
    assert (scores.out_of_fold.argmax(2) == y).mean() <= (scores.test.argmax(1) == y).mean()


def test_fusion_takes_the_better_classifier():
    labels = np.arange(30) % 3
    right, wrong = np.eye(3)[labels], np.eye(3)[(labels + 1) % 3]
    scores = {"right": Scores(right[None], right), "wrong": Scores(wrong[None], wrong)}
    fusion = linear.choose_fusion(scores, {"right": (0, 1), "wrong": (0, 0.5, 2)}, labels)
    assert fusion.cv_accuracy == 1
    assert fusion.weights["right"] > fusion.weights["wrong"]
    np.testing.assert_allclose(fusion.test, right + fusion.weights["wrong"] * wrong)
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
