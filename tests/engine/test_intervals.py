"""Intervals agree with scipy and with cases done by hand."""

import numpy as np
import pytest
from scipy.stats import binom, t, ttest_ind, ttest_rel

from labreport import LabreportError
from labreport.intervals import (
    Interval,
    compare,
    compare_splits,
    mean,
    proportion,
)

FIRST = np.random.default_rng(3).normal(0.8, 0.01, 5)
SECOND = np.random.default_rng(4).normal(0.8, 0.01, 5)


def test_an_interval_formats_itself():
    gain = Interval(27.9, -2.7, 33.0)
    assert f"{gain:+.1f}" == "+27.9 (-2.7 to +33.0)"
    assert f"{gain:.0%}" == "2790% (-270% to 3300%)"


@pytest.mark.parametrize(("number", "level"), [(1, 0.95), (5, 0.99)])
def test_means_are_compared_as_by_scipy(number, level):
    test = ttest_rel(FIRST, SECOND)
    found = compare(FIRST, SECOND, number, paired=True)
    low, high = test.confidence_interval(level)
    difference = FIRST.mean() - SECOND.mean()
    assert tuple(found) == pytest.approx((difference, low, high))
    test = ttest_ind(FIRST, SECOND[:3], equal_var=False)
    found = compare(FIRST, SECOND[:3], number)
    low, high = test.confidence_interval(level)
    difference = FIRST.mean() - SECOND[:3].mean()
    assert tuple(found) == pytest.approx((difference, low, high))


def test_a_mean_is_a_comparison_with_nothing_and_a_row_counts_once():
    assert mean(FIRST) == compare(FIRST, np.zeros(5), paired=True)
    rows = np.arange(12.0).reshape(3, 4) ** 2
    assert mean(rows) == mean(rows.mean(1))
    assert compare(rows, rows[:2]) == compare(rows.mean(1), rows[:2].mean(1))
    assert tuple(mean([0.5, 0.5, 0.5])) == (0.5, 0.5, 0.5)
    assert mean(np.arange(10) < 8, 2) == proportion(8, 10, 2)


@pytest.mark.parametrize("number", [1, 5])
def test_splits_that_share_pictures_have_a_wider_interval(number):
    first = np.array([0.91, 0.93, 0.92, 0.95])
    second = np.array([0.90, 0.90, 0.92, 0.91])
    variance = (1 / 4 + 300 / 150) * (first - second).var(ddof=1)
    margin = t.ppf(1 - 0.025 / number, 3) * np.sqrt(variance)
    found = compare_splits(first, second, 150, 300, number)
    assert tuple(found) == pytest.approx((0.02, 0.02 - margin, 0.02 + margin))


def test_a_proportion_is_bounded_where_scipy_s_binomial_tails_are():
    found = proportion(61, 80, 5)
    assert found.mean == 61 / 80
    assert binom.cdf(61, 80, found.high) == pytest.approx(0.005)
    assert binom.sf(60, 80, found.low) == pytest.approx(0.005)


def test_what_is_missing_is_said_in_one_sentence():
    with pytest.raises(LabreportError, match=r"got shape \(3,\) with 2 that"):
        compare(FIRST, [0.1, 0.2, np.nan])
