"""A mean or a difference with its 95 % interval: a function for each case.

A difference is shown where its interval excludes 0. `number` says how many
comparisons one table or sentence makes. Each interval then has the level
1 - .05 / number, so that all of them hold together with a probability of at least 95 %
(Bonferroni).

Scores are float (N, ...). What belongs together, such as the classes of one picture, is
one row and counts once, as its mean. Raises LabreportError for fewer than two rows, and
for scores that are not finite.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, sem, t, ttest_ind

from labreport import expected


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

    Of booleans (N,) it is `proportion`. Of equal values the interval has no width,
    however few they are.
    """
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

    The interval is Welch's (1947); its bounds are NaN if neither varies. With `paired`
    it is that of `mean` for the differences of rows, and N = M. Scores are paired if
    they are of the same pictures, grids or classes, or of one network measured twice;
    trainings are not paired by their seed.
    """
    first_rows = _average_rows(first)
    second_rows = _average_rows(second)
    if paired:
        return mean(first_rows - second_rows, number)
    difference = float(first_rows.mean() - second_rows.mean())
    test = ttest_ind(first_rows, second_rows, equal_var=False)
    low, high = test.confidence_interval(1 - 0.05 / number)
    return Interval(difference, float(low), float(high))


def compare_splits(
    first: ArrayLike,
    second: ArrayLike,
    num_train: int,
    num_test: int,
    number: int = 1,
) -> Interval:
    """Mean difference of two recipes over the same random splits of one data set.

    first, second: float (S,). The splits share examples, so the interval of paired
    differences is widened by sqrt(1 + S num_test / num_train) (Nadeau and Bengio 2003).
    """
    difference, _, high = compare(first, second, number, paired=True)
    widening = float(np.sqrt(1 + np.size(first) * num_test / num_train))
    margin = (high - difference) * widening
    return Interval(difference, difference - margin, difference + margin)


def proportion(count: int, total: int, number: int = 1) -> Interval:
    """Share of independent examples, such as an accuracy, with its exact interval,
    Clopper and Pearson's.

    Raises ValueError unless 0 <= count <= total.
    """
    low, high = binomtest(count, total).proportion_ci(1 - 0.05 / number)
    return Interval(count / total, float(low), float(high))


def _average_rows(scores: ArrayLike) -> np.ndarray:
    rows = np.asarray(scores, dtype=float)
    num_finite = np.isfinite(rows).sum()
    if rows.ndim == 0 or len(rows) < 2 or num_finite < rows.size:
        got = f"shape {rows.shape} with {num_finite} that are finite"
        raise expected("two finite scores or more (N, ...)", got, "measure again")
    return rows.reshape(len(rows), -1).mean(1)
