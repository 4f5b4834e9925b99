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
    honest = linear.choose_svm(split, (0.001, 1, 10))
    spoilt = linear.choose_svm(shuffled, (0.001, 1, 10))
    assert honest.cost == spoilt.cost
    assert honest.cv_accuracies == spoilt.cv_accuracies


def test_out_of_fold_scores_are_worse_than_those_of_seen_examples(split):
    X, y, _, _ = split
    scores = linear.svm_scores((X, y, X, y), cost=1)
    assert scores.out_of_fold.shape == (60, 3)
    unseen = (scores.out_of_fold.argmax(1) == y).mean()
    assert unseen <= scores.right(y).mean()


def test_two_classes_have_two_scores_and_can_be_fused(split, monkeypatch):
    monkeypatch.setattr(linear, "PER_CLASS", 10)
    X, y, X_test, y_test = split
    train = y < 2
    test = y_test < 2
    two = X[train], y[train], X_test[test], y_test[test]
    scores = linear.svm_scores(two, cost=1)
    svm = LinearSVC(random_state=0).fit(X[train], y[train])
    assert np.array_equal(scores.test.argmax(1), svm.predict(X_test[test]))
    fusion = linear.choose_fusion({"once": scores, "again": scores}, y[train])
    assert fusion.test.shape == (test.sum(), 2)
    by_split, _ = linear.random_split_scores(two, cost=1, number=2)
    assert by_split.shape[2] == 2


def test_random_splits_train_on_as_many_of_each_class_and_test_on_all_others(
    split, monkeypatch
):
    monkeypatch.setattr(linear, "PER_CLASS", 10)
    labels = np.concatenate([split[1], split[3]])
    splits = list(linear.random_splits(labels, 3))
    for rows, others in splits:
        assert np.bincount(labels[rows]).tolist() == [10, 10, 10]
        both = np.concatenate([rows, others])
        assert sorted(both) == list(range(len(labels)))
    assert not np.array_equal(splits[0][0], splits[1][0])


def test_scores_of_random_splits_are_those_of_classifiers_fitted_on_them(
    split, monkeypatch
):
    monkeypatch.setattr(linear, "PER_CLASS", 15)
    X = np.concatenate([split[0], split[2]])
    y = np.concatenate([split[1], split[3]])
    [scores], [labels] = linear.random_split_scores(split, cost=1, number=1)
    rows, others = next(linear.random_splits(y, 1))
    svm = LinearSVC(random_state=0).fit(X[rows], y[rows])
    np.testing.assert_allclose(scores, svm.decision_function(X[others]))
    assert np.array_equal(labels, y[others])


@pytest.fixture
def classifiers():
    """Two noisy classifiers of three classes, one better than the other, and one that
    knows nothing.
    """
    random = np.random.default_rng(0)
    labels = np.arange(300) % 3
    scores = {}
    for name, strength in (("good", 3), ("fair", 2), ("blind", 0)):
        noisy = strength * np.eye(3)[labels] + random.normal(size=(300, 3))
        scores[name] = Scores(noisy, noisy[:5])
    return scores, labels


def test_fusion_trusts_the_better_classifier_more_and_a_blind_one_not_at_all(
    classifiers,
):
    scores, labels = classifiers
    fusion = linear.choose_fusion(scores, labels)
    assert fusion.weights["good"] > fusion.weights["fair"]
    assert fusion.weights["fair"] > 10 * fusion.weights["blind"] >= 0
    alone = linear.choose_fusion({"good": scores["good"]}, labels)
    assert fusion.loss < alone.loss


def test_no_other_weights_have_a_lower_cross_entropy(classifiers):
    scores, labels = classifiers
    fusion = linear.choose_fusion(scores, labels)

    def loss(summed):
        return float(cross_entropy(torch.tensor(summed), torch.tensor(labels)))

    assert fusion.loss == pytest.approx(loss(fusion.out_of_fold))
    for name in scores:
        for factor in (0.9, 1.1):
            others = dict(fusion.weights)
            others[name] = fusion.weights[name] * factor + 1e-3
            moved = sum(others[part] * scores[part].out_of_fold for part in scores)
            assert loss(moved) > fusion.loss - 1e-9


def test_new_scores_are_summed_with_the_chosen_weights(classifiers):
    scores, labels = classifiers
    fusion = linear.choose_fusion(scores, labels)
    test = {name: part.test for name, part in scores.items()}
    expected = sum(fusion.weights[name] * test[name] for name in scores)
    np.testing.assert_allclose(fusion.test, expected)
    np.testing.assert_allclose(fusion.sum(test | {"other": test["fair"]}), expected)


def test_confused_pairs_count_both_ways():
    matrix = np.array([[9, 2, 0], [3, 8, 1], [0, 0, 7]])
    assert linear.confused_pairs(matrix, 2) == [(0, 1, 5), (1, 2, 1)]
    assert linear.confused_pairs(matrix, 3) == [(0, 1, 5), (1, 2, 1)]
    assert linear.confused_pairs(np.diag([5, 5, 5]), 3) == []


def test_examples_are_drawn_by_class_and_seed():
    labels = np.repeat([0, 1, 2], 20)
    rows = linear.choose_per_class(labels, 5, seed=1)
    assert np.bincount(labels[rows]).tolist() == [5, 5, 5]
    assert np.array_equal(rows, linear.choose_per_class(labels, 5, seed=1))
    assert not np.array_equal(rows, linear.choose_per_class(labels, 5, seed=2))
