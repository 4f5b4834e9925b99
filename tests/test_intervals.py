"""Intervals agree with scipy and with cases done by hand, and cover what they say they cover."""

from dataclasses import astuple
from math import comb

import numpy as np
import pytest
from scipy.stats import spearmanr, t, ttest_ind, ttest_rel

from dlapps.core.intervals import Interval, compare, compare_splits, mcnemar, mean, proportion, rank_correlation, ratio

SCORES = np.random.default_rng(3).normal(0.8, 0.01, (2, 5))


def as_rows(both, only_first, only_second, neither):
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return np.array(first), np.array(second)


@pytest.mark.parametrize(
    ("form", "text"),
    [(".1f", "27.9 (-2.7 to 33.0)"), ("+.1f", "+27.9 (-2.7 to +33.0)"), (".0%", "2790% (-270% to 3300%)")],
)
def test_an_interval_formats_itself(form, text):
    assert f"{Interval(27.9, -2.7, 33.0):{form}}" == text


@pytest.mark.parametrize(("number", "level"), [(1, 0.95), (5, 0.99)])
@pytest.mark.parametrize(("paired", "theirs"), [(True, ttest_rel), (False, ttest_ind)])
def test_means_are_compared_as_by_scipy(number, level, paired, theirs):
    options = {} if paired else {"equal_var": False}
    expected = theirs(*SCORES, **options).confidence_interval(level)
    found = compare(*SCORES, number, paired=paired)
    assert astuple(found) == pytest.approx((SCORES[0].mean() - SCORES[1].mean(), *expected))
    swapped = compare(*SCORES[::-1], number, paired=paired)
    assert astuple(swapped) == pytest.approx((-found.mean, -found.high, -found.low))


def test_welch_by_hand():
    errors = 0.0025 / 3, 0.02 / 2  # variances of the means
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / 2 + errors[1] ** 2 / 1)
    margin = t.ppf(0.975, freedom) * sum(errors) ** 0.5
    found = compare([0.8, 0.9, 0.85], [0.5, 0.7])
    assert astuple(found) == pytest.approx((0.25, 0.25 - margin, 0.25 + margin))


def test_a_mean_is_a_comparison_with_nothing_and_a_row_counts_once():
    assert mean(SCORES[0]) == compare(SCORES[0], np.zeros(5), paired=True)
    rows = np.arange(12.0).reshape(3, 4) ** 2
    assert mean(rows) == mean(rows.mean(1))
    assert compare(rows, rows[:2]) == compare(rows.mean(1), rows[:2].mean(1))
    assert astuple(mean([0.5, 0.5, 0.5])) == (0.5, 0.5, 0.5)


def test_a_ratio_is_a_difference_of_logarithms():
    found, logs = ratio(*SCORES, 3), compare(*np.log(SCORES), 3)
    assert np.log(astuple(found)) == pytest.approx(astuple(logs))


def test_mcnemar_by_hand():
    first, second = as_rows(500, 60, 40, 400)
    found, swapped = mcnemar(first, second), mcnemar(second, first)
    margin = t.ppf(0.975, 999) * (first.astype(float) - second).std(ddof=1) / np.sqrt(1000)
    assert (found.only_first, found.only_second, found.difference) == (60, 40, 0.02)
    assert (found.low, found.high) == pytest.approx((0.02 - margin, 0.02 + margin))
    assert (swapped.p_value, swapped.difference) == (found.p_value, -0.02)
    tails = sum(comb(11, k) for k in range(3)) / 2**11
    assert mcnemar(*as_rows(80, 9, 2, 9)).p_value == pytest.approx(2 * tails)
    assert mcnemar(first, second, 4).high > found.high
    same = mcnemar(first, first)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_splits_that_share_pictures_have_a_wider_interval():
    first, second = np.array([0.91, 0.93, 0.92, 0.95]), np.array([0.90, 0.90, 0.92, 0.91])
    margin = t.ppf(0.975, 3) * np.sqrt((1 / 4 + 300 / 150) * (first - second).var(ddof=1))
    found = compare_splits(first, second, num_train=150, num_test=300)
    assert astuple(found) == pytest.approx((0.02, 0.02 - margin, 0.02 + margin))


def test_a_proportion_of_none_by_hand():
    # (1 - p)^80 = .025 at the upper bound.
    found = proportion(0, 80)
    assert astuple(found) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 80)))
    assert proportion(40, 80, 3).high > proportion(40, 80).high


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


def draw_classifiers(random):
    """Two classifiers that are right alike often: 90 % of 1,000 examples, the second's answers in part the first's."""
    first, other, alike = random.random((3, 1000)) < np.array([[0.9], [0.9], [0.7]])
    return first, np.where(alike, first, other)


def draw_splits(random):
    """Differences over ten splits of an error that all share and one of their own, as test sets that overlap have."""
    shared, own = random.normal(size=1), random.normal(size=10)
    return shared * np.sqrt(2) + own, np.zeros(10)


# The interval of a draw, the truth, and bounds of the share of 400 intervals that contain it (standard error: .011).
CASES = {
    "mean of 20": (lambda r: mean(r.normal(0.3, 1, (20, 4))), 0.3, 0.925, 0.975),
    "three seeds": (lambda r: compare(r.normal(1, 1, 3), r.normal(0, 1, 3)), 1, 0.94, 0.995),
    "one failed seed": (lambda r: compare(r.normal(1, 5, 3), r.normal(0, 1, 3)), 1, 0.925, 0.98),
    "pairs": (lambda r: compare(r.normal(1, 1, 10), r.normal(0, 1, 10), paired=True), 1, 0.925, 0.975),
    "ratio": (lambda r: ratio(np.exp(r.normal(1, 1, 5)), np.exp(r.normal(0, 2, 5))), np.e, 0.925, 0.985),
    "right or wrong": (lambda r: mcnemar(*draw_classifiers(r)), 0, 0.925, 0.975),
    "splits": (lambda r: compare_splits(*draw_splits(r), 100, 200), 0, 0.94, 1),
    "proportion": (lambda r: proportion(int(r.binomial(200, 0.9)), 200), 0.9, 0.94, 0.99),
}


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_the_truth(case):
    draw, truth, least, most = CASES[case]
    random = np.random.default_rng(0)
    held = [found.low <= truth <= found.high for found in (draw(random) for _ in range(400))]
    assert least <= np.mean(held) <= most


@pytest.mark.parametrize(("number", "least", "most"), [(1, 0.7, 0.85), (5, 0.92, 0.99)])
def test_corrected_intervals_of_five_hold_together(number, least, most):
    random = np.random.default_rng(0)
    draws = random.normal(size=(200, 5, 2, 6))
    found = [[compare(*pair, number, paired=True) for pair in table] for table in draws]
    held = [all(each.low <= 0 <= each.high for each in table) for table in found]
    assert least <= np.mean(held) <= most


def test_draws_of_whole_groups_cover_a_rank_correlation():
    random, held = np.random.default_rng(0), []
    truth = 6 / np.pi * np.arcsin(0.5 / 2)  # of normal scores with a correlation of .5
    for _ in range(25):
        settings = random.normal(size=(2, 25)) + random.normal(size=25)
        found = rank_correlation(*settings.repeat(2, axis=1), np.arange(50) // 2)
        held.append(found.low <= truth <= found.high)
    assert 0.8 <= np.mean(held) <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean([0.1]), r"two finite scores or more \(N, ...\), got shape \(1,\)"),
        (lambda: mean([0.1, np.nan]), r"two finite scores"),
        (lambda: mean(0.5), r"two finite .*got shape \(\)"),
        (lambda: mean([0.1, 0.2], number=0), "number >= 1, got 0"),
        (lambda: compare([0.1, 0.2], [0.1], paired=True), r"pairs .*got shapes \(2,\) and \(1,\)"),
        (lambda: compare([0.5, 0.6], [0.4]), r"two finite .*got shape \(1,\)"),
        (lambda: compare([0.5, np.nan], [0.4, 0.4]), "two finite scores"),
        (lambda: compare([0.1, 0.2], [0.1, 0.3], 0), "number >= 1, got 0"),
        (lambda: compare([0.5, 0.5], [0.4, 0.4]), "scores that vary .*two constants"),
        (lambda: ratio([1.0, -1.0], [1.0, 2.0]), "positive scores, got others"),
        (lambda: ratio([1.0, np.nan], [1.0, 2.0]), "positive scores, got others"),
        (lambda: mcnemar([0.9, 0.8], [True, False]), r"rows of booleans .*float64 \(2,\)"),
        (lambda: mcnemar([True], [False]), "two finite scores"),
        (lambda: compare_splits([0.1, 0.2], [0.1, 0.3], 0, 10), "num_train >= 1, got 0"),
        (lambda: proportion(3, 2), "missing >= 0, got -1"),
        (lambda: proportion(0.5, 2), "count >= 0, got 0.5"),
        (lambda: rank_correlation([0, 1], [1, 0], [0, 1, 2]), r"groups .*\(2,\) and \(3,\)"),
        (lambda: rank_correlation([0, np.nan], [1, 0], [0, 1]), "finite scores"),
        (lambda: rank_correlation([1, 1], [1, 0], [0, 1]), "scores that differ"),
        (lambda: rank_correlation([1, 2], [1, 0], [0, 0]), "two groups or more"),
    ],
)
def test_what_cannot_be_compared_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        call()
