"""Unsupervised domain adaptation: labelled images of a source domain, unlabelled images
of a target domain.

`fit_dann` trains the domain-adversarial network with the settings of the practical
(PRACTICAL) or of its paper (PAPER), and `fit_source_only` the baseline that sees no
target. `load_improved` gives a network of a recipe that works better.

Trainings take images uint8 (N, H, W) or (N, H, W, 3) and labels (N,), as tensors,
arrays or lists. Networks take pixels (N, 3, 28, 28) float32 in [0, 1] and standardise
them themselves.
The domain label of the source is 0, that of the target 1.
"""

from dlapps.core.training import History
from dlapps.dann.layers import (
    DomainAdversarialNetwork,
    GradientReversal,
    ImprovedNetwork,
    reversal_schedule,
)
from dlapps.dann.pictures import (
    accuracy,
    batch_to_pixels,
    predict,
    random_affine,
    random_strokes,
    random_textures,
)
from dlapps.dann.settings import (
    PAPER,
    PRACTICAL,
    SOURCE_ONLY,
    Settings,
)
from dlapps.dann.training import (
    dann_losses,
    fit_dann,
    fit_source_only,
    load_improved,
    load_trained,
)

__all__ = [
    "PAPER",
    "PRACTICAL",
    "SOURCE_ONLY",
    "DomainAdversarialNetwork",
    "GradientReversal",
    "History",
    "ImprovedNetwork",
    "Settings",
    "accuracy",
    "batch_to_pixels",
    "dann_losses",
    "fit_dann",
    "fit_source_only",
    "load_improved",
    "load_trained",
    "predict",
    "random_affine",
    "random_strokes",
    "random_textures",
    "reversal_schedule",
]
