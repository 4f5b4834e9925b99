"""Unsupervised domain adaptation: labelled images of a source domain, unlabelled ones
of a target domain.

The domain-adversarial network of the practical and of its paper (`fit_dann`, PRACTICAL,
PAPER) beside the source-only baseline (`fit_source_only`), and a recipe that works
better (`fit_improved`).

Trainings take images uint8 (N, H, W) or (N, H, W, 3) and labels (N,), tensors, arrays
or lists; networks take RGB pixels (N, 3, 28, 28) float32 in [0, 1] and standardise them
themselves, or what their own extractor takes (`DomainAdversarialNetwork`). Domain
labels: source 0, target 1.
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
    random_textures,
)
from dlapps.dann.training import (
    IMPROVED,
    PAPER,
    PRACTICAL,
    SOURCE_ONLY,
    ImprovedSettings,
    Settings,
    augment_source,
    dann_losses,
    fit_dann,
    fit_improved,
    fit_source_only,
    load_improved,
    load_trained,
)

__all__ = [
    "IMPROVED",
    "PAPER",
    "PRACTICAL",
    "SOURCE_ONLY",
    "DomainAdversarialNetwork",
    "GradientReversal",
    "History",
    "ImprovedNetwork",
    "ImprovedSettings",
    "Settings",
    "accuracy",
    "augment_source",
    "batch_to_pixels",
    "dann_losses",
    "fit_dann",
    "fit_improved",
    "fit_source_only",
    "load_improved",
    "load_trained",
    "predict",
    "random_affine",
    "random_textures",
    "reversal_schedule",
]
