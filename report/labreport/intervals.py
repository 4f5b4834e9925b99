"""A mean, a difference or a ratio with its 95 % interval: a function for each case.

A difference is shown where its interval excludes 0, a ratio where it excludes 1.
`number` says how many comparisons one table or sentence makes. Each interval then has
the level 1 - .05 / number, so that all of them hold together with a probability of at
least 95 % (Bonferroni).

Scores are float (N, ...). What belongs together, such as the classes of one picture, is
one row and counts once, as its mean. Raises LabreportError for scores that are not
finite.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, sem, t, ttest_ind

from labreport import check_counts, expected


class Interval(NamedTuple):
    """An estimate and the bounds of its interval.

    In a format, as in f"{gain:+.1f}", it is "+27.9 (+22.7 to +33.0)"; without one each
    number has three digits.
    """

    mean: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        form = form or ".3g"
        return f"{self.mean:{form}} ({self.low:{form}} to {self.high:{form}})"


def mean(values: ArrayLike, number: int = 1) -> Interval:
    """Mean of values (N, ...) with Student's interval, ± t sd / sqrt(N).

    Of booleans (N,) it is `proportion`. Of equal values, whose sd is 0, the interval
    has no width, however few they are. Raises LabreportError for fewer than two rows.
    """
    check_counts(number=number)
    rows = _average_rows(values)
    if np.ndim(values) == 1 and np.asarray(values).dtype == bool:
        return proportion(int(rows.sum()), len(rows), number)
    center = float(rows.mean())
    margin = float(t.ppf(1 - 0.025 / number, len(rows) - 1) * sem(rows))
    return Interval(center, center - margin, center + margin)


def compare(
    first: ArrayLike, second: ArrayLike, number: int = 1, paired: bool = False
) -> Interval:
    """Mean of the first scores (N, ...) minus that of the second (M, ...).

    The interval is Welch's (1947); with `paired`, that of `mean` for the differences.
    Scores are paired if they are of the same pictures, grids or classes, or of one
    network measured twice; trainings are not paired by their seed. Raises
    LabreportError for fewer than two rows; if paired, for two shapes; else, if neither
    varies.
    """
    if paired:
        if np.shape(first) != np.shape(second):
            raise expected(
                "pairs of scores",
                f"shapes {np.shape(first)} and {np.shape(second)}",
                "take what both have",
            )
        return mean(np.subtract(first, second, dtype=float), number)
    check_counts(number=number)
    first_rows = _average_rows(first)
    second_rows = _average_rows(second)
    if np.ptp(first_rows) == 0 and np.ptp(second_rows) == 0:
        raise expected("scores that vary", "two constants", "compare their values")
    test = ttest_ind(first_rows, second_rows, equal_var=False)
    interval = test.confidence_interval(1 - 0.05 / number)
    difference = first_rows.mean() - second_rows.mean()
    return Interval(float(difference), float(interval.low), float(interval.high))


def ratio(first: ArrayLike, second: ArrayLike, number: int = 1) -> Interval:
    """Geometric mean of the first scores over that of the second.

    It is `compare` of their logarithms. Raises LabreportError for scores that are not
    positive, and as `compare` does.
    """
    for scores in (first, second):
        if not np.all(np.asarray(scores, float) > 0):
            raise expected("positive scores", "others", "compare their differences")
    logarithms = compare(np.log(first), np.log(second), number)
    return Interval(*np.exp(logarithms).tolist())


@dataclass(frozen=True)
class McNemar:
    """How many examples only one of two classifiers has right, and what that shows.

    low, high: the interval of the difference of their accuracies.
    """

    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p_value: float


def mcnemar(first: ArrayLike, second: ArrayLike, number: int = 1) -> McNemar:
    """McNemar's exact test (1947) of two classifiers on the same examples.

    first, second: booleans (N,), whether each example is right. The p-value is that of
    b heads in b + c tosses of a fair coin, two-sided, with b and c the examples that
    only one has right; it is not corrected. The interval, of paired differences, is
    good from about 1,000 examples on. Raises LabreportError unless both are booleans of
    one length, two or more.
    """
    first = np.asarray(first)
    second = np.asarray(second)
    are_booleans = first.dtype == second.dtype == bool
    if not are_booleans or first.shape != second.shape or first.ndim != 1:
        raise expected(
            "two rows of booleans (N,)",
            f"{first.dtype} {first.shape} and {second.dtype} {second.shape}",
            "pass whether each example is right",
        )
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    p_value = 1.0
    if only_first + only_second > 0:
        p_value = float(binomtest(only_first, only_first + only_second).pvalue)
    difference, low, high = compare(first, second, number, paired=True)
    return McNemar(only_first, only_second, difference, low, high, p_value)


def compare_splits(
    first: ArrayLike, second: ArrayLike, num_train: int, num_test: int
) -> Interval:
    """Mean difference of two recipes over the same random splits of one data set.

    first, second: float (S,). The splits share examples, so the interval of paired
    differences is widened by sqrt(1 + S num_test / num_train) (Nadeau and Bengio 2003).
    Raises LabreportError as `compare` does for pairs, and for sizes below 1.
    """
    check_counts(num_train=num_train, num_test=num_test)
    difference, _, high = compare(first, second, paired=True)
    widening = float(np.sqrt(1 + np.size(first) * num_test / num_train))
    margin = (high - difference) * widening
    return Interval(difference, difference - margin, difference + margin)


def proportion(count: int, total: int, number: int = 1) -> Interval:
    """Share of independent examples, such as an accuracy, with its exact interval.

    The interval is Clopper and Pearson's. Raises LabreportError unless 0 <= count <=
    total, both whole numbers.
    """
    check_counts(total=total, number=number)
    check_counts(0, count=count)
    if count > total:
        raise expected(
            f"a count up to the total of {total}", count, "pass the count first"
        )
    low, high = binomtest(count, total).proportion_ci(1 - 0.05 / number)
    return Interval(count / total, float(low), float(high))


def _average_rows(scores: ArrayLike) -> np.ndarray:
    rows = np.asarray(scores, dtype=float)
    if rows.ndim < 1 or len(rows) < 2 or rows.size == 0:
        raise expected(
            "two scores or more (N, ...)", f"shape {rows.shape}", "measure more"
        )
    not_finite = np.count_nonzero(~np.isfinite(rows))
    if not_finite:
        raise expected(
            "finite scores",
            f"{not_finite} of {rows.size} that are not",
            "leave them out or measure them again",
        )
    return rows.reshape(len(rows), -1).mean(1)
