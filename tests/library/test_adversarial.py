"""Attacks on networks whose answer is known, and against a textbook loop."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from dlapps import adversarial
from dlapps.core.images import round_to_8_bits

torch.set_num_threads(1)

EPSILON = 8 / 255


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 36, 6)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (5, 3, 12, 12), generator=generator) / 255


ATTACKS = {
    "fool": lambda network, x, seed=0: adversarial.fool(network, x, 2),
    "fgsm": lambda network, x, seed=0: adversarial.fgsm(network, x, EPSILON),
    "pgd": partial(adversarial.pgd, epsilon=EPSILON),
}
each_attack = pytest.mark.parametrize("name", ATTACKS)


class Mean(nn.Module):
    """Class 1 where the mean of the pixels is above the threshold, else class 0."""

    def __init__(self, threshold=0.5):
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        score = 20 * (x.mean((1, 2, 3)) - self.threshold)
        return torch.stack([-score, score], 1)


@pytest.fixture
def dark():
    """Pictures of one grey each, at distances .05, .1 and .2 from the boundary."""
    greys = torch.tensor([0.45, 0.4, 0.3])
    return greys.view(3, 1, 1, 1).expand(3, 3, 8, 8).contiguous()


@each_attack
@pytest.mark.parametrize("autocast", [False, True])
def test_what_every_attack_must_hold(name, autocast, network, images):
    given = images.clone()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        examples = ATTACKS[name](network, images, seed=7)
        again = ATTACKS[name](network, images, seed=7)
    assert torch.equal(images, given)
    assert torch.equal(examples.images, again.images)
    if name == "pgd":  # which alone starts anywhere
        other = ATTACKS[name](network, images, seed=8)
        assert not torch.equal(other.images, again.images)
    assert examples.images.dtype == torch.float32
    assert examples.images.min() >= 0
    assert examples.images.max() <= 1
    clean = network(images)
    moved = network(examples.images)
    saved = network(round_to_8_bits(examples.images))
    found = torch.stack([moved.argmax(1), saved.argmax(1)])
    classes = clean.argmax(1)
    if name == "fool":
        classes = torch.full_like(classes, 2)
        reached = (found == classes).all(0)
    else:
        reached = (found != classes).all(0)
        change = (examples.images - images).abs().max()
        assert float(change) == pytest.approx(EPSILON, abs=1e-6)
    assert torch.equal(examples.success, reached)
    # The goal is more likely wherever a picture was moved.
    before = F.cross_entropy(clean, classes, reduction="none")
    after = F.cross_entropy(moved, classes, reduction="none")
    nearer = after < before if name == "fool" else after > before
    changed = (examples.images != images).flatten(1).any(1)
    assert changed.any()
    assert nearer[changed].all()


def test_fgsm_and_pgd_by_hand(dark):
    for attack in (adversarial.fgsm, partial(adversarial.pgd, random_start=False)):
        examples = attack(Mean().eval(), dark, 0.07)
        torch.testing.assert_close(examples.images, dark + 0.07)
        assert examples.success.tolist() == [True, False, False]


def test_what_only_rounding_turns_is_no_success():
    # 127 levels and half a level more round to 128; the threshold lies between.
    clean = torch.full((1, 3, 8, 8), 127 / 255)
    network = Mean(127.8 / 255).eval()
    examples = adversarial.fgsm(network, clean, 0.51 / 255, labels=0)
    assert network(round_to_8_bits(examples.images)).argmax(1) == 1
    assert not examples.success.any()


@pytest.fixture(scope="module")
def digits():
    """A small network that reads scikit-learn's digits, 8 x 8 and grey; 200 of them
    that it was not trained on.
    """
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float()[:, None] / 16
    labels = torch.from_numpy(bunch.target)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10)
    )
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(120):
        optimiser.zero_grad()
        F.cross_entropy(network(images[200:]), labels[200:]).backward()
        optimiser.step()
    return network.eval().requires_grad_(False), images[:200], labels[:200]


def test_pgd_is_the_loop_of_a_textbook(digits):
    network, clean, labels = digits
    x = clean.clone()
    for _ in range(10):
        x.requires_grad_()
        loss = F.cross_entropy(network(x), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        x = x.detach() + 0.025 * gradient.sign()
        x = torch.minimum(torch.maximum(x, clean - 0.1), clean + 0.1).clamp(0, 1)
    examples = adversarial.pgd(network, clean, 0.1, labels, random_start=False)
    # A gradient that is nearly 0 may have another sign.
    assert torch.isclose(examples.images, x, atol=1e-5).float().mean() > 0.999


def test_success_rises_with_epsilon_from_the_errors_to_all(digits):
    network, x, labels = digits
    rates = []
    for epsilon in (0.0, 0.05, 0.1, 0.5):
        success = adversarial.pgd(network, x, epsilon, labels).success
        rates.append(float(success.float().mean()))
    errors = (network(x).argmax(1) != labels).float().mean()
    assert rates[0] == pytest.approx(float(errors))
    assert rates == sorted(set(rates))
    assert rates[-1] > 0.95


def test_the_committed_robust_network_withstands_what_turns_the_plain_one():
    generator = torch.Generator().manual_seed(6)
    x = (torch.rand(40, 1, 28, 28, generator=generator) > 0.8).float()
    moved = {}
    for name, network in adversarial.load_digit_networks().items():
        assert not network.training
        moved[name] = adversarial.pgd(network, x, 0.2).success.float().mean()
    assert moved["robust"] < moved["plain"] - 0.2


def test_fool_stops_each_picture_once_its_rounding_is_fooled(dark):
    step = 0.0005 * 192**0.5
    examples = adversarial.fool(Mean(0.503).eval(), dark, 1, step, num_steps=500)
    assert examples.success.all()
    # From .503 on class 1 wins, but up to 128.5 of 255, .5039, a file has .5020.
    greys = examples.images.mean((1, 2, 3))
    assert ((greys > 0.5039) & (greys < 0.5045)).all()


def test_fool_gives_up_after_num_steps(dark):
    examples = adversarial.fool(Mean().eval(), dark, 1, step_size=0.01, num_steps=2)
    assert not examples.success.any()
    assert (examples.steps == 2).all()
