"""Figures of the chapters: arrays in, a matplotlib Figure out.

Each chapter has a module, as `checks` has: `transfer`, `visualizing`, `dann`, `gan`.
Diagrams of networks are made by `diagrams`. What serves other work too, and the style
of all figures, is in `dlapps.plots`. Intervals are computed elsewhere and given as a
mean with two ends. This package imports none of its modules, so that a chapter depends
only on what it draws.
"""

# A mean, and the lower and the upper end of its interval.
Estimate = tuple[float, float, float]
