"""Choices are made on the training part alone, and the sums are what they say."""

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch.nn.functional import cross_entropy

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
    honest, spoilt = (
        linear.choose_svm(part, (0.001, 1, 10)) for part in (split, shuffled)
    )
    assert honest.cost == spoilt.cost
    assert honest.cv_accuracies == spoilt.cv_accuracies


def test_out_of_fold_scores_are_worse_than_those_of_seen_examples(split):
    X, y, _, _ = split
    scores = linear.svm_scores((X, y, X, y), cost=1)
    assert scores.out_of_fold.shape == (60, 3)
    assert (scores.out_of_fold.argmax(1) == y).mean() <= (
        scores.test.argmax(1) == y
    ).mean()


def test_two_classes_have_two_scores_and_can_be_fused(split, monkeypatch):
    monkeypatch.setattr(linear, "PER_CLASS", 10)
    rows, others = split[1] < 2, split[3] < 2
    two = split[0][rows], split[1][rows], split[2][others], split[3][others]
    scores = linear.svm_scores(two, cost=1)
    assert np.array_equal(
        scores.test.argmax(1), LinearSVC(random_state=0).fit(*two[:2]).predict(two[2])
    )
    fusion = linear.choose_fusion({"once": scores, "again": scores}, two[1])
    assert fusion.test.shape == (len(two[2]), 2)
    assert linear.random_split_scores(two, cost=1, number=2)[0].shape[2] == 2


def test_random_splits_train_on_as_many_of_each_class_and_test_on_all_others(
    split, monkeypatch
):
    monkeypatch.setattr(linear, "PER_CLASS", 10)
    labels = np.concatenate([split[1], split[3]])
    splits = list(linear.random_splits(labels, 3))
    for rows, others in splits:
        assert np.bincount(labels[rows]).tolist() == [10, 10, 10]
        assert sorted([*rows, *others]) == list(range(len(labels)))
    assert not np.array_equal(splits[0][0], splits[1][0])


def test_scores_of_random_splits_are_those_of_classifiers_fitted_on_them(
    split, monkeypatch
):
    monkeypatch.setattr(linear, "PER_CLASS", 15)
    labels = np.concatenate([split[1], split[3]])
    X = np.concatenate([split[0], split[2]])
    (scores,), (truths,) = linear.random_split_scores(split, cost=1, number=1)
    rows, others = next(linear.random_splits(labels, 1))
    expected = (
        LinearSVC(random_state=0)
        .fit(X[rows], labels[rows])
        .decision_function(X[others])
    )
    np.testing.assert_allclose(scores, expected)
    assert np.array_equal(truths, labels[others])


@pytest.fixture
def classifiers():
    """Two noisy classifiers of three classes, one better than the other, and one that
    knows nothing.
    """
    random, labels, scores = np.random.default_rng(0), np.arange(300) % 3, {}
    for name, strength in (("good", 3), ("fair", 2), ("blind", 0)):
        noisy = strength * np.eye(3)[labels] + random.normal(size=(300, 3))
        scores[name] = Scores(noisy, noisy[:5])
    return scores, labels


def test_fusion_trusts_the_better_classifier_more_and_a_blind_one_not_at_all(
    classifiers,
):
    fusion = linear.choose_fusion(*classifiers)
    assert (
        fusion.weights["good"]
        > fusion.weights["fair"]
        > 10 * fusion.weights["blind"]
        >= 0
    )
    alone = linear.choose_fusion({"good": classifiers[0]["good"]}, classifiers[1])
    assert fusion.loss < alone.loss


def test_no_other_weights_have_a_lower_cross_entropy(classifiers):
    scores, labels = classifiers
    fusion = linear.choose_fusion(scores, labels)

    def loss(summed):
        return float(cross_entropy(torch.tensor(summed), torch.tensor(labels)))

    assert fusion.loss == pytest.approx(loss(fusion.out_of_fold))
    for name in scores:
        for factor in (0.9, 1.1):
            others = fusion.weights | {name: fusion.weights[name] * factor + 1e-3}
            moved = sum(
                weight * scores[part].out_of_fold for part, weight in others.items()
            )
            assert loss(moved) > fusion.loss - 1e-9


def test_new_scores_are_summed_with_the_chosen_weights(classifiers):
    scores, labels = classifiers
    fusion = linear.choose_fusion(scores, labels)
    expected = sum(
        weight * scores[name].test for name, weight in fusion.weights.items()
    )
    np.testing.assert_allclose(fusion.test, expected)
    np.testing.assert_allclose(
        fusion.sum({name: part.test for name, part in scores.items()}), expected
    )


def test_confused_pairs_count_both_ways():
    matrix = np.array([[9, 2, 0], [3, 8, 1], [0, 0, 7]])
    assert linear.confused_pairs(matrix, 2) == [(0, 1, 5), (1, 2, 1)]


def test_examples_are_drawn_by_class_and_seed():
    labels = np.repeat([0, 1, 2], 20)
    rows = linear.choose_per_class(labels, 5, seed=1)
    assert np.bincount(labels[rows]).tolist() == [5, 5, 5]
    assert np.array_equal(rows, linear.choose_per_class(labels, 5, seed=1))
    assert not np.array_equal(rows, linear.choose_per_class(labels, 5, seed=2))
