"""What all topics build on: files, pixels, class scores, trainings, measures, the
machine.
"""

__all__ = [
    "arrays",
    "assets",
    "checks",
    "class_scores",
    "classifier",
    "environment",
    "images",
    "metrics",
    "paths",
    "runtime",
    "training",
    "weights",
]
