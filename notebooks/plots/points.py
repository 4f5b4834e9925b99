"""Rows of points: what trainings or splits gave, their means, and intervals."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from dlapps.plots import COLOURS

GREY = "#777777"

# A mean, and the lower and the upper end of its interval.
Estimate = tuple[float, float, float]


def draw_points(
    ax: Axes, y: float, values: np.ndarray | Sequence[float], colour: str = GREY
) -> None:
    """Draw values as dots at one height, and their mean as a bar."""
    rows = np.full(len(values), y)
    ax.plot(values, rows, "o", color=colour, alpha=0.6, markeredgewidth=0)
    ax.vlines(np.mean(values), y - 0.2, y + 0.2, color=colour, linewidth=1.2)


def draw_estimate(ax: Axes, y: float, estimate: Estimate) -> None:
    """Draw a mean in points with its interval, grey if this contains 0."""
    mean, low, high = estimate
    colour = COLOURS[0] if low > 0 or high < 0 else GREY
    reach = [[mean - low], [high - mean]]
    ax.errorbar(mean, y, xerr=reach, fmt="|", markersize=9, capsize=2, color=colour)
    ax.text(high, y, f"  {mean:+.1f}", va="center", color=colour)


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows, the first on top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
