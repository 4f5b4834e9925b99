"""How close samples are to real images, on features (N, D).

Features are the output of a network, as tensors, arrays or lists; two sets have to come
from one network.
"""

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps.core.arrays import as_tensor


def precision_recall(
    real: ArrayLike, fake: ArrayLike, k: int = 3
) -> tuple[float, float]:
    """Compute precision and recall of fakes (Kynkäänniemi et al. 2019, eq. 1-2).

    Precision is the share of fakes inside the real manifold, recall the share of reals
    inside the fake one. A manifold is the union of balls around its points, each as
    large as the distance to the k-th nearest other point.

    real: features (N, D).
    fake: features (M, D).

    Raises ValueError for features that are not finite.
    """
    real = as_tensor(real).double()
    fake = as_tensor(fake).double()
    if not (real.isfinite().all() and fake.isfinite().all()):
        raise ValueError(
            "expected finite features, got NaN or infinity; "
            "check the network and its input."
        )
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def _share_inside(points: Tensor, others: Tensor, k: int) -> float:
    distances = torch.cdist(others, others)
    # The nearest of all is the point itself; a point on a ball's surface is inside.
    radii = distances.kthvalue(k + 1).values * (1 + 1e-9)
    return float((torch.cdist(points, others) <= radii).any(1).double().mean())
