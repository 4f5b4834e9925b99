"""Class visualisation: pictures that raise a class score, found by gradient ascent.

`Settings` name what is raised (an objective less regularisers), what the picture is
made of (a parametrisation), what moves it before the network reads it (transforms) and
the steps of the ascent: `visualize(network, 106, PRACTICAL)`.
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
