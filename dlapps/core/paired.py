"""Two classifiers, methods or scores on the same examples, or trainings: what they differ in, with its uncertainty."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, rankdata, t, ttest_ind

from dlapps import check_counts, check_name


@dataclass(frozen=True)
class Paired:
    """Two classifiers on N examples: how many only the first has right, how many only the second, and what follows.

    difference: accuracy of the first less that of the second; low, high: its 95 % interval; p_value: McNemar's.
    """

    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p_value: float


def compare_paired(first: ArrayLike, second: ArrayLike) -> Paired:
    """McNemar's exact test (1947) of two classifiers, booleans (N,): whether each example is right.

    With b and c the examples that only one has right, the difference is d = (b - c) / N, its standard error
    sqrt(b + c - (b - c)^2 / N) / N, and the p-value that of b of b + c tosses of a fair coin, two-sided. Where
    b + c is small the interval is too narrow: read the p-value. Raises ValueError unless both are booleans of one
    length.
    """
    first, second = np.asarray(first), np.asarray(second)
    are_flags = first.dtype == second.dtype == bool and first.ndim == 1
    if not are_flags or first.shape != second.shape or not len(first):
        raise ValueError(
            f"expected two rows of booleans (N,), got {first.dtype} {first.shape} and {second.dtype} {second.shape}; "
            "pass whether each example is right."
        )
    b, c, number = int((first & ~second).sum()), int((second & ~first).sum()), len(first)
    difference = (b - c) / number
    margin = 1.96 * math.sqrt(b + c - (b - c) ** 2 / number) / number
    p_value = float(binomtest(b, b + c).pvalue) if b + c else 1.0
    return Paired(b, c, difference, max(-1.0, difference - margin), min(1.0, difference + margin), p_value)


@dataclass(frozen=True)
class Interval:
    """A mean, or a correlation, and its 95 % interval; in a format, as in f"{interval:.2f}", "0.50 (0.40 to 0.60)"."""

    mean: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        return f"{self.mean:{form}} ({self.low:{form}} to {self.high:{form}})"


def bootstrap_mean(values: ArrayLike, num_comparisons: int = 1, num_draws: int = 10_000, seed: int = 0) -> Interval:
    """The mean of values (N, ...) and the 2.5 and 97.5 % quantiles of means over N rows drawn with replacement.

    Of two methods on the same examples pass the differences; what belongs together, such as the classes of one picture,
    is one row. Of C comparisons each has the quantiles .025 / C and 1 - .025 / C of C times as many draws (Bonferroni).
    For ten or twenty rows the intervals are too narrow: see `compare_seeds`. Raises ValueError without a row, for
    values that are not finite, and for C below 1.
    """
    check_counts(num_comparisons=num_comparisons, num_draws=num_draws)
    rows = np.asarray(values, dtype=float)
    if not rows.size or not np.isfinite(rows).all():
        raise ValueError(f"expected finite values (N, ...), got shape {rows.shape}; leave out what was not measured.")
    means = rows.reshape(len(rows), -1).mean(1)
    draws = np.random.default_rng(seed).integers(0, len(means), (num_draws * num_comparisons, len(means)))
    tail = 0.025 / num_comparisons
    low, high = np.quantile(means[draws].mean(1), (tail, 1 - tail))
    return Interval(float(means.mean()), float(low), float(high))


def bootstrap_gains(
    methods: Mapping[str, Mapping[str, ArrayLike]], baseline: str, scores: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    """By how much each other method exceeds the baseline, {method: {score: interval}}, as `bootstrap_mean` has it.

    methods: {method: {score: values (N, ...)}}, all on the same examples in the same order. The intervals of a score
    are corrected for the number of methods. Raises ValueError for a baseline that is not among the methods,
    and for values of several shapes.
    """
    check_name("a baseline", baseline, methods)
    base, others = methods[baseline], {name: values for name, values in methods.items() if name != baseline}
    for score in scores:
        shapes = {np.shape(values[score]) for values in methods.values()}
        if len(shapes) > 1:
            raise ValueError(f"expected {score} of the same examples, got shapes {sorted(shapes)}; take common ones.")
    return {
        name: {score: bootstrap_mean(np.subtract(values[score], base[score]), len(others)) for score in scores}
        for name, values in others.items()
    }


def compare_seeds(first: ArrayLike, second: ArrayLike, num_comparisons: int = 1) -> Interval:
    """Mean difference of two trainings' scores over the same seeds, float (S,), and Student's interval for pairs.

    Of two methods' scores on the same few examples, such as ten classes, as well: a bootstrap is too narrow for these.
    Mean ± t sd / sqrt(S), t the 1 - .025 / C quantile for S - 1 degrees of freedom: 4.3 for three seeds and one
    comparison. Of C comparisons the intervals hold together with a probability of at least 95 % (Bonferroni). Raises
    ValueError unless both have one length, two or more, and for C below 1.
    """
    check_counts(num_comparisons=num_comparisons)
    first, second = np.asarray(first, float), np.asarray(second, float)
    differences = first - second if first.shape == second.shape else np.empty(0)
    if first.ndim != 1 or len(differences) < 2 or not np.isfinite(differences).all():
        raise ValueError(
            f"expected two finite scores of the same seeds (S,), S at least 2, got {first.shape} and {second.shape}; "
            "take the seeds that both finished."
        )
    mean, number = float(differences.mean()), len(differences)
    margin = float(t.ppf(1 - 0.025 / num_comparisons, number - 1) * differences.std(ddof=1) / math.sqrt(number))
    return Interval(mean, mean - margin, mean + margin)


def compare_means(first: ArrayLike, second: ArrayLike, num_comparisons: int = 1) -> Interval:
    """Difference of the means of two scores of other seeds, float (S,) and (T,), and Welch's interval (1947).

    For trainings that have nothing in common but the data, so that pairing them by their seeds would mean nothing. Of
    several comparisons the intervals hold together, as those of `compare_seeds` do. Raises ValueError unless both have
    two values or more, and where neither of them varies.
    """
    check_counts(num_comparisons=num_comparisons)
    first, second = np.asarray(first, float), np.asarray(second, float)
    if any(scores.ndim != 1 or len(scores) < 2 or not np.isfinite(scores).all() for scores in (first, second)):
        raise ValueError(
            f"expected two finite scores (S,) and (T,), S and T at least 2, got {first.shape} and {second.shape}; run "
            "more seeds."
        )
    if not (np.ptp(first) or np.ptp(second)):
        raise ValueError("expected scores that vary over seeds, got two constants; compare their values.")
    interval = ttest_ind(first, second, equal_var=False).confidence_interval(1 - 0.05 / num_comparisons)
    return Interval(float(first.mean() - second.mean()), float(interval.low), float(interval.high))


def compare_splits(first: ArrayLike, second: ArrayLike, num_train: int, num_test: int) -> Interval:
    """Mean difference of two recipes' scores over the same random splits, float (S,), and its corrected interval.

    Splits of one data set share examples, so the variance of the differences is multiplied by 1 / S + num_test /
    num_train instead of 1 / S (Nadeau and Bengio 2003). Raises ValueError unless both have one length, two
    or more.
    """
    uncorrected = compare_seeds(first, second)
    number = len(np.asarray(first))
    margin = (uncorrected.high - uncorrected.mean) * math.sqrt(1 + number * num_test / num_train)
    return Interval(uncorrected.mean, uncorrected.mean - margin, uncorrected.mean + margin)


def compare_factors(groups: Mapping[str, ArrayLike], control: ArrayLike) -> dict[str, Interval]:
    """By what factor the geometric mean of each group exceeds that of a control, with intervals that hold all at once.

    groups: {name: positive scores of its seeds (S,)}; control (T,). Their logarithms share one standard deviation s,
    pooled with f degrees of freedom over groups and control, and the intervals are exp(d ± t s sqrt(1 / S + 1 / T)), d
    the difference of mean logarithms and t the 1 - .025 / G quantile for f, for G groups (Bonferroni): they hold
    together with a probability of 95 % or slightly more, as those of Dunnett (1955) do, which are narrower by two or
    three percent. Raises ValueError without a group, for scores that are not positive, and where nothing varies.
    """
    known = [np.asarray(scores, float) for scores in (*groups.values(), control)]
    if not groups or not all(scores.ndim == 1 and scores.size and (scores > 0).all() for scores in known):
        raise ValueError("expected groups and a control of positive scores (S,), got others; leave those out.")
    if not any(np.ptp(scores) for scores in known):
        raise ValueError("expected scores that vary over seeds, got constants; compare their values.")
    logs = [np.log(scores) for scores in known]
    means, sizes = (np.array([measure(log) for log in logs]) for measure in (np.mean, np.size))
    freedom = sizes.sum() - len(logs)
    variance = sum(log.var() * log.size for log in logs) / freedom
    margins = t.ppf(1 - 0.025 / len(groups), freedom) * np.sqrt(variance * (1 / sizes[:-1] + 1 / sizes[-1]))
    factors = np.exp(means[:-1] - means[-1] + np.outer((0, -1, 1), margins)).T.tolist()
    return {name: Interval(*factor) for name, factor in zip(groups, factors, strict=True)}


def rank_correlation(
    first: ArrayLike, second: ArrayLike, groups: ArrayLike, num_draws: int = 2000, seed: int = 0
) -> Interval:
    """Spearman's rank correlation of two scores (N,), and its quantiles over groups drawn with replacement.

    groups (N,) names what belongs together, as the seeds of one training do: they are drawn as one. Raises ValueError
    unless the three have one length, for scores that are not finite, and for a score of one value, which has no ranks.
    """
    scores, groups = np.array([first, second], dtype=float), np.asarray(groups)
    if groups.ndim != 1 or scores.shape != (2, len(groups)) or not np.isfinite(scores).all():
        raise ValueError(
            f"expected finite scores (N,) and groups (N,), got {scores.shape[1:]} and {groups.shape}; leave out what "
            "was not measured."
        )
    if (np.ptp(scores, axis=1) == 0).any():
        raise ValueError("expected scores that differ, got one value; compare others.")
    rows = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    draws = np.random.default_rng(seed).integers(0, len(rows), (num_draws, len(rows)))
    drawn = [scores[:, np.concatenate([rows[place] for place in draw])] for draw in draws]
    # A draw of one group alone, of one value, has no ranks either.
    correlations = [_correlate_ranks(pair) for pair in drawn if (np.ptp(pair, axis=1) > 0).all()]
    low, high = np.quantile(correlations, (0.025, 0.975))
    return Interval(_correlate_ranks(scores), float(low), float(high))


def _correlate_ranks(scores: np.ndarray) -> float:
    return float(np.corrcoef(rankdata(scores, axis=1))[0, 1])
