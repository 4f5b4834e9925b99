"""Pictures of one's own: a grey digit classifier, explained and attacked as it is."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from dlapps import adversarial, saliency
from dlapps.images import from_pixels
from dlapps.plots.visualizing import plot_saliency


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_grey_digit_classifier_is_explained_and_attacked(tmp_path):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    digits = load_digits()
    x, y = torch.from_numpy(digits.images).float()[:, None] / 16, torch.from_numpy(digits.target)
    network = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(40):
        optimiser.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimiser.step()
    network.eval()

    maps = saliency.input_gradient(network, x[:4], y[:4], reduce=None)[:, 0]
    fooled = adversarial.pgd(network, x[:100], epsilon=1.0, labels=y[:100], norm="l2", num_steps=20)
    plot_saliency(from_pixels(x[:4]), {"signed gradient": maps}, list("0123")).savefig("maps.png")

    leaf = x[:4].clone().requires_grad_()
    (expected,) = torch.autograd.grad(network(leaf).gather(1, y[:4, None]).sum(), leaf)
    torch.testing.assert_close(maps, expected[:, 0])
    assert fooled.success.float().mean() > 0.7
    assert fooled.l2.max() <= 1 + 1e-5
    assert (tmp_path / "maps.png").stat().st_size > 1000
