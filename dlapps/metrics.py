"""How close samples are to real images, measured on features (N, D) or labels (N,): tensors in, plain numbers out;
and what several seeds say of one score.

Features are whatever a network gives; two sets have to come from one network. Bad shapes are ValueErrors.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

CHUNK = 1024


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of features (N, D), (M, D) as Gaussians (Heusel et al. 2017).

    Biased upwards by small N: state it beside the distance of real images to other real images of the same numbers.
    """
    check_features(first, second)
    (m1, c1), (m2, c2) = (_moments(features) for features in (first, second))
    # (C1 C2)^(1/2) has the trace of (R C2 R)^(1/2) with R = C1^(1/2), which is symmetric: no complex square roots.
    root = _square_root(c1)
    cross = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0).sqrt().sum()
    return float((m1 - m2).square().sum() + c1.trace() + c2.trace() - 2 * cross)


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of fakes inside the real manifold, share of reals inside the fake one (Kynkäänniemi et al. 2019, eq. 1-2).

    real (N, D), fake (M, D). A manifold is the union of balls around its points, each as large as the distance to the
    k-th nearest other point.
    """
    check_features(real, fake)
    if not 0 < k < min(len(real), len(fake)):
        raise ValueError(f"expected 0 < k < {min(len(real), len(fake))} points, got k = {k}; take more features.")
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def class_histogram(labels: Tensor, num_classes: int) -> Tensor:
    """Shares (K,) float64 of the classes among labels (N,)."""
    return torch.bincount(labels, minlength=num_classes).double() / len(labels)


def entropy(shares: Tensor) -> float:
    """-sum p log p in nats: log K when all K classes are equally frequent, 0 when there is one."""
    return float(torch.special.entr(shares).sum())


def nearest_neighbours(queries: Tensor, references: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """Euclidean distances and indices (N, k) of the k nearest of references (M, D) to queries (N, D), nearest first."""
    check_features(queries, references)
    found = [part.topk(k, largest=False) for part in _distances(queries, references)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def nearest_images(queries: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """Distances and indices (N,) of the reference uint8 (M, H, W) nearest to each query (N, H, W), pixels in [0, 1]."""
    queries, references = (part.flatten(1).float() / 255 for part in (queries, references))
    distances, indices = nearest_neighbours(queries, references)
    return distances[:, 0], indices[:, 0]


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation, divided by N - 1, of one score over seeds; 0.0 for a single one."""
    return statistics.stdev(map(float, values)) if len(values) > 1 else 0.0


def mean_and_deviation(values: Sequence[float], form: str = ".3f") -> str:
    """For a table's cell: 0.912 ± 0.003 over several seeds, or the one value."""
    mean = f"{statistics.fmean(map(float, values)):{form}}"
    return f"{mean} ± {deviation(values):{form}}" if len(values) > 1 else mean


def check_features(first: Tensor, second: Tensor) -> None:
    """Raise ValueError unless both are (N, D) and (M, D) of one D, with two rows or more."""
    if first.ndim != 2 or first.shape[1:] != second.shape[1:] or min(len(first), len(second)) < 2:
        raise ValueError(
            f"expected features (N, D) and (M, D), at least two of each, got {tuple(first.shape)} and "
            f"{tuple(second.shape)}; take both from one network, one row an image."
        )


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    features = features.double()
    return features.mean(0), torch.atleast_2d(torch.cov(features.T))


def _square_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _distances(queries: Tensor, references: Tensor) -> Iterator[Tensor]:
    """Euclidean distances (n, M) of queries (N, D) to references (M, D), n <= CHUNK rows at a time."""
    return (torch.cdist(chunk, references) for chunk in queries.split(CHUNK))


def _share_inside(points: Tensor, manifold: Tensor, k: int) -> float:
    # A point is its own nearest neighbour.
    radii = torch.cat([part.kthvalue(k + 1).values for part in _distances(manifold, manifold)])
    inside = [(part <= radii).any(1) for part in _distances(points, manifold)]
    return float(torch.cat(inside).double().mean())
