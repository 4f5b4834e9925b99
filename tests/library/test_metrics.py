"""Metrics of samples against cases that can be computed by hand."""

import contextlib
import io

import pytest
import torch

from dlapps import gan
from dlapps.core.runtime import make_generator

torch.set_num_threads(1)


def draw(number, seed, scale=1.0, shift=0.0, dimensions=4):
    return (
        scale * torch.randn(number, dimensions, generator=make_generator(seed)) + shift
    )


def test_precision_and_recall_by_hand():
    # With k = 1 the real balls are [-1, 1] and [0, 2] around 0 and 1, [8, 12] and [8,
    # 12] around 10 and 12.
    real = torch.tensor([[0.0], [1.0], [10.0], [12.0]])
    fake = torch.tensor([[0.4], [0.6], [5.0]])
    precision, recall = gan.precision_recall(real, fake, k=1)
    assert precision == pytest.approx(2 / 3)
    # Fake radii .2, .2, 4.4: [.2, .6], [.4, .8], [.6, 9.4]; of the real points only 1
    # lies inside.
    assert recall == pytest.approx(1 / 4)


def test_points_on_the_surface_of_a_ball_are_inside():
    # All 2 x 40 corners of a simplex are sqrt 2 apart, which is each radius too.
    corners = torch.eye(80)
    assert gan.precision_recall(corners[:40], corners[40:]) == (1, 1)
    assert gan.precision_recall(
        corners[:40] * 300 + 1000, corners[40:] * 300 + 1000
    ) == (1, 1)


def test_what_is_not_finite_is_refused():
    broken = draw(9, 0)
    broken[2, 1] = torch.nan
    for pair in ((draw(9, 1), broken), (broken, draw(9, 1))):
        with pytest.raises(ValueError, match=r"^expected finite features"):
            gan.precision_recall(*pair)


def test_neighbourhoods_are_those_of_the_authors_code():
    prdc = pytest.importorskip("prdc")
    real = draw(120, 0)
    fake = draw(90, 1, scale=0.7, shift=0.3)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = prdc.compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)
    found = gan.precision_recall(real, fake, 5)
    assert found == pytest.approx((theirs["precision"], theirs["recall"]))
