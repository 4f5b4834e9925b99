"""Parts of one's own: noise around any method, a loss, radii, transforms, an objective."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from dlapps import adversarial, saliency
from dlapps import class_visualization as cv


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def network():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(128, 4)).eval()


@pytest.fixture
def x():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_noise_around_any_method(network, x):
    guided = partial(saliency.guided_backprop, reduce=None)
    squared = saliency.smooth_grad(network, x, 1, num_samples=8, explain=guided, statistic="square")
    spread = saliency.smooth_grad(network, x, 1, num_samples=8, explain=saliency.input_x_gradient, statistic="variance")
    sharp = saliency.guided_grad_cam(network, x, "2", 1)

    assert squared.shape == spread.shape == sharp.shape == (3, 16, 16)
    assert squared.min() >= 0
    assert (spread > 0).any()


def test_an_attack_with_a_loss_radii_and_transforms_of_ones_own(network, x):
    def runner_up(logits, goal):
        return logits.topk(2).values[:, 1] - logits.gather(1, goal.classes[:, None])[:, 0]

    moved = adversarial.Expectation(network, cv.Jitter(2), num_samples=4)
    own = adversarial.pgd(moved, x, epsilon=[0.0, 0.1, 0.5], loss=runner_up)
    margin = adversarial.pgd(network, x, epsilon=0.5, loss=adversarial.margin)

    assert not own.success[0]
    assert (own.linf <= torch.tensor([0.0, 0.1, 0.5]) + 1e-6).all()
    assert margin.success.all()


def test_an_objective_in_three_lines(network):
    unit = cv.Objective(lambda seen: seen.layers["2"][:, 5].mean((1, 2)), ["2"])
    dark = cv.Objective(lambda seen: -seen.pictures.mean((1, 2, 3)))
    preset = replace(cv.PRACTICAL, objective=cv.class_score + 2 * unit * dark, num_steps=20, regularisers=())
    made = cv.visualize(network, 3, preset, size=32)

    assert made.scores[-1] > made.scores[0]
