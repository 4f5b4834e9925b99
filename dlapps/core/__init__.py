"""What all topics stand on: files, pixels, scores, trainings, measurements, the
machine.
"""

__all__ = [
    "assets",
    "class_scores",
    "environment",
    "images",
    "metrics",
    "paths",
    "runtime",
    "training",
]
