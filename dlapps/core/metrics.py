"""Measures of how close samples are to real images, on features (N, D).

Features are the output of a network, as tensors, arrays or lists; two sets have to come
from one network. Functions raise ValueError for other shapes, and for features that are
not finite.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.linalg import sqrtm
from torch import Tensor

from dlapps.core.arrays import as_tensor
from dlapps.core.checks import check_counts


def frechet_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Compute the Fréchet distance of features (N, D) and (M, D) as Gaussians.

    It is ||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) with means m and covariances C
    (Heusel et al. 2017, equation 6), and never below 0. A small N biases it upwards:
    state it beside the distance of real images to other real images of the same number.
    """
    first, second = as_features(first, second)
    c1 = np.atleast_2d(np.cov(first.numpy().T))
    c2 = np.atleast_2d(np.cov(second.numpy().T))
    shift = (first.mean(0) - second.mean(0)).square().sum()
    cross = np.trace(sqrtm(c1 @ c2)).real
    return max(0.0, float(shift + np.trace(c1) + np.trace(c2) - 2 * cross))


def precision_recall(
    real: ArrayLike, fake: ArrayLike, k: int = 3
) -> tuple[float, float]:
    """Compute precision and recall of fakes (Kynkäänniemi et al. 2019, eq. 1-2).

    Precision is the share of fakes inside the real manifold, recall the share of reals
    inside the fake one. A manifold is the union of balls around its points, each as
    large as the distance to the k-th nearest other point.

    real: features (N, D).
    fake: features (M, D).
    """
    real, fake = as_features(real, fake)
    check_counts(k=k)
    if k >= min(len(real), len(fake)):
        raise ValueError(
            f"expected more than k = {k} features, got {len(real)} and {len(fake)}; "
            "take more."
        )
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def _share_inside(points: Tensor, others: Tensor, k: int) -> float:
    distances = torch.cdist(others, others)
    # The nearest of all is the point itself; a point on a ball's surface is inside.
    radii = distances.kthvalue(k + 1).values * (1 + 1e-9)
    return float((torch.cdist(points, others) <= radii).any(1).double().mean())


def entropy(shares: ArrayLike) -> float:
    """Compute -sum p log p in nats.

    It is log K when all K classes are equally frequent, and 0 when there is one. Raises
    ValueError for shares that are negative, or whose sum is not 1 to a thousandth.
    """
    shares = as_tensor(shares)
    least, total = float(shares.min()), float(shares.sum())
    if not (least >= 0 and abs(total - 1) < 1e-3):
        raise ValueError(
            f"expected shares that add up to 1, got a sum of {total:.4g} with a least "
            f"of {least:.4g}; divide counts by their sum."
        )
    return float(torch.special.entr(shares).sum())


def as_features(
    first: ArrayLike, second: ArrayLike, least: int = 2
) -> tuple[Tensor, Tensor]:
    """Return both as float64 (N, D) and (M, D).

    Raises ValueError if their D differ, if one has fewer rows than `least`, and if a
    value is not finite.
    """
    first, second = as_tensor(first).double(), as_tensor(second).double()
    have_shape = first.ndim == 2 and first.shape[1:] == second.shape[1:]
    if not have_shape or min(len(first), len(second)) < least:
        raise ValueError(
            f"expected features (N, D) and (M, D), N and M at least {least}, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}; "
            "take both from one network, one row an image."
        )
    for features in (first, second):
        num_broken = int((~features.isfinite()).any(1).sum())
        if num_broken > 0:
            raise ValueError(
                f"expected finite features, got NaN or infinity in {num_broken} of "
                f"{len(features)} rows; check the network and its input."
            )
    return first, second
