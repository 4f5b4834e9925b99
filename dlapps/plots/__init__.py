"""Plots: arrays in, a matplotlib Figure out.

A plot function saves nothing, shows nothing and leaves matplotlib's style as it was.
Intervals are computed elsewhere and given as a mean with two ends.

Each chapter has a module: `transfer`, `visualizing`, `dann`, `gan`. What several
chapters draw, and the style of all figures, is in `general`. Import from the module, as
in `from dlapps.plots.general import plot_grid`: this package imports none of them, so
that a chapter depends only on what it draws.
"""

__all__ = [
    "dann",
    "diagrams",
    "gan",
    "general",
    "transfer",
    "visualizing",
]
