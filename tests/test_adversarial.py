"""Attacks on networks whose answer is known: what must hold whatever the picture."""

import copy
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from dlapps import adversarial
from dlapps.adversarial.examples import Ball
from dlapps.core.class_scores import float32_logits, pick
from studies import attack_methods, defence_methods

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
    "pgd_momentum": lambda network, x, seed=0: adversarial.pgd(network, x, EPSILON, momentum=1, seed=seed),
    "pgd_diverse": lambda network, x, seed=0: adversarial.pgd(
        network, x, EPSILON, transform=attack_methods.resize_and_pad, seed=seed
    ),
    "apgd": lambda network, x, seed=0: defence_methods.apgd(network, x, EPSILON, num_steps=10, seed=seed),
    "apgd_l2": lambda network, x, seed=0: defence_methods.apgd(
        network, x, 0.5, targets=2, norm="l2", num_steps=10, seed=seed
    ),
    "square": lambda network, x, seed=0: defence_methods.square(network, x, 0.2, num_queries=50, seed=seed),
    "ddn": lambda network, x, seed=0: attack_methods.ddn(network, x, num_steps=30),
    "deep_fool": lambda network, x, seed=0: adversarial.deep_fool(network, x),
    "one_pixel": lambda network, x, seed=0: attack_methods.one_pixel(network, x, num_steps=4, population=20, seed=seed),
}
each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


SPOILS = {
    "range": lambda x: x * 255,
    "integers": lambda x: (x * 255).int(),
    "one": lambda x: x[0],
    "double": lambda x: x.double(),
    "half": lambda x: x.half(),
}


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
    within, saved = (attack_methods.survives(network, examples, damage) for damage in ("none", "8 bits"))
    assert torch.equal(examples.success, within & saved)
    assert torch.equal(examples.predicted, rounded.argmax(1))
    torch.testing.assert_close(examples.linf, (examples.images - images).abs().amax((1, 2, 3)))
    torch.testing.assert_close(examples.l2, (examples.images - images).square().sum((1, 2, 3)).sqrt())


@each_attack
def test_an_attack_makes_the_goal_more_likely(attack, network, images):
    examples = attack(network, images)
    goal = examples.goal
    logits = (float32_logits(network, x) for x in (images, examples.images))
    before, after = (pick(each.softmax(1), goal.classes) for each in logits)
    moved = (examples.images != images).flatten(1).any(1)
    assert moved.any()
    assert ((after > before) if goal.targeted else (after < before))[moved].all()


@each_attack
def test_the_same_seed_gives_the_same_result(attack, network, images):
    assert torch.equal(attack(network, images, seed=7).images, attack(network, images, seed=7).images)


@each_attack
def test_a_network_in_training_mode_is_refused(attack, images):
    with pytest.raises(ValueError, match="in training mode"):
        attack(nn.Sequential(nn.Flatten(), nn.Linear(432, 6)), images)


@each_attack
def test_a_random_layer_that_is_on_is_refused(attack, network, images):
    dropout = nn.Dropout()
    unsafe = nn.Sequential(network, nn.Sequential(dropout)).eval()
    dropout.train()
    with pytest.raises(ValueError, match=r"whose Dropout 1\.0 is in training mode"):
        attack(unsafe, images)


@each_attack
def test_logits_beyond_float32_are_refused(attack, images):
    class Loud(nn.Module):
        def forward(self, x):
            return 1e38 * (1 + x.flatten(1)[:, :6]) * 10

    with pytest.raises(ValueError, match=r"expected finite logits, got infinity for \d of \d pictures; check the weig"):
        attack(Loud().eval(), images)


@each_attack
@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_bad_pixels_get_one_sentence(attack, network, images, spoil):
    with pytest.raises(ValueError, match="expected"):
        attack(network, spoil(images))


BOUNDED = {
    "fgsm": adversarial.fgsm,
    "pgd": adversarial.pgd,
    "pgd_l2": partial(adversarial.pgd, norm="l2"),
    "pgd_momentum": partial(adversarial.pgd, momentum=1.0),
    "pgd_damaged": partial(adversarial.pgd, transform=attack_methods.compress_or_resize, num_steps=3),
    "apgd": partial(defence_methods.apgd, num_steps=10, num_restarts=2),
    "apgd_l2": partial(defence_methods.apgd, norm="l2", num_steps=10),
    "square": partial(defence_methods.square, num_queries=20),
    "sign_noise": attack_methods.sign_noise,
}


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("epsilon", [0.0, 0.51 / 255, 4 / 255, 0.1, 0.3])
@pytest.mark.parametrize("levels", [True, False])
def test_epsilon_is_never_exceeded_not_even_by_rounding(network, images, name, epsilon, levels):
    clean = images if levels else torch.rand(images.shape, generator=torch.Generator().manual_seed(7))
    examples = BOUNDED[name](network, clean, epsilon)
    assert float(getattr(examples, "l2" if name.endswith("l2") else "linf").max()) <= epsilon
    change = (examples.images.double() - clean.double()).flatten(1)
    assert float((change.norm(dim=1) if name.endswith("l2") else change.abs()).max()) <= epsilon


@pytest.mark.parametrize("shade", [0.0, 1e-20, 1e-7, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("epsilon", [1e-30, 1e-9, 0.51 / 255, 0.1, 1.0])
def test_the_ball_is_the_largest_interval_of_float32(shade, epsilon):
    clean = torch.full((1, 1, 1, 1), shade)
    ball = Ball(clean, "linf", torch.full((1, 1, 1, 1), epsilon, dtype=torch.float64))
    radius = torch.tensor(epsilon)
    radius = radius if float(radius) <= epsilon else radius.nextafter(torch.zeros(()))
    for wall in (0.0, 1.0):
        bound = ball.settle(torch.full_like(clean, wall))
        assert abs(Fraction(float(bound)) - Fraction(float(clean))) <= Fraction(float(radius))
        beyond = float(bound.nextafter(torch.tensor(2 * wall - 1)))
        assert float(bound) == wall or abs(Fraction(beyond) - Fraction(float(clean))) > Fraction(float(radius))


def test_what_rounding_alone_carries_out_of_the_ball_is_no_success():
    # 127 levels and half a level more round to 128; the threshold lies between.
    clean, network = torch.full((1, 3, 8, 8), 127 / 255), Threshold(127.8 / 255).eval()
    examples = adversarial.fgsm(network, clean, 0.51 / 255, labels=0)
    assert attack_methods.survives(network, examples, "8 bits").all()
    assert not examples.success.any()
    assert examples.predicted == 1


@pytest.mark.parametrize("name", [name for name in BOUNDED if not name.endswith("l2")])
def test_an_epsilon_beyond_1_is_refused(network, images, name):
    with pytest.raises(ValueError, match=r"expected epsilon >= 0, finite, at most 1 .* got 2"):
        BOUNDED[name](network, images, 2)


def test_success_never_falls_as_epsilon_grows(dark):
    rates = [
        adversarial.fgsm(Mean().eval(), dark, epsilon).success.float().mean() for epsilon in (0.02, 0.06, 0.12, 0.25)
    ]
    torch.testing.assert_close(torch.stack(rates), torch.tensor([0, 1 / 3, 2 / 3, 1]))


def test_fgsm_by_hand(dark):
    examples = adversarial.fgsm(Mean().eval(), dark, 0.06)
    torch.testing.assert_close(examples.images, dark + 0.06)


@each_attack
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_pictures_have_as_many_channels_as_the_network(attack, channels):
    torch.manual_seed(2)
    network = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 48, 6)).eval()
    x = torch.rand(5, channels, 8, 10)
    examples = attack(network, x)
    assert examples.images.shape == x.shape
    assert torch.equal(examples.images, attack(network, x.numpy()).images)


def test_bytes_of_a_data_set_are_attacked_as_the_pixels_that_they_stand_for():
    digits = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    examples = adversarial.fgsm(Mean().eval(), digits, 0.1, labels=[0, 0, 0])
    assert torch.equal(examples.clean, torch.from_numpy(digits / np.float32(255))[:, None])
    assert torch.equal(examples.images, adversarial.fgsm(Mean().eval(), examples.clean, 0.1, labels=0).images)


def plain_pgd_in_l2(network, images, labels, epsilon, num_steps):
    """Madry et al. as in a textbook, without a random start."""
    x = images.clone()
    for _ in range(num_steps):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels, reduction="sum"), x)
        step = 2.5 * epsilon / num_steps * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        change = x.detach() + step - images
        change *= (epsilon / change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp(max=1)
        x = (images + change).clamp(0, 1)
    return x


@pytest.fixture(scope="module")
def digits():
    """A small network that reads scikit-learn's digits, 8 x 8 and grey; 200 of them that it was not trained on."""
    bunch = load_digits()
    images, labels = torch.from_numpy(bunch.images).float()[:, None] / 16, torch.from_numpy(bunch.target)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10))
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(120):
        optimiser.zero_grad()
        F.cross_entropy(network(images[200:]), labels[200:]).backward()
        optimiser.step()
    return network.eval().requires_grad_(False), images[:200], labels[:200]


@pytest.mark.parametrize("epsilon", [0.2, 0.4, 0.6])
def test_grey_pictures_in_l2_are_fooled_as_often_as_by_a_plain_loop(digits, epsilon):
    network, x, y = digits
    plain = network(plain_pgd_in_l2(network, x, y, epsilon, 20)).argmax(1) != y
    examples = adversarial.pgd(network, x, epsilon, y, norm="l2", num_steps=20, random_start=False)
    read = network(x).argmax(1) == y
    assert 0.1 < plain[read].float().mean() < 0.99
    assert abs(plain.float().mean() - examples.success.float().mean()) <= 0.02


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_success_in_either_norm_rises_with_the_radius_from_the_errors_to_all(digits, norm):
    network, x, y = digits
    radii = (0.0, 0.05, 0.1, 0.5) if norm == "linf" else (0.0, 0.3, 0.6, 4.0)
    rates = torch.stack([adversarial.pgd(network, x, e, y, norm=norm).success.float().mean() for e in radii])
    torch.testing.assert_close(rates[0], (network(x).argmax(1) != y).float().mean())
    assert (rates.diff() > 0).all()
    assert rates[-1] > 0.95


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_each_picture_has_an_epsilon_of_its_own(network, images, norm):
    radii = [0.0, 0.01, 0.02, 0.1, 0.3]
    every = adversarial.pgd(network, images, radii, norm=norm, random_start=False, num_steps=4)
    for row, radius in enumerate(radii):
        alone = adversarial.pgd(network, images[[row]], radius, norm=norm, random_start=False, num_steps=4)
        torch.testing.assert_close(every.images[[row]], alone.images)
    assert (getattr(every, norm) <= torch.tensor(radii)).all()
    early = adversarial.pgd(network, images, torch.tensor(radii), norm=norm, stop_early=True)
    assert (getattr(early, norm) <= torch.tensor(radii)).all()
    assert torch.equal(adversarial.fgsm(network, images, np.array(radii)).linf > 0, torch.tensor(radii) > 0)


def test_losses_by_hand():
    logits = torch.tensor([[2.0, 1.0, -1.0], [0.0, 3.0, 5.0]])
    away, towards = (adversarial.Goal(torch.tensor([0, 1]), targeted) for targeted in (False, True))
    torch.testing.assert_close(defence_methods.margin(logits, away), torch.tensor([-1.0, 2.0]))
    torch.testing.assert_close(defence_methods.margin(logits, towards), torch.tensor([1.0, -2.0]))
    expected = F.cross_entropy(logits, torch.tensor([0, 1]), reduction="none")
    torch.testing.assert_close(adversarial.cross_entropy(logits, away), expected)
    torch.testing.assert_close(adversarial.cross_entropy(logits, towards), -expected)
    for goal in (away, towards):
        assert torch.equal(defence_methods.margin(logits, goal) > 0, goal.is_reached(logits))


class Certain(nn.Module):
    """A network so sure of itself that the gradient of the cross-entropy is 0 in float32."""

    def forward(self, x):
        return 100 * Mean()(x)


def test_the_margin_moves_a_certain_network_where_the_cross_entropy_does_not(dark):
    def attack(loss):
        return adversarial.pgd(Certain().eval(), dark[2:], 0.25, random_start=False, loss=loss)

    assert torch.equal(attack(adversarial.cross_entropy).images, dark[2:])
    assert attack(defence_methods.margin).success.all()


def test_a_loss_of_ones_own_is_what_is_climbed(network, images):
    def towards_two(logits, goal):
        return logits[:, 2] * goal.targeted - logits.gather(1, goal.classes[:, None])[:, 0] * (not goal.targeted)

    own = adversarial.pgd(network, images, EPSILON, targets=2, loss=towards_two)
    before, after = (float32_logits(network, x)[:, 2] for x in (images, own.images))
    assert (after > before).all()
    one_step = adversarial.fgsm(network, images, EPSILON, targets=2, loss=towards_two)
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[:, 2].sum(), x)
    torch.testing.assert_close(one_step.images, (images + EPSILON * gradient.sign()).clamp(0, 1))
    common = attack_methods.universal_perturbation(network, images, EPSILON, targets=2, loss=towards_two)
    assert float32_logits(network, (images + common).clamp(0, 1))[:, 2].sum() > before.sum()


def test_an_expectation_is_the_mean_over_its_transforms(network, images):
    shifts = []

    def shift(pictures, generator):
        shifts.append(int(torch.randint(12, (), generator=generator)))
        return pictures.roll(shifts[-1], 3)

    expectation = adversarial.Expectation(network, shift, num_samples=4, seed=3)
    logits = expectation(images)
    expected = torch.stack([network(images.roll(each, 3)) for each in shifts]).mean(0)
    torch.testing.assert_close(logits, expected)
    assert len(set(shifts)) > 1
    assert torch.equal(expectation(images), logits)
    assert not torch.equal(adversarial.Expectation(network, shift, num_samples=4, seed=4)(images), logits)
    with pytest.raises(ValueError, match="num_samples >= 1"):
        adversarial.Expectation(network, shift, num_samples=0)
    with pytest.raises(ValueError, match="in training mode"):
        adversarial.fgsm(adversarial.Expectation(nn.Sequential(*network).train(), shift), images, 0.1)


def test_what_fools_an_expectation_stands_more_shifts(digits):
    network, x, y = digits[0], *(part[:100] for part in digits[1:])

    def shift(pictures, generator):
        rows, columns = torch.randint(-1, 2, (2,), generator=generator).tolist()
        return pictures.roll((rows, columns), (2, 3))

    judge = adversarial.Expectation(network, shift, num_samples=16, seed=9)
    moved = {
        name: adversarial.pgd(attacked, x, 0.5, y, norm="l2")
        for name, attacked in {"plain": network, "expectation": adversarial.Expectation(network, shift)}.items()
    }
    read = judge(x).argmax(1) == y
    rates = {name: (judge(each.images).argmax(1) != y)[read].float().mean() for name, each in moved.items()}
    assert rates["expectation"] > rates["plain"] + 0.05


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.1 * 192**0.5)])
def test_both_norms_move_a_mean_by_epsilon(dark, norm, epsilon):
    examples = adversarial.pgd(Mean().eval(), dark, epsilon, norm=norm, random_start=False)
    torch.testing.assert_close(examples.images, dark + 0.1, atol=1e-4, rtol=0)


class Linear(nn.Module):
    """Two classes and a plane between them: the smallest change of the answer is known in each norm."""

    def __init__(self):
        super().__init__()
        self.weights = torch.randn(3 * 12 * 12, generator=torch.Generator().manual_seed(3))

    def forward(self, x):
        score = (x.flatten(1) - 0.5) @ self.weights
        return torch.stack([-score, score], 1)

    def distance(self, x, norm):
        """From pictures to the plane; the dual norm of the gradient divides."""
        score = (x.flatten(1) - 0.5) @ self.weights
        return score.abs() / self.weights.norm(p=1 if norm == "linf" else 2)


@pytest.fixture
def inner():
    """Pictures far enough from 0 and 1 that no pixel is clipped on its way to the plane."""
    return 0.4 + 0.2 * torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("attack", [adversarial.pgd, adversarial.fgsm, partial(defence_methods.apgd, num_steps=10)])
def test_the_bisected_epsilon_of_a_linear_network_is_the_distance_to_its_plane(inner, attack):
    network = Linear().eval()
    found = attack_methods.smallest_epsilon(network, inner, most=0.05, num_rounds=10, attack=attack)
    torch.testing.assert_close(found, network.distance(inner, "linf"), rtol=0.01, atol=0)
    labels = network(inner).argmax(1)
    labels[0] = 1 - labels[0]
    found = attack_methods.smallest_epsilon(network, inner, labels, most=0.05, num_rounds=4, attack=attack)
    assert found[0] == 0
    assert (found[1:] > 0).all()
    small = float(network.distance(inner, "linf").sort().values[2]) * 0.99
    withstand = attack_methods.smallest_epsilon(network, inner, most=small, num_rounds=1, attack=attack).isinf()
    assert torch.equal(withstand, network.distance(inner, "linf") > small)


def test_ddn_finds_the_shortest_way_to_a_plane(inner):
    network = Linear().eval()
    examples = attack_methods.ddn(network, inner, num_steps=200)
    assert attack_methods.survives(network, examples, "none").all()
    torch.testing.assert_close(examples.l2, network.distance(inner, "l2"), rtol=0.02, atol=0)


def test_ddn_is_no_longer_than_deep_fool_on_digits_and_gives_back_what_it_cannot_fool(digits):
    network, x, y = digits[0], *(part[:60] for part in digits[1:])
    found, rival = attack_methods.ddn(network, x, y), adversarial.deep_fool(network, x, y)
    assert attack_methods.survives(network, found, "none").all()
    assert found.l2.median() <= rival.l2.median()
    assert torch.equal(attack_methods.ddn(network, x, y, num_steps=1).images, x)


def test_no_momentum_is_pgd_and_momentum_averages_gradients(network, images):
    plain, none, some = (
        adversarial.pgd(network, images, EPSILON, **options) for options in ({}, {"momentum": 0.0}, {"momentum": 1.0})
    )
    assert torch.equal(plain.images, none.images)
    assert not torch.equal(plain.images, some.images)
    # The first step has no past.
    first, second = (
        adversarial.pgd(network, images, EPSILON, num_steps=1, momentum=momentum) for momentum in (0.0, 1.0)
    )
    assert torch.equal(first.images, second.images)


def test_a_transform_is_drawn_anew_at_each_step(network, images):
    draws = []

    def shift(pictures, generator):
        draws.append(int(torch.randint(1000, (), generator=generator)))
        return pictures.roll(draws[-1], 3)

    adversarial.pgd(network, images, EPSILON, num_steps=5, transform=shift)
    assert len(set(draws)) == 5


@pytest.mark.parametrize("transform", [attack_methods.resize_and_pad, attack_methods.compress_or_resize])
def test_transforms_leave_pictures_of_their_size_and_let_the_gradient_through(transform):
    x = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(5)).requires_grad_()
    seen = [transform(x, torch.Generator().manual_seed(seed)) for seed in range(12)]
    assert all(each.shape == x.shape and ((each >= 0) & (each <= 1)).all() for each in seen)
    assert len({float(each.detach().sum()) for each in seen}) > 4
    for each in seen:
        (gradient,) = torch.autograd.grad(each.sum(), x)
        assert gradient.abs().sum() > 0


def test_apgd_reaches_the_corner_of_the_ball_and_halves_its_step(dark):
    examples = defence_methods.apgd(Mean().eval(), dark, 0.06, num_steps=20)
    torch.testing.assert_close(examples.images, dark + 0.06)
    # A loss that cannot rise halves the step at each checkpoint, whether or not it was halved at the last.
    steps = defence_methods._StepSizes(torch.ones(2, 1, 1, 1), 100)
    sizes = []
    for step in range(101):
        steps.update(step, torch.tensor([0.0, float(step)]), torch.tensor([0.0, float(step)]))
        sizes.append(steps.sizes.flatten().tolist())
    halvings = [step for step in range(1, 101) if sizes[step][0] < sizes[step - 1][0]]
    assert halvings == defence_methods.choose_checkpoints(100)
    assert sizes[-1][1] == 1


def test_checkpoints_of_apgd_are_those_of_the_paper():
    # p: .22, .41, .57, .70, .80, .87, .93, .99 (section 3.1 of the paper).
    assert defence_methods.choose_checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_apgd_fools_at_least_as_often_as_pgd_and_each_restart_helps(digits):
    network, x, y = digits
    pgd = adversarial.pgd(network, x, 0.08, y, num_steps=20)
    once, twice = (defence_methods.apgd(network, x, 0.08, y, num_steps=20, num_restarts=n) for n in (1, 2))
    rates = [attack_methods.survives(network, each, "none").float().mean() for each in (pgd, once, twice)]
    assert 0.1 < rates[0] < 0.95
    assert rates[0] - 0.01 <= rates[1] <= rates[2]
    losses = [F.cross_entropy(float32_logits(network, each.images), y, reduction="none") for each in (once, twice)]
    withstood = ~attack_methods.survives(network, twice, "none")
    assert (losses[1] >= losses[0] - 1e-4)[withstood].all()
    with pytest.raises(ValueError, match="expected a network in eval mode"):
        attack_methods.survives(copy.deepcopy(network).train(), twice, "none")


def test_square_asks_for_scores_alone_and_rises(digits):
    network, x, y = digits

    class Opaque(nn.Module):
        def forward(self, pictures):
            assert not torch.is_grad_enabled()
            assert not pictures.requires_grad
            return network(pictures)

    few, many = (defence_methods.square(Opaque().eval(), x, 0.15, y, num_queries=n) for n in (5, 200))
    noise = attack_methods.sign_noise(network, x, 0.15, y)
    rates = [float(attack_methods.survives(network, each, "none").float().mean()) for each in (noise, few, many)]
    assert rates[0] < rates[2] - 0.1
    assert rates[1] < rates[2]
    fooled = attack_methods.survives(network, many, "none")
    assert (many.steps[~fooled] == 200).all()
    assert many.steps[fooled].float().mean() < 200


def test_training_on_adversarial_digits_makes_a_network_robust():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(256) % 2
    images = torch.zeros(256, 28, 28)
    # A strong feature that is right in nine of ten, which half is bright, and a weak one that always is: all pixels.
    bright = torch.where(torch.rand(256, generator=generator) < 0.9, labels, 1 - labels)
    images[bright == 0, :14] += 100
    images[bright == 1, 14:] += 100
    images += 20 + 30 * labels[:, None, None] + 60 * torch.rand(256, 28, 28, generator=generator)
    images = images.clamp(0, 255).byte()
    x = images[:, None].float() / 255
    before = torch.random.get_rng_state()
    plain, robust = (defence_methods.fit_digits(images, labels, epsilon, num_epochs=25)[0] for epsilon in (0.0, 0.15))
    assert torch.equal(torch.random.get_rng_state(), before)
    pair = [defence_methods.fit_digits(images, labels, 0.15, num_epochs=1)[0].parameters() for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(*pair, strict=True))
    networks = plain, robust
    clean = [(network(x).argmax(1) == labels).float().mean() for network in networks]
    moved = [defence_methods.apgd(network, x, 0.15, labels, num_steps=20).images for network in networks]
    attacked = [
        (network(each).argmax(1) == labels).float().mean() for network, each in zip(networks, moved, strict=True)
    ]
    assert min(clean) > 0.8
    assert attacked[1] > attacked[0] + 0.2
    assert attacked[1] > 0.8


def test_the_committed_robust_network_withstands_what_turns_the_plain_one():
    generator = torch.Generator().manual_seed(6)
    x = (torch.rand(40, 1, 28, 28, generator=generator) > 0.8).float()
    moved = {}
    for name, network in adversarial.load_digit_networks().items():
        assert not network.training
        assert not any(weight.requires_grad for weight in network.parameters())
        examples = adversarial.pgd(network, x, 0.2)
        moved[name] = examples.success.float().mean()
    assert moved["robust"] < moved["plain"] - 0.2


def test_deep_fool_finds_the_smallest_change(dark):
    examples = adversarial.deep_fool(Mean().eval(), dark, overshoot=0.02)
    smallest = torch.tensor([0.05, 0.1, 0.2]) * 192**0.5
    torch.testing.assert_close(examples.l2, 1.02 * smallest, atol=2e-3, rtol=2e-3)
    assert attack_methods.survives(Mean().eval(), examples, "none").all()
    assert (examples.steps == 1).all()


def test_fool_stops_each_picture_once_its_rounding_is_fooled(dark):
    examples = adversarial.fool(Mean().eval(), dark, 1, step_size=0.01 * 192**0.5)
    assert examples.success.all()
    # At .5 exactly class 0 still wins; .505 rounds up.
    assert ((examples.steps >= torch.tensor([5, 10, 20])) & (examples.steps <= torch.tensor([6, 11, 21]))).all()


def test_fool_gives_up_after_num_steps(dark):
    examples = adversarial.fool(Mean().eval(), dark, 1, step_size=0.01, num_steps=2)
    assert not examples.success.any()
    assert (examples.steps == 2).all()


def test_stopping_early_costs_fewer_steps_and_no_success(network, images):
    whole, early = (adversarial.pgd(network, images, EPSILON, stop_early=stop) for stop in (False, True))
    assert early.success.sum() >= whole.success.sum()
    assert early.steps.sum() < whole.steps.sum()


def test_one_pixel_changes_one_pixel(network, images):
    examples = attack_methods.one_pixel(network, images, num_steps=2, population=10, num_pixels=2)
    changed = (examples.images != images).any(1).sum((1, 2))
    assert ((changed >= 1) & (changed <= 2)).all()


def test_one_pixel_reaches_a_target_that_hangs_on_one_pixel():
    class Corner(nn.Module):
        def forward(self, x):
            score = 10 * (x.amax((1, 2, 3)) - 0.8)
            return torch.stack([-score, score], 1)

    examples = attack_methods.one_pixel(Corner().eval(), torch.zeros(1, 3, 6, 6), targets=1, population=20)
    assert examples.success.all()


def test_one_perturbation_fools_all_pictures(dark):
    perturbation = attack_methods.universal_perturbation(Mean().eval(), dark, 0.25, labels=0, num_passes=20)
    assert perturbation.shape == (3, 8, 8)
    goal = adversarial.make_goal(Mean().eval(), dark, 0, None)
    examples = adversarial.score_examples(Mean().eval(), dark, (dark + perturbation).clamp(0, 1), goal)
    assert examples.success.all()
    assert float(examples.linf.max()) <= 0.25


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("damage", ["none", "8 bits", "jpeg", "resize"])
def test_a_change_of_the_mean_survives_damage(dark, damage, channels):
    examples = adversarial.fgsm(Mean().eval(), dark[:, :channels], 0.25)
    assert attack_methods.survives(Mean().eval(), examples, damage).all()


def test_jpeg_holds_one_channel_or_three(dark):
    with pytest.raises(ValueError, match="expected pictures of 1 or 3 channels for jpeg, got 2"):
        attack_methods.survives(Mean().eval(), adversarial.fgsm(Mean().eval(), dark[:, :2], 0.25), "jpeg")


def test_a_change_below_8_bits_does_not_survive_saving():
    dark = torch.full((1, 3, 8, 8), 127 / 255)
    examples = adversarial.fgsm(Mean().eval(), dark, 0.4 / 255 + 1e-3)
    assert attack_methods.survives(Mean().eval(), examples, "none").all()
    # A threshold of 127.25 levels, and pictures of 127.4: rounded they are on its other side.
    network = Threshold(127.25 / 255).eval()
    smaller = adversarial.score_examples(network, dark, torch.full_like(dark, 127.4 / 255), examples.goal)
    assert attack_methods.survives(network, smaller, "none").all()
    assert not attack_methods.survives(network, smaller, "8 bits").any()
    assert not smaller.success.any()


class Threshold(nn.Module):
    """Class 1 where the mean of a picture is above the threshold."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        score = 1000 * (x.mean((1, 2, 3)) - self.threshold)
        return torch.stack([-score, score], 1)


class Stripes(nn.Module):
    """Class 1 where red less blue differs by more than .05 between even and odd columns."""

    def forward(self, x):
        tint = x[:, 0] - x[:, 2]
        score = 20 * ((tint[..., ::2] - tint[..., 1::2]).mean((1, 2)) - 0.05)
        return torch.stack([-score, score], 1)


@pytest.mark.parametrize(("levels", "stays"), [(6.45, ["none"]), (7, ["none", "8 bits"])])
def test_fine_stripes_of_colour_do_not_survive(levels, stays):
    grey, network = torch.full((1, 3, 16, 16), 128 / 255), Stripes().eval()
    moved = grey.clone()
    moved[:, 0, :, ::2] += levels / 255
    moved[:, 2, :, ::2] -= levels / 255
    examples = adversarial.score_examples(network, grey, moved, adversarial.make_goal(network, grey, None, 1))
    damages = ("none", "8 bits", "jpeg", "resize")
    assert [damage for damage in damages if attack_methods.survives(network, examples, damage)] == stays


def test_autocast_bends_the_path_but_not_the_verdict(network, images):
    with torch.autocast("cpu", torch.bfloat16):
        examples = adversarial.pgd(network, images, EPSILON)
    within, saved = (attack_methods.survives(network, examples, damage) for damage in ("none", "8 bits"))
    assert torch.equal(examples.success, within & saved)


def scalar(logits, goal):
    return adversarial.cross_entropy(logits, goal).mean()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, x: adversarial.pgd(n, x, 0.1, labels=1, targets=2), "got both"),
        (lambda n, x: adversarial.pgd(n, x, 0.1, labels=[True] * 5), "expected one integer class.* of torch.bool"),
        (lambda n, x: defence_methods.apgd(n, x, 0.1, loss=scalar), r"loss of each of 5 pictures, got shape \(\)"),
        (lambda n, x: adversarial.pgd(n, x, 0.1, loss=scalar), r"loss of each of 5 pictures, got shape \(\)"),
        (lambda n, x: adversarial.fgsm(n, x, 0.1, loss=lambda logits, goal: logits), r"got shape \(5, 6\); take no"),
        (lambda n, x: adversarial.fgsm(n, x, 0.1, loss=lambda logits, goal: 1.0), "pictures, got float"),
        (lambda n, x: adversarial.fgsm(n, x, 0.1, loss=lambda logits, goal: logits.sum(1).detach()), "differentiable"),
        (lambda n, x: adversarial.fgsm(n, x, 0.1, loss=lambda logits, goal: logits.sum(1) / 0), "a finite loss, got"),
        (lambda n, x: adversarial.pgd(n, x, 0.1, norm="l1"), "norm among linf, l2"),
        (lambda n, x: adversarial.pgd(n, x, -0.1), "expected epsilon >= 0, finite, at most 1"),
        (lambda n, x: adversarial.pgd(n, x, float("nan")), "expected epsilon >= 0, finite"),
        (lambda n, x: adversarial.pgd(n, x, float("inf"), norm="l2"), "expected epsilon >= 0, finite, a number"),
        (lambda n, x: adversarial.pgd(n, x, [0.1, 0.2]), "a number or one for each of 5 pictures"),
        (lambda n, x: adversarial.pgd(n, x, 0.1, step_size=float("nan")), "expected step_size >= 0, finite"),
        (lambda n, x: adversarial.pgd(n, x, 0.1, num_steps=0), "expected num_steps >= 1, got 0"),
        (lambda n, x: adversarial.fgsm(n, x, 8), r"at most 1 \(pixels lie in \[0, 1\]\), .* got 8"),
        (lambda n, x: attack_methods.universal_perturbation(n, x, -1.0), "expected epsilon >= 0"),
        (lambda n, x: attack_methods.universal_perturbation(n, x, 0.1, num_passes=-1), "expected num_passes >= 1"),
        (lambda n, x: adversarial.fool(n, x, 1, num_steps=-1), "expected num_steps >= 1"),
        (lambda n, x: adversarial.fool(n, x, 1, step_size=float("nan")), "expected step_size >= 0, finite"),
        (lambda n, x: adversarial.deep_fool(n, x, num_candidates=0), "expected num_candidates >= 1"),
        (lambda n, x: adversarial.deep_fool(n, x, overshoot=float("nan")), "finite overshoot >= 0"),
        (lambda n, x: adversarial.deep_fool(n, x, num_steps=-1), "expected num_steps >= 1, got -1"),
        (lambda n, x: adversarial.pgd(n, x, 0.1, momentum=-1), "expected a finite momentum >= 0, got -1"),
        (lambda n, x: defence_methods.apgd(n, x, 0.1, num_restarts=0), "expected num_restarts >= 1"),
        (lambda n, x: defence_methods.square(n, x, 0.1, area=0), r"expected an area in \(0, 1\]"),
        (lambda n, x: defence_methods.square(n, x, 0.1, num_queries=0), "expected num_queries >= 1"),
        (lambda n, x: attack_methods.ddn(n, x, gamma=1), r"expected gamma in \(0, 1\), got 1"),
        (lambda n, x: attack_methods.smallest_epsilon(n, x, most=2), "at most 1"),
        (lambda n, x: attack_methods.one_pixel(n, x, num_pixels=0), "expected num_pixels >= 1"),
        (lambda n, x: adversarial.fool(n, x, "tabby"), "expected a name that one of the network's 0 class_names"),
        (lambda n, x: adversarial.fgsm(nn.Sequential(n, nn.Flatten(0)).eval(), x, 0.1), r"logits of shape \(5, K\)"),
        (lambda n, x: adversarial.fool(n, x, 6), "classes from 0 to 5"),
        (lambda n, x: adversarial.fool(n, x, [1, 2]), "one for each of 5"),
        (lambda n, x: adversarial.deep_fool(n, x, 6), "classes from 0 to 5"),
        (lambda n, x: attack_methods.survives(n, adversarial.fgsm(n, x, 0.1), "rain"), "damage among none, 8 bits"),
    ],
)
def test_bad_arguments_get_one_sentence(network, images, call, message):
    with pytest.raises(ValueError, match=message):
        call(network, images)
