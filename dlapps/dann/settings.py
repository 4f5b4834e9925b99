"""Settings of trainings: those of the practical and of the paper."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from dlapps.core.checks import check_between, check_counts
from dlapps.dann.layers import reversal_schedule


@dataclass(frozen=True)
class Settings:
    """Settings of a training by stochastic gradient descent with MOMENTUM.

    batch_size: images of each domain in a batch.
    learning_rate: the rate at the start. At a progress p in [0, 1] it has fallen to
        learning_rate / (1 + 10 p)^.75.
    schedule: the reversal weight, a constant or a function of p. With 0 the feature
        extractor does not see the domain loss; with -1 it learns to tell the domains
        apart.
    max_norm: the gradient of all weights is shortened to this length.
    """

    num_epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.01
    schedule: float | Callable[[float], float] = reversal_schedule(2)  # noqa: RUF009 - it has no state to share.
    max_norm: float = math.inf

    def __post_init__(self) -> None:
        check_counts(num_epochs=self.num_epochs, batch_size=self.batch_size)
        check_between(
            0, math.inf, learning_rate=self.learning_rate, max_norm=self.max_norm
        )

    def weight(self, progress: float) -> float:
        """Return the reversal weight at a progress in [0, 1]."""
        if callable(self.schedule):
            return self.schedule(progress)
        return self.schedule

    def rate(self, progress: float) -> float:
        """Return the learning rate at a progress in [0, 1]."""
        return self.learning_rate / (1 + 10 * progress) ** 0.75


SOURCE_ONLY = Settings(num_epochs=10, batch_size=128)
PRACTICAL = Settings()
# The features climb the domain loss, which has no bound: if the gradient had none
# either, seed 0 would end in NaN in its second epoch.
PAPER = Settings(schedule=reversal_schedule(10), max_norm=5.0)
