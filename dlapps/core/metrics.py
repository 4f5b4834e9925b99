"""Measures of how close samples are to real images, on features (N, D).

Features are the output of a network, as tensors, arrays or lists; two sets have to come
from one network. Functions raise ValueError for other shapes, and for features that are
not finite.
"""

from collections.abc import Iterator

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps.core.arrays import as_tensor
from dlapps.core.checks import check_counts
from dlapps.core.images import as_uint8

CHUNK = 1024


def frechet_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Compute the Fréchet distance of features (N, D) and (M, D) as Gaussians.

    It is ||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) with means m and covariances C
    (Heusel et al. 2017, equation 6), and never below 0. A small N biases it upwards:
    state it beside the distance of real images to other real images of the same number.
    """
    first, second = as_features(first, second)
    m1, c1 = _moments(first)
    m2, c2 = _moments(second)
    # (C1 C2)^(1/2) has the trace of (R C2 R)^(1/2) with R = C1^(1/2), which is
    # symmetric: no complex square roots.
    root = _square_root(c1)
    cross = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0).sqrt().sum()
    distance = (m1 - m2).square().sum() + c1.trace() + c2.trace() - 2 * cross
    return float(distance.clamp(min=0))


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
    check_neighbours(k, min(len(real), len(fake)))
    precision = _share_inside(fake, real, k)
    recall = _share_inside(real, fake, k)
    return precision, recall


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


def nearest_neighbours(
    queries: ArrayLike, references: ArrayLike
) -> tuple[Tensor, Tensor]:
    """Find the nearest of references (M, D) to each of queries (N, D).

    Returns Euclidean distances and indices (N,).
    """
    queries, references = as_features(queries, references, least=1)
    lengths = []
    indices = []
    for chunk in distances(queries, references):
        nearest = chunk.min(1)
        lengths.append(nearest.values)
        indices.append(nearest.indices)
    return torch.cat(lengths).float(), torch.cat(indices)


def nearest_images(queries: ArrayLike, references: ArrayLike) -> tuple[Tensor, Tensor]:
    """Find the reference uint8 (M, H, W) nearest to each query (N, H, W).

    Returns distances, in pixels of [0, 1], and indices (N,). Raises ValueError for
    images that are not uint8, or of two sizes.
    """
    query_pixels = as_uint8(queries).flatten(1).float() / 255
    reference_pixels = as_uint8(references).flatten(1).float() / 255
    return nearest_neighbours(query_pixels, reference_pixels)


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


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    return features.mean(0), torch.atleast_2d(torch.cov(features.T))


def _square_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def distances(queries: Tensor, references: Tensor) -> Iterator[Tensor]:
    """Yield Euclidean distances (n, M) of queries (N, D) to references (M, D).

    Rows come n <= CHUNK at a time. A product of matrices gives them ten times as fast
    as differences do, but its rounding hides distances that are small beside those from
    the centre. These are computed again by differences, so that the distance to a copy
    is 0.
    """
    centre = references.mean(0)
    references = references - centre
    lengths = references.norm(dim=1)
    for chunk in (queries - centre).split(CHUNK):
        lengths_of_pair = chunk.norm(dim=1, keepdim=True) + lengths
        result = torch.cdist(chunk, references, compute_mode="use_mm_for_euclid_dist")
        close = (result < 1e-4 * lengths_of_pair).nonzero()
        for pairs in close.split(CHUNK):
            rows, columns = pairs.T
            result[rows, columns] = (chunk[rows] - references[columns]).norm(dim=1)
        yield result


def check_neighbours(k: int, number: int) -> None:
    """Raise ValueError unless each of so many points has a k-th nearest neighbour."""
    check_counts(k=k)
    if k >= number:
        raise ValueError(
            f"expected 0 < k < {number} points, got k = {k}; take more features."
        )


def radii_of(manifold: Tensor, k: int) -> Tensor:
    """Return the distance (N,) of each point to its k-th nearest other point."""
    radii = []
    for chunk in distances(manifold, manifold):
        # The nearest point of all is the point itself.
        nearest = chunk.topk(k + 1, largest=False).values
        radii.append(nearest[:, -1])
    # A point on a ball's surface is inside, whatever the rounding.
    return torch.cat(radii) * (1 + 1e-9)


def _share_inside(points: Tensor, manifold: Tensor, k: int) -> float:
    radii = radii_of(manifold, k)
    inside = [(chunk <= radii).any(1) for chunk in distances(points, manifold)]
    return float(torch.cat(inside).double().mean())
