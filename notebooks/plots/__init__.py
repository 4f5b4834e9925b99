"""Figures of the chapters: arrays in, a matplotlib Figure out.

Each chapter has a module, as `checks` has: `transfer`, `visualizing`, `dann`, `gan`.
What several draw is in `pictures`, `points` and `diagrams`. What serves other work too,
and the style of all figures, is in `dlapps.plots`. Intervals are computed elsewhere and
given as a mean with two ends. This package imports none of its modules, so that a
chapter depends only on what it draws.
"""
