"""Class visualisation: the picture that raises a class score, found by gradient ascent
on the picture itself.

`Settings` say what is raised (an objective minus regularisers), what the picture is
made of (a parametrisation), what is done to it before the network reads it (transforms)
and how it is climbed: `visualize(network, 106, PRACTICAL)`.
"""

from dlapps.class_visualization.ascent import (
    MODERN,
    PRACTICAL,
    ROBUST,
    Settings,
    Visualization,
    judge,
    visualize,
)
from dlapps.class_visualization.ingredients import (
    L2,
    Crop,
    Fourier,
    Jitter,
    Noise,
    Seen,
    TotalVariation,
    Warp,
    class_score,
)

__all__ = [
    "L2",
    "MODERN",
    "PRACTICAL",
    "ROBUST",
    "Crop",
    "Fourier",
    "Jitter",
    "Noise",
    "Seen",
    "Settings",
    "TotalVariation",
    "Visualization",
    "Warp",
    "class_score",
    "judge",
    "visualize",
]
