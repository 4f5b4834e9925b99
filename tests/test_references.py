"""Attacks beside torchattacks', in the benchmarks' environment (make test-all)."""

import pytest
import torch
from test_adversarial import digits  # noqa: F401 - a fixture

from dlapps import adversarial

pytestmark = pytest.mark.references
torch.set_num_threads(1)


def test_fgsm_and_pgd_give_the_pictures_of_torchattacks(digits):  # noqa: F811
    torchattacks = pytest.importorskip("torchattacks")
    network, x, y = digits
    fgsm = torchattacks.FGSM(network, eps=0.1)
    pgd = torchattacks.PGD(network, eps=0.1, alpha=0.025, steps=10, random_start=False)
    pairs = (
        (adversarial.fgsm(network, x, 0.1, y), fgsm),
        (adversarial.pgd(network, x, 0.1, y, random_start=False), pgd),
    )
    for ours, peer in pairs:
        # A gradient that is nearly 0 may have another sign.
        assert torch.isclose(ours.images, peer(x, y), atol=1e-5).float().mean() > 0.999
