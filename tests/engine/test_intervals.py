"""Intervals agree with scipy and with cases done by hand."""

from math import comb

import numpy as np
import pytest
from scipy.stats import binom, t, ttest_ind, ttest_rel

from labreport.intervals import (
    Interval,
    compare,
    compare_splits,
    mcnemar,
    mean,
    proportion,
    ratio,
)

# Of the second, an unpaired comparison takes three.
SCORES = np.random.default_rng(3).normal(0.8, 0.01, (2, 5))


def as_rows(both, only_first, only_second, neither):
    counts = [both, only_first, only_second, neither]
    first = np.repeat([True, True, False, False], counts)
    second = np.repeat([True, False, True, False], counts)
    return first, second


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (".1f", "27.9 (-2.7 to 33.0)"),
        ("+.1f", "+27.9 (-2.7 to +33.0)"),
        (".0%", "2790% (-270% to 3300%)"),
    ],
)
def test_an_interval_formats_itself(form, text):
    assert f"{Interval(27.9, -2.7, 33.0):{form}}" == text


@pytest.mark.parametrize(("number", "level"), [(1, 0.95), (5, 0.99)])
@pytest.mark.parametrize("paired", [True, False])
def test_means_are_compared_as_by_scipy(number, level, paired):
    first = SCORES[0]
    if paired:
        second = SCORES[1]
        test = ttest_rel(first, second)
    else:
        second = SCORES[1][:3]
        test = ttest_ind(first, second, equal_var=False)
    found = compare(first, second, number, paired=paired)
    expected = test.confidence_interval(level)
    assert tuple(found) == pytest.approx((first.mean() - second.mean(), *expected))
    swapped = compare(second, first, number, paired=paired)
    assert tuple(swapped) == pytest.approx((-found.mean, -found.high, -found.low))


def test_a_mean_is_a_comparison_with_nothing_and_a_row_counts_once():
    assert mean(SCORES[0]) == compare(SCORES[0], np.zeros(5), paired=True)
    rows = np.arange(12.0).reshape(3, 4) ** 2
    assert mean(rows) == mean(rows.mean(1))
    assert compare(rows, rows[:2]) == compare(rows.mean(1), rows[:2].mean(1))
    assert tuple(mean([0.5, 0.5, 0.5])) == (0.5, 0.5, 0.5)
    assert mean(np.arange(10) < 8, 2) == proportion(8, 10, 2)


def test_a_ratio_is_a_difference_of_logarithms():
    found = ratio(*SCORES, 3)
    logs = compare(*np.log(SCORES), 3)
    assert np.log(tuple(found)) == pytest.approx(tuple(logs))


def test_mcnemar_by_hand():
    first, second = as_rows(500, 60, 40, 400)
    found = mcnemar(first, second)
    swapped = mcnemar(second, first)
    deviation = (first.astype(float) - second).std(ddof=1)
    margin = t.ppf(0.975, 999) * deviation / np.sqrt(1000)
    assert (found.only_first, found.only_second, found.difference) == (60, 40, 0.02)
    assert (found.low, found.high) == pytest.approx((0.02 - margin, 0.02 + margin))
    assert (swapped.p_value, swapped.difference) == (found.p_value, -0.02)
    tails = sum(comb(11, k) for k in range(3)) / 2**11
    assert mcnemar(*as_rows(80, 9, 2, 9)).p_value == pytest.approx(2 * tails)
    assert mcnemar(first, second, 4).high > found.high
    same = mcnemar(first, first)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_splits_that_share_pictures_have_a_wider_interval():
    first = np.array([0.91, 0.93, 0.92, 0.95])
    second = np.array([0.90, 0.90, 0.92, 0.91])
    variance = (1 / 4 + 300 / 150) * (first - second).var(ddof=1)
    margin = t.ppf(0.975, 3) * np.sqrt(variance)
    found = compare_splits(first, second, num_train=150, num_test=300)
    assert tuple(found) == pytest.approx((0.02, 0.02 - margin, 0.02 + margin))


@pytest.mark.parametrize(
    ("count", "number", "level"), [(0, 1, 0.95), (61, 3, 1 - 0.05 / 3)]
)
def test_a_proportion_is_bounded_where_scipy_s_binomial_tails_are(count, number, level):
    found = proportion(count, 80, number)
    tail = (1 - level) / 2
    assert found.mean == count / 80
    assert binom.cdf(count, 80, found.high) == pytest.approx(tail)
    assert binom.sf(count - 1, 80, found.low) == pytest.approx(tail if count else 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean([0.1]), r"two scores or more \(N, ...\), got shape \(1,\)"),
        (lambda: mean([0.1, np.nan]), "finite scores, got 1 of 2"),
        (lambda: mean(0.5), r"two scores .*got shape \(\)"),
        (lambda: mean([0.1, 0.2], number=0), "number >= 1, got 0"),
        (
            lambda: compare([0.1, 0.2], [0.1], paired=True),
            r"pairs .*got shapes \(2,\) and \(1,\)",
        ),
        (lambda: compare([0.5, 0.6], [0.4]), r"two scores .*got shape \(1,\)"),
        (lambda: compare([0.5, np.nan], [0.4, 0.4]), "finite scores, got 1 of 2"),
        (lambda: compare([0.1, 0.2], [0.1, 0.3], 0), "number >= 1, got 0"),
        (lambda: compare([0.5, 0.5], [0.4, 0.4]), "scores that vary, .*two constants"),
        (lambda: ratio([1.0, -1.0], [1.0, 2.0]), "positive scores, got others"),
        (lambda: ratio([1.0, np.nan], [1.0, 2.0]), "positive scores, got others"),
        (
            lambda: mcnemar([0.9, 0.8], [True, False]),
            r"rows of booleans .*float64 \(2,\)",
        ),
        (lambda: mcnemar([True], [False]), "two scores or more"),
        (
            lambda: compare_splits([0.1, 0.2], [0.1, 0.3], 0, 10),
            "num_train >= 1, got 0",
        ),
        (lambda: proportion(5, 3), "a count up to the total of 3, got 5"),
        (lambda: proportion(0.5, 2), "count >= 0, got 0.5"),
    ],
)
def test_what_cannot_be_compared_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        call()
