"""Attacks of Chapter 2's studies, against cases done by hand and each other."""
# ruff: noqa: F401, F811 - fixtures are imported

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from test_adversarial import (
    EPSILON,
    Mean,
    check_attack,
    check_bound,
    dark,
    digits,
    images,
    network,
    reached,
)
from torch import nn

from dlapps import adversarial
from dlapps.adversarial.examples import make_goal
from dlapps.core.class_scores import float32_logits
from studies import attack_methods as study
from studies.attack_methods import deep_fool, survives, transferable_pgd
from studies.visualizing_defence import StepSizes, apgd, fit_digits, margin, square

torch.set_num_threads(1)

BOUNDED = {
    "apgd": partial(apgd, num_steps=10, num_restarts=2),
    "square": partial(square, num_queries=20),
    "momentum": partial(transferable_pgd, momentum=1.0),
    "noise": study.sign_noise,
}
ATTACKS = {
    "deep_fool": deep_fool,
    "apgd": lambda network, x: apgd(network, x, EPSILON, num_steps=10),
    "square": lambda network, x: square(network, x, 0.2, num_queries=50),
    "momentum": lambda network, x: transferable_pgd(network, x, EPSILON, momentum=1.0),
    "diversity": lambda network, x: transferable_pgd(
        network, x, EPSILON, transform=study.resize_and_pad
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("epsilon", [0.51 / 255, 0.1])
def test_epsilon_is_never_exceeded_not_even_by_rounding(network, images, name, epsilon):
    check_bound(BOUNDED[name], network, images, epsilon)


@pytest.mark.parametrize("name", ATTACKS)
def test_what_every_attack_must_hold(network, images, name):
    check_attack(ATTACKS[name], network, images)


def test_deep_fool_finds_the_smallest_change(dark):
    examples = deep_fool(Mean().eval(), dark)
    smallest = torch.tensor([0.05, 0.1, 0.2]) * 192**0.5
    torch.testing.assert_close(examples.l2, 1.02 * smallest, atol=2e-3, rtol=2e-3)
    assert reached(Mean().eval(), examples)[0].all()


def test_no_momentum_is_pgd_and_momentum_averages_gradients(network, images):
    plain = adversarial.pgd(network, images, EPSILON)
    attack = partial(transferable_pgd, network, images, EPSILON)
    assert torch.equal(plain.images, attack(momentum=0.0).images)
    assert not torch.equal(plain.images, attack(momentum=1.0).images)
    # The first step has no past.
    without = attack(momentum=0.0, num_steps=1)
    assert torch.equal(without.images, attack(momentum=1.0, num_steps=1).images)


def test_a_transform_is_drawn_anew_at_each_step(network, images):
    draws = []

    def shift(pictures, generator):
        draws.append(int(torch.randint(1000, (), generator=generator)))
        return pictures.roll(draws[-1], 3)

    transferable_pgd(network, images, EPSILON, transform=shift, num_steps=5)
    assert len(set(draws)) == 5


def test_a_transform_leaves_pictures_of_their_size_and_lets_the_gradient_through():
    x = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(5))
    x.requires_grad_()
    sums = set()
    for seed in range(12):
        moved = study.resize_and_pad(x, torch.Generator().manual_seed(seed))
        assert moved.shape == x.shape
        assert ((moved >= 0) & (moved <= 1)).all()
        (gradient,) = torch.autograd.grad(moved.sum(), x)
        assert gradient.abs().sum() > 0
        sums.add(float(moved.detach().sum()))
    assert len(sums) > 4


def test_apgd_reaches_the_corner_of_the_ball_and_halves_its_step(dark):
    examples = apgd(Mean().eval(), dark, 0.06, num_steps=20)
    torch.testing.assert_close(examples.images, dark + 0.06)
    # A loss that cannot rise halves the step at each checkpoint, whether or not it was
    # halved at the last.
    steps = StepSizes(torch.ones(2, 1, 1, 1), 100)
    sizes = []
    for step in range(101):
        values = torch.tensor([0.0, float(step)])
        steps.update(step, values, values)
        sizes.append(steps.sizes.flatten().tolist())
    halvings = [step for step in range(1, 101) if sizes[step][0] < sizes[step - 1][0]]
    # p: .22, .41, .57, .70, .80, .87, .93, .99 (section 3.1 of the paper).
    assert halvings == [22, 41, 57, 70, 80, 87, 93, 99]
    assert sizes[-1][1] == 1


def test_apgd_fools_at_least_as_often_as_pgd_and_each_restart_helps(digits):
    network, x, y = digits
    pgd = adversarial.pgd(network, x, 0.08, y, num_steps=20)
    once = apgd(network, x, 0.08, y, num_steps=20)
    twice = apgd(network, x, 0.08, y, num_steps=20, num_restarts=2)
    assert 0.1 < success_rate(network, pgd) < 0.95
    assert success_rate(network, once) >= success_rate(network, pgd) - 0.01
    assert success_rate(network, twice) >= success_rate(network, once)
    logits = float32_logits(network, once.images)
    loss_of_once = F.cross_entropy(logits, y, reduction="none")
    logits = float32_logits(network, twice.images)
    loss_of_twice = F.cross_entropy(logits, y, reduction="none")
    withstood = ~survives(network, twice, "floats")
    assert (loss_of_twice >= loss_of_once - 1e-4)[withstood].all()


def success_rate(network, examples):
    return float(survives(network, examples, "floats").float().mean())


def test_the_margin_by_hand():
    logits = torch.tensor([[2.0, 1.0, -1.0], [0.0, 3.0, 5.0]])
    goal = adversarial.Goal(torch.tensor([0, 1]), targeted=False)
    torch.testing.assert_close(margin(logits, goal), torch.tensor([-1.0, 2.0]))
    assert torch.equal(margin(logits, goal) > 0, goal.is_reached(logits))


def test_square_asks_for_scores_alone_and_rises(digits):
    network, x, y = digits

    class Opaque(nn.Module):
        def forward(self, pictures):
            assert not torch.is_grad_enabled()
            assert not pictures.requires_grad
            return network(pictures)

    noise = study.sign_noise(network, x, 0.15, y)
    few = square(Opaque().eval(), x, 0.15, y, num_queries=5)
    many = square(Opaque().eval(), x, 0.15, y, num_queries=200)
    assert success_rate(network, many) > success_rate(network, noise) + 0.1
    assert success_rate(network, many) > success_rate(network, few)


def test_training_on_adversarial_digits_makes_a_network_robust():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(256) % 2
    images = torch.zeros(256, 28, 28)
    # A strong feature that is right in nine of ten, which half is bright, and a weak
    # one that always is: all pixels.
    bright = torch.where(torch.rand(256, generator=generator) < 0.9, labels, 1 - labels)
    images[bright == 0, :14] += 100
    images[bright == 1, 14:] += 100
    noise = torch.rand(256, 28, 28, generator=generator)
    images += 20 + 30 * labels[:, None, None] + 60 * noise
    images = images.clamp(0, 255).byte()
    x = images[:, None].float() / 255
    before = torch.random.get_rng_state()
    plain = fit_digits(images, labels, 0.0, num_epochs=25)
    robust = fit_digits(images, labels, 0.15, num_epochs=25)
    assert torch.equal(torch.random.get_rng_state(), before)
    once = fit_digits(images, labels, 0.15, num_epochs=1)
    again = fit_digits(images, labels, 0.15, num_epochs=1)
    assert all(map(torch.equal, once.parameters(), again.parameters()))

    def accuracy(trained, pixels):
        return float((trained(pixels).argmax(1) == labels).float().mean())

    def attacked_accuracy(trained):
        return accuracy(trained, apgd(trained, x, 0.15, labels, num_steps=20).images)

    assert accuracy(plain, x) > 0.8
    assert accuracy(robust, x) > 0.8
    assert attacked_accuracy(robust) > attacked_accuracy(plain) + 0.2
    assert attacked_accuracy(robust) > 0.8


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("damage", ["floats", "saved", "jpeg"])
def test_a_change_of_the_mean_survives_damage(dark, damage, channels):
    examples = adversarial.fgsm(Mean().eval(), dark[:, :channels], 0.25)
    assert survives(Mean().eval(), examples, damage).all()


class Stripes(nn.Module):
    """Class 1 if red minus blue is .05 higher in even columns than in odd ones."""

    def forward(self, x):
        tint = x[:, 0] - x[:, 2]
        score = 20 * ((tint[..., ::2] - tint[..., 1::2]).mean((1, 2)) - 0.05)
        return torch.stack([-score, score], 1)


@pytest.mark.parametrize(
    ("levels", "stays"), [(6.45, ["floats"]), (7, ["floats", "saved"])]
)
def test_fine_stripes_of_colour_do_not_survive(levels, stays):
    grey = torch.full((1, 3, 16, 16), 128 / 255)
    network = Stripes().eval()
    moved = grey.clone()
    moved[:, 0, :, ::2] += levels / 255
    moved[:, 2, :, ::2] -= levels / 255
    goal = make_goal(network, grey, None, 1)
    examples = adversarial.score_examples(network, grey, moved, goal)
    for damage in ("floats", "saved", "jpeg"):
        assert bool(survives(network, examples, damage)) == (damage in stays)
