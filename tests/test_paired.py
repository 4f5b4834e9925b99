"""Paired comparisons agree with the binomial distribution done by hand."""

from dataclasses import astuple
from math import comb

import numpy as np
import pytest
from scipy.stats import dunnett, norm, spearmanr, t, ttest_ind, ttest_rel

from dlapps.core.paired import (
    Interval,
    bootstrap_gains,
    bootstrap_mean,
    compare_factors,
    compare_means,
    compare_paired,
    compare_seeds,
    compare_splits,
    rank_correlation,
)


def as_rows(both, only_first, only_second, neither):
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return np.array(first), np.array(second)


def test_the_p_value_is_that_of_a_fair_coin():
    found = compare_paired(*as_rows(80, 9, 2, 9))
    tails = sum(comb(11, k) for k in range(3)) / 2**11
    assert (found.only_first, found.only_second) == (9, 2)
    assert found.difference == pytest.approx(0.07)
    assert found.p_value == pytest.approx(2 * tails)
    assert found.low < found.difference < found.high


def test_the_interval_is_that_of_the_mean_of_the_differences():
    first, second = as_rows(500, 60, 40, 400)
    differences = first.astype(float) - second
    margin = 1.96 * differences.std() / np.sqrt(len(differences))
    found = compare_paired(first, second)
    assert found.high - found.difference == pytest.approx(margin)


def test_swapped_classifiers_swap_the_result():
    first, second = as_rows(5, 4, 1, 0)
    one, other = compare_paired(first, second), compare_paired(second, first)
    assert one.p_value == other.p_value
    assert one.difference == -other.difference


def test_the_same_answers_differ_in_nothing():
    first, _ = as_rows(5, 4, 1, 0)
    found = compare_paired(first, first)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize("number", [1, 8])
def test_bootstrap_of_a_mean_is_as_wide_as_the_normal_distribution_has_it(number):
    values = np.random.default_rng(1).normal(0.3, 1, (400, 4))
    found = bootstrap_mean(values, num_comparisons=number)
    margin = norm.ppf(1 - 0.025 / number) * values.mean(1).std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.mean == pytest.approx(margin, rel=0.1)
    assert found.mean - found.low == pytest.approx(margin, rel=0.1)
    assert bootstrap_mean(values, number) == found
    assert f"{Interval(0.5, 0.4, 0.65):.2f}" == "0.50 (0.40 to 0.65)"


def test_what_belongs_together_is_drawn_together():
    rows = np.repeat(np.random.default_rng(2).normal(size=(50, 1)), 4, 1)
    together, apart = bootstrap_mean(rows), bootstrap_mean(rows.flatten())
    assert together.high - together.low == pytest.approx(2 * (apart.high - apart.low), rel=0.15)


def test_gains_over_a_baseline_are_means_of_differences():
    methods = {"plain": {"hits": [0, 1, 0], "mass": [0.2, 0.3, 0.4]}, "other": {"hits": [1, 1, 0]}}
    gains = bootstrap_gains(methods, "plain", ["hits"])
    assert gains == {"other": {"hits": bootstrap_mean([1, 0, 0])}}
    gains = bootstrap_gains(methods | {"third": {"hits": [1, 1, 1]}}, "plain", ["hits"])
    assert gains["other"] == {"hits": bootstrap_mean([1, 0, 0], num_comparisons=2)}


def test_an_interval_stays_within_what_a_difference_can_be():
    few = compare_paired(np.array([True] * 3), np.array([True, False, False]))
    assert (few.high, few.p_value) == (1, 0.5)


@pytest.mark.parametrize(("number", "level"), [(1, 0.95), (5, 0.99)])
def test_seeds_are_compared_as_by_scipy(number, level):
    random = np.random.default_rng(3)
    first, second = random.normal(0.8, 0.01, 3), random.normal(0.7, 0.01, 3)
    found = compare_seeds(first, second, number)
    expected = ttest_rel(first, second).confidence_interval(level)
    assert found.mean == pytest.approx((first - second).mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_means_of_other_seeds_are_compared_as_welch_has_it():
    first, second = [0.8, 0.9, 0.85], [0.5, 0.7]
    errors = 0.0025 / 3, 0.02 / 2  # variances of the means
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / 2 + errors[1] ** 2 / 1)
    for number in (1, 4):
        found = compare_means(first, second, num_comparisons=number)
        margin = t.ppf(1 - 0.025 / number, freedom) * sum(errors) ** 0.5
        assert astuple(found) == pytest.approx((0.25, 0.25 - margin, 0.25 + margin))
        swapped = compare_means(second, first, num_comparisons=number)
        assert astuple(swapped) == pytest.approx((-found.mean, -found.high, -found.low))


def test_splits_that_share_pictures_have_a_wider_interval():
    first, second = np.array([0.91, 0.93, 0.92, 0.95]), np.array([0.90, 0.90, 0.92, 0.91])
    differences = first - second
    margin = t.ppf(0.975, 3) * np.sqrt((1 / 4 + 300 / 150) * differences.var(ddof=1))
    found = compare_splits(first, second, num_train=150, num_test=300)
    assert astuple(found) == pytest.approx((0.02, 0.02 - margin, 0.02 + margin))
    plain = compare_seeds(first, second)
    assert (found.high - found.low) == pytest.approx(3 * (plain.high - plain.low))


def test_factors_are_those_of_dunnett_and_slightly_less_sure():
    logs = np.random.default_rng(0).normal(3, 0.1, (4, 3))
    found = compare_factors(dict(enumerate(np.exp(logs[:3]))), np.exp(logs[3]))
    reference = dunnett(*logs[:3], control=logs[3], random_state=np.random.default_rng(0))
    interval = reference.confidence_interval()
    for name, factor in found.items():
        assert np.log(factor.mean) == pytest.approx(logs[name].mean() - logs[3].mean())
        margin = np.log(factor.high / factor.mean)
        theirs = (interval.high - interval.low)[name] / 2
        assert theirs < margin < 1.05 * theirs
        assert np.log(factor.mean / factor.low) == pytest.approx(margin)


def test_a_factor_of_one_group_is_students():
    first, second = [0.8, 0.9, 0.85], [0.5, 0.7]
    found = compare_factors({"first": first}, second)["first"]
    interval = ttest_ind(np.log(first), np.log(second)).confidence_interval()
    assert np.log([found.low, found.high]) == pytest.approx(interval)


def test_rank_correlation_knows_order_alone():
    scores, groups = np.arange(12.0), np.arange(12) // 3
    assert astuple(rank_correlation(scores, scores**3, groups)) == pytest.approx((1, 1, 1))
    assert astuple(rank_correlation(scores, -scores, groups)) == pytest.approx((-1, -1, -1))
    noise = np.random.default_rng(4).normal(size=(2, 200))
    found = rank_correlation(*noise, np.arange(200))
    assert found.mean == pytest.approx(spearmanr(*noise).statistic)
    assert found.low < 0 < found.high
    assert rank_correlation(*noise, np.arange(200)) == found


def test_copies_of_a_training_make_no_correlation_surer():
    scores = np.random.default_rng(5).normal(size=(2, 40))
    once = rank_correlation(*scores, np.arange(40))
    copied = rank_correlation(*scores.repeat(5, axis=1), np.arange(40).repeat(5))
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.1)


HITS = {"plain": {"hits": [0, 1, 0]}, "other": {"hits": [1]}}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare_paired([0.9, 0.8], [True, False]), r"two rows of booleans .* float64 \(2,\)"),
        (lambda: bootstrap_mean([]), r"finite values \(N, ...\)"),
        (lambda: bootstrap_mean([0.1, np.nan]), r"finite values \(N, ...\)"),
        (lambda: bootstrap_mean([0.1], num_comparisons=0), "num_comparisons >= 1, got 0"),
        (lambda: bootstrap_gains(HITS, "random", ["hits"]), "baseline among plain, other, got 'random'"),
        (lambda: bootstrap_gains(HITS, "plain", ["hits"]), r"same examples, got .*\(1,\), \(3,\)"),
        (lambda: compare_seeds([0.1, 0.2], [0.1]), r"two finite scores of the same seeds \(S,\)"),
        (lambda: compare_seeds([0.1, 0.2], [[0.1], [0.2]]), r"two finite scores of the same seeds"),
        (lambda: compare_seeds([0.1], [0.2]), r"S at least 2, got \(1,\)"),
        (lambda: compare_seeds([0.1, 0.2], [0.1, 0.3], 0), "num_comparisons >= 1, got 0"),
        (lambda: compare_means([0.5, 0.6], [0.4]), r"S and T at least 2, got \(2,\) and \(1,\)"),
        (lambda: compare_means([0.5, 0.5], [0.4, 0.4]), "scores that vary .*, got two constants"),
        (lambda: compare_factors({"a": [1.0, -1.0]}, [1.0, 2.0]), r"control of positive scores \(S,\)"),
        (lambda: compare_factors({}, [1.0, 2.0]), r"groups and a control of positive scores \(S,\)"),
        (lambda: compare_factors({"a": [1.0, 1.0]}, [2.0, 2.0]), "vary over seeds, got constants"),
        (lambda: rank_correlation([0, 1], [1, 0], [0, 1, 2]), r"groups .*got \(2,\) and \(3,\)"),
        (lambda: rank_correlation([0, np.nan], [1, 0], [0, 1]), "finite scores"),
        (lambda: rank_correlation([1, 1], [1, 0], [0, 1]), "scores that differ"),
    ],
)
def test_what_cannot_be_compared_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        call()
