"""Attacks on networks whose answer is known: what must hold whatever the picture."""

import pytest
import torch
from torch import nn

from dlapps import adversarial
from dlapps.class_scores import float32_logits

torch.set_num_threads(1)

EPSILON = 8 / 255


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 36, 6)]
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    return torch.randint(256, (5, 3, 12, 12), generator=torch.Generator().manual_seed(1)) / 255


ATTACKS = {
    "fool": lambda network, x, seed=0: adversarial.fool(network, x, 2),
    "fgsm": lambda network, x, seed=0: adversarial.fgsm(network, x, EPSILON),
    "pgd_linf": lambda network, x, seed=0: adversarial.pgd(network, x, EPSILON, seed=seed),
    "pgd_l2": lambda network, x, seed=0: adversarial.pgd(network, x, 0.5, norm="l2", seed=seed),
    "pgd_targeted": lambda network, x, seed=0: adversarial.pgd(network, x, EPSILON, targets=2, seed=seed),
    "deep_fool": lambda network, x, seed=0: adversarial.deep_fool(network, x),
    "one_pixel": lambda network, x, seed=0: adversarial.one_pixel(network, x, num_steps=4, population=20, seed=seed),
}
each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


class Mean(nn.Module):
    """Class 1 where the mean of the pixels is above .5, else class 0: the smallest change of the answer is known."""

    def forward(self, x):
        score = 20 * (x.mean((1, 2, 3)) - 0.5)
        return torch.stack([-score, score], 1)


@pytest.fixture
def dark():
    """Pictures of one grey each, all read as class 0, at distances .05, .1 and .2 from the boundary."""
    return torch.tensor([0.45, 0.4, 0.3])[:, None, None, None].expand(3, 3, 8, 8).contiguous()


@each_attack
def test_what_every_attack_must_hold(attack, network, images):
    before = images.clone()
    examples = attack(network, images)
    assert torch.equal(images, before)
    assert examples.images.shape == images.shape
    assert examples.images.dtype == torch.float32
    assert examples.images.min() >= 0
    assert examples.images.max() <= 1
    rounded = float32_logits(network, adversarial.round_to_8_bits(examples.images))
    assert torch.equal(examples.success, examples.goal.is_reached(rounded))
    assert torch.equal(examples.predicted, rounded.argmax(1))
    last = examples.confidences[examples.steps, torch.arange(5)]
    torch.testing.assert_close(last, examples.goal.confidence(rounded))
    torch.testing.assert_close(examples.linf, (examples.images - images).abs().amax((1, 2, 3)))
    torch.testing.assert_close(examples.l2, (examples.images - images).square().sum((1, 2, 3)).sqrt())


@each_attack
def test_an_attack_makes_the_goal_more_likely(attack, network, images):
    examples = attack(network, images)
    goal = examples.goal
    before, after = (goal.confidence(float32_logits(network, x)) for x in (images, examples.images))
    moved = examples.steps > 0
    assert ((after > before) if goal.targeted else (after < before))[moved].all()


@each_attack
def test_the_same_seed_gives_the_same_result(attack, network, images):
    assert torch.equal(attack(network, images, seed=7).images, attack(network, images, seed=7).images)


@each_attack
def test_a_network_in_training_mode_is_refused(attack, images):
    with pytest.raises(ValueError, match="in training mode"):
        attack(nn.Sequential(nn.Flatten(), nn.Linear(432, 6)), images)


@each_attack
@pytest.mark.parametrize("spoil", [lambda x: x * 255, lambda x: (x * 255).byte(), lambda x: x[0]])
def test_bad_pixels_get_one_sentence(attack, network, images, spoil):
    with pytest.raises(ValueError, match="expected"):
        attack(network, spoil(images))


@pytest.mark.parametrize(("norm", "length"), [("linf", "linf"), ("l2", "l2")])
@pytest.mark.parametrize("epsilon", [0.5 / 255, 4 / 255, 0.3])
def test_epsilon_is_never_exceeded(network, images, norm, length, epsilon):
    examples = adversarial.pgd(network, images, epsilon, norm=norm)
    assert getattr(examples, length).max() <= epsilon + 1e-6


def test_success_never_falls_as_epsilon_grows(dark):
    rates = [
        adversarial.fgsm(Mean().eval(), dark, epsilon).success.float().mean() for epsilon in (0.02, 0.06, 0.12, 0.25)
    ]
    torch.testing.assert_close(torch.stack(rates), torch.tensor([0, 1 / 3, 2 / 3, 1]))


def test_fgsm_by_hand(dark):
    examples = adversarial.fgsm(Mean().eval(), dark, 0.06)
    torch.testing.assert_close(examples.images, dark + 0.06)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.1 * 192**0.5)])
def test_both_norms_move_a_mean_by_epsilon(dark, norm, epsilon):
    examples = adversarial.pgd(Mean().eval(), dark, epsilon, norm=norm, random_start=False)
    torch.testing.assert_close(examples.images, dark + 0.1, atol=1e-4, rtol=0)


def test_deep_fool_finds_the_smallest_change(dark):
    examples = adversarial.deep_fool(Mean().eval(), dark, overshoot=0.02)
    smallest = torch.tensor([0.05, 0.1, 0.2]) * 192**0.5
    torch.testing.assert_close(examples.l2, 1.02 * smallest, atol=2e-3, rtol=2e-3)
    assert adversarial.survives(Mean().eval(), examples, "none").all()
    assert (examples.steps == 1).all()


def test_fool_stops_each_picture_once_its_rounding_is_fooled(dark):
    examples = adversarial.fool(Mean().eval(), dark, 1, step_size=0.01 * 192**0.5)
    assert examples.success.all()
    # At .5 exactly class 0 still wins; .505 rounds up.
    assert ((examples.steps >= torch.tensor([5, 10, 20])) & (examples.steps <= torch.tensor([6, 11, 21]))).all()
    assert examples.confidences[examples.steps[0] + 1 :, 0].isnan().all()
    assert (examples.confidences[: examples.steps[0], 0].diff() > 0).all()


def test_fool_gives_up_after_num_steps(dark):
    examples = adversarial.fool(Mean().eval(), dark, 1, step_size=0.01, num_steps=2)
    assert not examples.success.any()
    assert (examples.steps == 2).all()


def test_stopping_early_costs_fewer_steps_and_no_success(network, images):
    whole, early = (adversarial.pgd(network, images, EPSILON, stop_early=stop) for stop in (False, True))
    assert early.success.sum() >= whole.success.sum()
    assert early.steps.sum() < whole.steps.sum()


def test_one_pixel_changes_one_pixel(network, images):
    examples = adversarial.one_pixel(network, images, num_steps=2, population=10, num_pixels=2)
    changed = (examples.images != images).any(1).sum((1, 2))
    assert ((changed >= 1) & (changed <= 2)).all()


def test_one_pixel_reaches_a_target_that_hangs_on_one_pixel():
    class Corner(nn.Module):
        def forward(self, x):
            score = 10 * (x.amax((1, 2, 3)) - 0.8)
            return torch.stack([-score, score], 1)

    examples = adversarial.one_pixel(Corner().eval(), torch.zeros(1, 3, 6, 6), targets=1, population=20)
    assert examples.success.all()


def test_one_perturbation_fools_all_pictures(dark):
    perturbation = adversarial.universal_perturbation(Mean().eval(), dark, 0.25, labels=0)
    assert perturbation.shape == (3, 8, 8)
    assert perturbation.abs().max() <= 0.25 + 1e-6
    goal = adversarial.make_goal(Mean().eval(), dark, 0, None)
    assert adversarial.score_examples(Mean().eval(), dark, (dark + perturbation).clamp(0, 1), goal).success.all()


@pytest.mark.parametrize("damage", ["none", "8 bits", "jpeg", "resize"])
def test_a_change_of_the_mean_survives_damage(dark, damage):
    examples = adversarial.fgsm(Mean().eval(), dark, 0.25)
    assert adversarial.survives(Mean().eval(), examples, damage).all()


def test_a_change_below_8_bits_does_not_survive_saving():
    dark = torch.full((1, 3, 8, 8), 127 / 255)
    examples = adversarial.fgsm(Mean().eval(), dark, 0.4 / 255 + 1e-3)
    assert adversarial.survives(Mean().eval(), examples, "none").all()
    smaller = adversarial.score_examples(Mean().eval(), dark, torch.full_like(dark, 0.4999), examples.goal)
    assert not smaller.success.any()


def test_transfer_counts_what_the_other_network_read_correctly(dark):
    class Shifted(nn.Module):
        def forward(self, x):
            return Mean()(x - 0.03)

    class Bright(nn.Module):
        def forward(self, x):
            return Mean()(x + 0.6)

    examples = adversarial.fgsm(Mean().eval(), dark, 0.12)
    assert adversarial.transfer_rate(Mean().eval(), examples) == 1
    # Of the two that succeed, at .57 and .52, the second stays below .53.
    assert adversarial.transfer_rate(Shifted().eval(), examples) == 0.5
    assert torch.tensor(adversarial.transfer_rate(Bright().eval(), examples)).isnan()


def test_autocast_bends_the_path_but_not_the_verdict(network, images):
    with torch.autocast("cpu", torch.bfloat16):
        examples = adversarial.pgd(network, images, EPSILON)
    rounded = float32_logits(network, adversarial.round_to_8_bits(examples.images))
    assert torch.equal(examples.success, examples.goal.is_reached(rounded))
    assert examples.confidences.dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, x: adversarial.pgd(n, x, 0.1, labels=1, targets=2), "got both"),
        (lambda n, x: adversarial.pgd(n, x, 0.1, norm="l1"), "norm linf or l2"),
        (lambda n, x: adversarial.pgd(n, x, -0.1), "epsilon >= 0"),
        (lambda n, x: adversarial.fool(n, x, 6), "classes from 0 to 5"),
        (lambda n, x: adversarial.fool(n, x, [1, 2]), "one for each of 5"),
        (lambda n, x: adversarial.deep_fool(n, x, 6), "classes from 0 to 5"),
        (lambda n, x: adversarial.survives(n, adversarial.fgsm(n, x, 0.1), "rain"), "damage among none, 8 bits"),
    ],
)
def test_bad_arguments_get_one_sentence(network, images, call, message):
    with pytest.raises(ValueError, match=message):
        call(network, images)
