"""A mean, a difference or a ratio with its 95 % interval: one rule, a function a case.

A difference is shown where its interval excludes 0, a ratio where it excludes 1.
`number` says how many comparisons one table or sentence makes: each interval then has
the level 1 - .05 / number, so that all of them hold together with a probability of at
least 95 % (Bonferroni). Scores are float (N, ...): what belongs together, such as the
classes of one picture, is one row and counts once, as its mean. Scores that are not
finite are ValueErrors.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, sem, t, ttest_ind

from labreport import check_counts


class Interval(NamedTuple):
    """An estimate and the bounds of its interval; in a format, as in f"{gain:+.1f}",
    "+27.9 (+22.7 to +33.0)".
    """

    mean: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        return f"{self.mean:{form}} ({self.low:{form}} to {self.high:{form}})"


def mean(values: ArrayLike, number: int = 1) -> Interval:
    """The mean of values (N, ...) and Student's interval, ± t sd / sqrt(N); of booleans
    (N,) that of `proportion`.

    Raises ValueError for fewer than two rows.
    """
    check_counts(number=number)
    rows = _average_rows(values)
    if np.ndim(values) == 1 and np.asarray(values).dtype == bool:
        return proportion(int(rows.sum()), len(rows), number)
    margin = t.ppf(1 - 0.025 / number, len(rows) - 1) * sem(rows)
    return Interval(
        float(rows.mean()), float(rows.mean() - margin), float(rows.mean() + margin)
    )


def compare(
    first: ArrayLike, second: ArrayLike, number: int = 1, paired: bool = False
) -> Interval:
    """How much the mean of the first scores (N, ...) exceeds that of the second (M,
    ...): Welch's interval (1947).

    paired: both are of the same pictures, grids or classes, or of one network measured
    twice: the interval of `mean` for the differences. Trainings are not paired by their
    seed. Raises ValueError for fewer than two rows; paired, for two shapes; unpaired,
    where neither varies.
    """
    if paired:
        if np.shape(first) != np.shape(second):
            got = f"shapes {np.shape(first)} and {np.shape(second)}"
            raise ValueError(
                f"expected pairs of scores, got {got}; take what both have."
            )
        return mean(np.subtract(first, second, dtype=float), number)
    check_counts(number=number)
    one, other = _average_rows(first), _average_rows(second)
    if not (np.ptp(one) or np.ptp(other)):
        raise ValueError(
            "expected scores that vary, got two constants; compare their values."
        )
    interval = ttest_ind(one, other, equal_var=False).confidence_interval(
        1 - 0.05 / number
    )
    return Interval(
        float(one.mean() - other.mean()), float(interval.low), float(interval.high)
    )


def ratio(first: ArrayLike, second: ArrayLike, number: int = 1) -> Interval:
    """By what factor the geometric mean of the first scores exceeds the second's:
    `compare` of their logarithms.

    Raises ValueError for scores that are not positive, and as `compare` does.
    """
    if not all((np.asarray(scores, float) > 0).all() for scores in (first, second)):
        raise ValueError(
            "expected positive scores, got others; compare their differences."
        )
    found = compare(np.log(first), np.log(second), number)
    return Interval(*np.exp(found).tolist())


@dataclass(frozen=True)
class McNemar:
    """How many examples only one of two classifiers has right, the difference of their
    accuracies, and its interval.
    """

    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p_value: float


def mcnemar(first: ArrayLike, second: ArrayLike, number: int = 1) -> McNemar:
    """McNemar's exact test (1947) of two classifiers, booleans (N,): whether each
    example is right.

    The p-value is that of b of b + c tosses of a fair coin, two-sided, with b and c the
    examples that only one has right; it is not corrected. The interval, of paired
    differences, serves from about 1,000 examples on. Raises ValueError unless both are
    booleans of one length, two or more.
    """
    first, second = np.asarray(first), np.asarray(second)
    if (
        not first.dtype == second.dtype == bool
        or first.shape != second.shape
        or first.ndim != 1
    ):
        got = f"{first.dtype} {first.shape} and {second.dtype} {second.shape}"
        raise ValueError(
            f"expected two rows of booleans (N,), got {got}; pass whether each example is right."
        )
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    found = compare(first, second, number, paired=True)
    p_value = float(binomtest(b, b + c).pvalue) if b + c else 1.0
    return McNemar(b, c, found.mean, found.low, found.high, p_value)


def compare_splits(
    first: ArrayLike, second: ArrayLike, num_train: int, num_test: int
) -> Interval:
    """Mean difference of two recipes over the same S random splits of one data set,
    float (S,), as Nadeau and Bengio.

    The splits share examples, so the interval of paired differences is widened by
    sqrt(1 + S num_test / num_train) (2003). Raises ValueError as paired scores do, and
    for sizes below 1.
    """
    check_counts(num_train=num_train, num_test=num_test)
    found = compare(first, second, paired=True)
    margin = (found.high - found.mean) * float(
        np.sqrt(1 + np.size(first) * num_test / num_train)
    )
    return Interval(found.mean, found.mean - margin, found.mean + margin)


def proportion(count: int, total: int, number: int = 1) -> Interval:
    """A share of independent examples, such as an accuracy on N images, and its exact
    interval (Clopper-Pearson).

    Raises ValueError unless 0 <= count <= total, both whole numbers.
    """
    check_counts(total=total, number=number)
    check_counts(0, count=count, missing=total - count)
    low, high = binomtest(count, total).proportion_ci(1 - 0.05 / number)
    return Interval(count / total, float(low), float(high))


def _average_rows(scores: ArrayLike) -> np.ndarray:
    rows = np.asarray(scores, dtype=float)
    if rows.ndim < 1 or len(rows) < 2 or not rows.size or not np.isfinite(rows).all():
        wanted = "two finite scores or more (N, ...)"
        raise ValueError(f"expected {wanted}, got shape {rows.shape}; measure more.")
    return rows.reshape(len(rows), -1).mean(1)
