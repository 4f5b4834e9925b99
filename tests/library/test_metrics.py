"""Metrics of samples against cases that can be computed by hand."""

import contextlib
import io
import math

import numpy as np
import pytest
import torch

from dlapps.core import metrics
from dlapps.core.runtime import make_generator

torch.set_num_threads(1)


def draw(number, seed, scale=1.0, shift=0.0, dimensions=4):
    return (
        scale * torch.randn(number, dimensions, generator=make_generator(seed)) + shift
    )


def whitened(number, seed, dimensions):
    """Points of mean exactly 0 and covariance exactly 1."""
    points = draw(number, seed, dimensions=dimensions).double()
    points = points - points.mean(0)
    return points @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(points.T))).T


def test_frechet_distance_of_means_apart_and_covariances_that_do_not_commute():
    first = whitened(300, 0, 2)
    second = whitened(300, 1, 2)
    shift = torch.tensor([1.0, 2.0])
    mix = torch.tensor([[2.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    c1 = torch.diag(torch.tensor([4.0, 1.0], dtype=torch.float64))
    c2 = mix @ mix.T
    # 2 x 2: tr X^(1/2) = sqrt(tr X + 2 sqrt(det X)).
    cross = math.sqrt((c1 @ c2).trace() + 2 * math.sqrt(torch.linalg.det(c1 @ c2)))
    distance = metrics.frechet_distance(
        first * torch.tensor([2, 1]), second @ mix.T + shift
    )
    assert distance == pytest.approx(
        5 + float(c1.trace() + c2.trace()) - 2 * cross, abs=1e-6
    )


def test_frechet_distance_to_itself_is_nothing_and_is_symmetric():
    first = draw(200, 0)
    second = draw(100, 1, scale=2)
    assert metrics.frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    for seed in range(20):
        features = draw(50, seed)
        assert 0 <= metrics.frechet_distance(features, features) < 1e-6
    swapped = metrics.frechet_distance(second, first)
    assert metrics.frechet_distance(first, second) == pytest.approx(swapped)


def test_precision_and_recall_by_hand():
    # With k = 1 the real balls are [-1, 1] and [0, 2] around 0 and 1, [8, 12] and [8,
    # 12] around 10 and 12.
    real = torch.tensor([[0.0], [1.0], [10.0], [12.0]])
    fake = torch.tensor([[0.4], [0.6], [5.0]])
    precision, recall = metrics.precision_recall(real, fake, k=1)
    assert precision == pytest.approx(2 / 3)
    # Fake radii .2, .2, 4.4: [.2, .6], [.4, .8], [.6, 9.4]; of the real points only 1
    # lies inside.
    assert recall == pytest.approx(1 / 4)


def test_entropy_by_hand():
    assert metrics.entropy(torch.full((10,), 0.1)) == pytest.approx(math.log(10))
    assert metrics.entropy(torch.tensor([1.0, 0.0])) == 0


def test_points_on_the_surface_of_a_ball_are_inside():
    # All 2 x 40 corners of a simplex are sqrt 2 apart, which is each radius too.
    corners = torch.eye(80)
    assert metrics.precision_recall(corners[:40], corners[40:]) == (1, 1)
    assert metrics.precision_recall(
        corners[:40] * 300 + 1000, corners[40:] * 300 + 1000
    ) == (1, 1)


def test_names_are_no_numbers():
    with pytest.raises(
        ValueError, match="expected numbers, got an array of <U3; convert it"
    ):
        metrics.entropy(["cat", "dog"])


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.frechet_distance(draw(5, 0), draw(5, 0, dimensions=3)),
        lambda: metrics.precision_recall(draw(3, 0), draw(9, 1), k=3),
    ],
)
def test_bad_shapes_get_one_sentence(call):
    with pytest.raises(ValueError, match="expected"):
        call()


@pytest.mark.parametrize("measure", ["frechet_distance", "precision_recall"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_gets_one_sentence(measure, value):
    broken = draw(9, 0)
    broken[[2, 5], 1] = value
    for pair in ((draw(9, 1), broken), (broken, draw(9, 1))):
        with pytest.raises(
            ValueError, match="features, got NaN or infinity in 2 of 9 rows"
        ):
            getattr(metrics, measure)(*pair)


def test_arrays_and_lists_are_measured_as_tensors_are():
    real = draw(30, 0)
    fake = draw(20, 1)
    for convert in (torch.Tensor.numpy, torch.Tensor.tolist):
        for measure in (
            metrics.precision_recall,
            metrics.frechet_distance,
        ):
            converted = measure(convert(real), convert(fake))
            torch.testing.assert_close(converted, measure(real, fake), rtol=0, atol=0)
    assert metrics.entropy([0.5, 0.5]) == pytest.approx(math.log(2))


def test_neighbourhoods_are_those_of_the_authors_code():
    prdc = pytest.importorskip("prdc")
    real = draw(120, 0)
    fake = draw(90, 1, scale=0.7, shift=0.3)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = prdc.compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)
    found = metrics.precision_recall(real, fake, 5)
    assert found == pytest.approx((theirs["precision"], theirs["recall"]))


def test_distances_are_those_of_torch_fidelity():
    fidelity = pytest.importorskip("torch_fidelity.metric_fid")
    first = draw(200, 0).double().numpy()
    second = draw(200, 1, scale=0.7, shift=0.3).double().numpy()
    theirs = fidelity.fid_statistics_to_metric(
        {"mu": first.mean(0), "sigma": np.cov(first.T)},
        {"mu": second.mean(0), "sigma": np.cov(second.T)},
        verbose=False,
    )
    expected = theirs["frechet_inception_distance"]
    assert metrics.frechet_distance(first, second) == pytest.approx(expected, rel=1e-4)
