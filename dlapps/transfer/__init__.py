"""Transfer learning: features of pictures from a frozen network, and a classifier on
them or on retrained layers.

`DeepFeatures` and `extract_features` take features from any layer. `linear` chooses
support vector machines on them by cross-validation, and fuses their scores. `finetune`
trains a new last layer, with or without the layers before it.
"""

from dlapps.transfer import finetune, linear
from dlapps.transfer.features import DeepFeatures, extract_features, pool

__all__ = [
    "DeepFeatures",
    "extract_features",
    "finetune",
    "linear",
    "pool",
]
