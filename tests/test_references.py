"""Attacks beside torchattacks', in the benchmarks' environment (make test-all)."""

import pytest
import torch
from test_adversarial import digits  # noqa: F401 - a fixture

from dlapps import adversarial
from dlapps.adversarial.examples import Ball
from studies.attack_methods import transferable_pgd
from studies.visualizing_defence import apgd, square

pytestmark = pytest.mark.references
torch.set_num_threads(1)


def share_fooled(network, images, labels):
    return (network(images).argmax(1) != labels).float().mean()


@pytest.mark.parametrize("epsilon", [0.04, 0.08, 0.12])
def test_apgd_fools_as_many_as_torchattacks(digits, epsilon):  # noqa: F811
    torchattacks = pytest.importorskip("torchattacks")
    network, x, y = digits
    peer = torchattacks.APGD(network, eps=epsilon, steps=20, n_restarts=2, seed=0)(x, y)
    ours = apgd(network, x, epsilon, y, num_steps=20, num_restarts=2).images
    assert abs(share_fooled(network, ours, y) - share_fooled(network, peer, y)) <= 0.015


@pytest.mark.parametrize("epsilon", [0.1, 0.15, 0.2])
def test_square_fools_at_least_as_many_as_torchattacks(digits, epsilon):  # noqa: F811
    torchattacks = pytest.importorskip("torchattacks")
    network, x, y = digits
    peers = [
        torchattacks.Square(network, eps=epsilon, n_queries=200, seed=seed)(x, y)
        for seed in range(3)
    ]
    ours = [
        square(network, x, epsilon, y, num_queries=200, seed=seed).images
        for seed in range(3)
    ]
    means = [
        torch.stack([share_fooled(network, each, y) for each in found]).mean()
        for found in (ours, peers)
    ]
    # Theirs draws no square that reaches the last row or column: much of a picture of 8
    # x 8.
    assert -0.02 <= means[0] - means[1] <= 0.12


def test_fgsm_and_momentum_give_the_pictures_of_torchattacks(digits, monkeypatch):  # noqa: F811
    torchattacks = pytest.importorskip("torchattacks")
    network, x, y = digits
    fast = adversarial.fgsm(network, x, 0.1, y), torchattacks.FGSM(network, eps=0.1)
    monkeypatch.setattr(Ball, "draw", lambda ball, seed: ball.clean)
    momentum = transferable_pgd(network, x, 0.1, y, momentum=1.0)
    for ours, peer in (
        fast,
        (
            momentum,
            torchattacks.MIFGSM(network, eps=0.1, alpha=0.025, steps=10, decay=1.0),
        ),
    ):
        # A gradient that is nearly 0 may have another sign.
        assert torch.isclose(ours.images, peer(x, y), atol=1e-5).float().mean() > 0.999
