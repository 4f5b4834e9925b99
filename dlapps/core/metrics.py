"""How close samples are to real images, measured on features (N, D) or labels (N,):
tensors, arrays or lists in, numbers out.

Features are whatever a network gives; two sets have to come from one network. Bad
shapes, and features not finite, are ValueErrors.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps.core.images import as_uint8

CHUNK = 1024


def frechet_distance(first: ArrayLike, second: ArrayLike) -> float:
    """||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of features (N, D), (M, D) as
    Gaussians (Heusel et al. 2017).

    Biased upwards by small N: state it beside the distance of real images to other real
    images of the same numbers. Where rounding gives less than 0, 0.
    """
    (m1, c1), (m2, c2) = (_moments(features) for features in as_features(first, second))
    # (C1 C2)^(1/2) has the trace of (R C2 R)^(1/2) with R = C1^(1/2), which is
    # symmetric: no complex square roots.
    root = _square_root(c1)
    cross = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0).sqrt().sum()
    return float(
        ((m1 - m2).square().sum() + c1.trace() + c2.trace() - 2 * cross).clamp(min=0)
    )


def precision_recall(
    real: ArrayLike, fake: ArrayLike, k: int = 3
) -> tuple[float, float]:
    """Share of fakes inside the real manifold, share of reals inside the fake one
    (Kynkäänniemi et al. 2019, eq. 1-2).

    real (N, D), fake (M, D). A manifold is the union of balls around its points, each
    as large as the distance to the k-th nearest other point.
    """
    real, fake = as_features(real, fake)
    check_neighbours(k, min(len(real), len(fake)))
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def entropy(shares: ArrayLike) -> float:
    """-sum p log p in nats: log K when all K classes are equally frequent, 0 when there
    is one.

    Raises ValueError for shares that are negative or do not add up to 1, within a
    thousandth.
    """
    shares = as_tensor(shares)
    if not (shares.min() >= 0 and abs(shares.sum() - 1) < 1e-3):
        got = f"a sum of {float(shares.sum()):.4g} with a least of {float(shares.min()):.4g}"
        raise ValueError(
            f"expected shares that add up to 1, got {got}; divide counts by their sum."
        )
    return float(torch.special.entr(shares).sum())


def nearest_neighbours(
    queries: ArrayLike, references: ArrayLike
) -> tuple[Tensor, Tensor]:
    """Euclidean distances and indices (N,) of the nearest of references (M, D) to each
    of queries (N, D).
    """
    queries, references = as_features(queries, references, least=1)
    found = zip(*(part.min(1) for part in distances(queries, references)), strict=True)
    lengths, indices = map(torch.cat, found)
    return lengths.float(), indices


def nearest_images(queries: ArrayLike, references: ArrayLike) -> tuple[Tensor, Tensor]:
    """Distances and indices (N,) of the reference uint8 (M, H, W) nearest to each query
    (N, H, W), pixels in [0, 1].

    Raises ValueError for images that are not uint8, or of two sizes.
    """
    pixels = (
        as_uint8(images).flatten(1).float() / 255 for images in (queries, references)
    )
    return nearest_neighbours(*pixels)


def as_tensor(values: ArrayLike) -> Tensor:
    """A tensor as it is; of an array or a list a copy, since PyTorch takes neither
    negative strides nor, without a warning, memory that is read-only. Raises ValueError
    for what is no numbers.
    """
    if isinstance(values, Tensor):
        return values
    array = np.array(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"expected numbers, got an array of {array.dtype}; convert it, names to numbers."
        )
    return torch.from_numpy(array)


def as_features(
    first: ArrayLike, second: ArrayLike, least: int = 2
) -> tuple[Tensor, Tensor]:
    """Both as float64 (N, D) and (M, D); ValueError for two D, fewer rows than `least`,
    and what is not finite.
    """
    both = as_tensor(first).double(), as_tensor(second).double()
    if (
        both[0].ndim != 2
        or both[0].shape[1:] != both[1].shape[1:]
        or min(map(len, both)) < least
    ):
        wanted = f"features (N, D) and (M, D), N and M at least {least}"
        got = f"{tuple(both[0].shape)} and {tuple(both[1].shape)}"
        raise ValueError(
            f"expected {wanted}, got {got}; take both from one network, one row an image."
        )
    for features in both:
        if broken := int((~features.isfinite()).any(1).sum()):
            got = f"NaN or infinity in {broken} of {len(features)} rows"
            raise ValueError(
                f"expected finite features, got {got}; check the network and its input."
            )
    return both


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    return features.mean(0), torch.atleast_2d(torch.cov(features.T))


def _square_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def distances(queries: Tensor, references: Tensor) -> Iterator[Tensor]:
    """Euclidean distances (n, M) of queries (N, D) to references (M, D), n <= CHUNK
    rows at a time.

    By a product of matrices, ten times as fast as differences. Its rounding hides
    distances that are small beside those from the centre: these are measured once more,
    by differences, so that a copy is at 0.
    """
    centre = references.mean(0)
    queries, references = queries - centre, references - centre
    lengths = references.norm(dim=1)
    for chunk in queries.split(CHUNK):
        found = torch.cdist(chunk, references, compute_mode="use_mm_for_euclid_dist")
        close = (found < 1e-4 * (chunk.norm(dim=1, keepdim=True) + lengths)).nonzero()
        for rows, columns in (pairs.T for pairs in close.split(CHUNK)):
            found[rows, columns] = (chunk[rows] - references[columns]).norm(dim=1)
        yield found


def check_neighbours(k: int, number: int) -> None:
    """Raise ValueError for a k-th nearest neighbour that so many points do not have."""
    if not 0 < k < number:
        raise ValueError(
            f"expected 0 < k < {number} points, got k = {k}; take more features."
        )


def radii_of(manifold: Tensor, k: int) -> Tensor:
    """Distance (N,) of each point to its k-th nearest other one."""
    # A point is its own nearest neighbour, and who lies on a ball's surface is inside,
    # whatever the rounding.
    nearest = (
        part.topk(k + 1, largest=False).values for part in distances(manifold, manifold)
    )
    return torch.cat([part[:, -1] for part in nearest]) * (1 + 1e-9)


def _share_inside(points: Tensor, manifold: Tensor, k: int) -> float:
    radii = radii_of(manifold, k)
    inside = torch.cat([(part <= radii).any(1) for part in distances(points, manifold)])
    return float(inside.double().mean())
