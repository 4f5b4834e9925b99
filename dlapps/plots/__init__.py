"""Figures: arrays in, a matplotlib Figure out; nothing is saved or shown, no global
style is touched.

There is a file for each chapter, `transfer`, `visualizing`, `dann` and `gan`; what
several chapters draw, and the style of all, is in `general`. Import from the file, as
in `from dlapps.plots.general import plot_grid`: this package loads none of them, so
that a chapter depends on nothing that it does not draw.
"""

__all__ = [
    "dann",
    "diagrams",
    "gan",
    "general",
    "transfer",
    "visualizing",
]
