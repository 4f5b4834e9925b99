"""What all topics build on: files, pixels, class scores, trainings, the machine."""

__all__ = [
    "arrays",
    "assets",
    "checks",
    "class_scores",
    "classifier",
    "images",
    "paths",
    "runtime",
    "training",
    "weights",
]
