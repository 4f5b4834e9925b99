"""Attacks on networks whose answer is known: what must hold whatever the picture."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from dlapps import adversarial
from dlapps.adversarial.examples import Ball, cross_entropy
from dlapps.core.class_scores import float32_logits, pick

torch.set_num_threads(1)

EPSILON = 8 / 255


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 36, 6)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    return (
        torch.randint(256, (5, 3, 12, 12), generator=torch.Generator().manual_seed(1))
        / 255
    )


ATTACKS = {
    "fool": lambda network, x, seed=0: adversarial.fool(network, x, 2),
    "fgsm": lambda network, x, seed=0: adversarial.fgsm(network, x, EPSILON),
    "pgd_linf": partial(adversarial.pgd, epsilon=EPSILON),
    "pgd_l2": partial(adversarial.pgd, epsilon=0.5, norm="l2"),
    "pgd_targeted": partial(adversarial.pgd, epsilon=EPSILON, targets=2),
}
each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


class Mean(nn.Module):
    """Class 1 where the mean of the pixels is above .5, else class 0: the smallest
    change of the answer is known.
    """

    def forward(self, x):
        score = 20 * (x.mean((1, 2, 3)) - 0.5)
        return torch.stack([-score, score], 1)


@pytest.fixture
def dark():
    """Pictures of one grey each, all read as class 0, at distances .05, .1 and .2 from
    the boundary.
    """
    return (
        torch.tensor([0.45, 0.4, 0.3])[:, None, None, None]
        .expand(3, 3, 8, 8)
        .contiguous()
    )


def reached(network, examples):
    """Whether the pictures reach their goal as floats, and rounded to 8 bits."""
    pair = examples.images, adversarial.round_to_8_bits(examples.images)
    return [
        examples.goal.is_reached(float32_logits(network, images)) for images in pair
    ]


def check_attack(attack, network, images):
    """What every attack must hold; returns its examples."""
    before = images.clone()
    examples = attack(network, images)
    assert torch.equal(images, before)
    assert examples.images.shape == images.shape
    assert examples.images.dtype == torch.float32
    assert examples.images.min() >= 0
    assert examples.images.max() <= 1
    rounded = float32_logits(network, adversarial.round_to_8_bits(examples.images))
    within, saved = reached(network, examples)
    assert torch.equal(examples.success, within & saved)
    assert torch.equal(examples.predicted, rounded.argmax(1))
    torch.testing.assert_close(
        examples.linf, (examples.images - images).abs().amax((1, 2, 3))
    )
    torch.testing.assert_close(
        examples.l2, (examples.images - images).square().sum((1, 2, 3)).sqrt()
    )
    # The goal is more likely wherever a picture was moved.
    goal = examples.goal
    logits = (float32_logits(network, x) for x in (images, examples.images))
    before, after = (pick(each.softmax(1), goal.classes) for each in logits)
    moved = (examples.images != images).flatten(1).any(1)
    assert moved.any()
    assert ((after > before) if goal.targeted else (after < before))[moved].all()


@each_attack
def test_what_every_attack_must_hold(attack, network, images):
    check_attack(attack, network, images)


@each_attack
def test_the_same_seed_gives_the_same_result(attack, network, images):
    first, again = (attack(network, images, seed=7).images for _ in range(2))
    assert torch.equal(first, again)


@each_attack
def test_a_network_in_training_mode_or_a_layer_of_it_is_refused(
    attack, network, images
):
    with pytest.raises(ValueError, match="in training mode"):
        attack(nn.Sequential(nn.Flatten(), nn.Linear(432, 6)), images)
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

    with pytest.raises(
        ValueError, match=r"got (infinity|NaN) for \d of \d pictures; check the"
    ):
        attack(Loud().eval(), images)


@each_attack
def test_bad_pixels_get_one_sentence(attack, network, images):
    with pytest.raises(ValueError, match="divide 0-255"):
        attack(network, images * 255)


BOUNDED = {
    "fgsm": adversarial.fgsm,
    "pgd": adversarial.pgd,
    "pgd_l2": partial(adversarial.pgd, norm="l2"),
}


def check_bound(attack, network, clean, epsilon, norm="linf"):
    """No change is longer than epsilon, not even by rounding."""
    examples = attack(network, clean, epsilon)
    assert float(getattr(examples, norm).max()) <= epsilon
    change = (examples.images.double() - clean.double()).flatten(1)
    lengths = change.norm(dim=1) if norm == "l2" else change.abs()
    assert float(lengths.max()) <= epsilon


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("epsilon", [0.0, 1e-9, 0.51 / 255, 4 / 255, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("levels", [True, False])
def test_epsilon_is_never_exceeded_not_even_by_rounding(
    network, images, name, epsilon, levels
):
    clean = images
    if not levels:
        clean = torch.rand(images.shape, generator=torch.Generator().manual_seed(7))
    norm = "l2" if name.endswith("l2") else "linf"
    check_bound(BOUNDED[name], network, clean, epsilon, norm)


def test_the_length_of_a_large_picture_is_exact():
    # Of these 150,528 equal changes a sum in float32 is off by 1e-4.
    clean = torch.full((1, 3, 224, 224), 0.4)
    attack = partial(adversarial.pgd, norm="l2", random_start=False)
    check_bound(attack, Mean().eval(), clean, 2.5, "l2")
    change = Ball(clean, "l2", 2.5).nearest(clean + 0.3) - clean
    assert float(change.double().norm()) == pytest.approx(2.5, abs=5e-5)


def test_what_rounding_alone_carries_out_of_the_ball_is_no_success():
    # 127 levels and half a level more round to 128; the threshold lies between.
    clean = torch.full((1, 3, 8, 8), 127 / 255)
    network = Threshold(127.8 / 255).eval()
    examples = adversarial.fgsm(network, clean, 0.51 / 255, labels=0)
    assert reached(network, examples)[1].all()
    assert not examples.success.any()
    assert examples.predicted == 1


def test_fgsm_by_hand(dark):
    examples = adversarial.fgsm(Mean().eval(), dark, 0.06)
    torch.testing.assert_close(examples.images, dark + 0.06)


@each_attack
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_pictures_have_as_many_channels_as_the_network(attack, channels):
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 48, 6)
    ).eval()
    x = torch.rand(5, channels, 8, 10)
    examples = attack(network, x)
    assert examples.images.shape == x.shape
    assert torch.equal(examples.images, attack(network, x.numpy()).images)


def plain_pgd_in_l2(network, images, labels, epsilon, num_steps):
    """Madry et al. as in a textbook, without a random start."""
    x = images.clone()
    for _ in range(num_steps):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(
            F.cross_entropy(network(x), labels, reduction="sum"), x
        )
        step = (
            2.5
            * epsilon
            / num_steps
            * gradient
            / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        )
        change = x.detach() + step - images
        change *= (epsilon / change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp(
            max=1
        )
        x = (images + change).clamp(0, 1)
    return x


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


@pytest.mark.parametrize("epsilon", [0.2, 0.4, 0.6])
def test_grey_pictures_in_l2_are_fooled_as_often_as_by_a_plain_loop(digits, epsilon):
    network, x, y = digits
    plain = network(plain_pgd_in_l2(network, x, y, epsilon, 20)).argmax(1) != y
    examples = adversarial.pgd(
        network, x, epsilon, y, norm="l2", num_steps=20, random_start=False
    )
    read = network(x).argmax(1) == y
    assert 0.1 < plain[read].float().mean() < 0.99
    assert abs(plain.float().mean() - examples.success.float().mean()) <= 0.02


RADII = {"linf": (0.0, 0.05, 0.1, 0.5), "l2": (0.0, 0.3, 0.6, 4.0)}


@pytest.mark.parametrize("norm", RADII)
def test_success_in_either_norm_rises_with_the_radius_from_the_errors_to_all(
    digits, norm
):
    network, x, y = digits
    made = [adversarial.pgd(network, x, radius, y, norm=norm) for radius in RADII[norm]]
    rates = torch.stack([examples.success.float().mean() for examples in made])
    torch.testing.assert_close(rates[0], (network(x).argmax(1) != y).float().mean())
    assert (rates.diff() > 0).all()
    assert rates[-1] > 0.95


def test_the_loss_by_hand():
    logits = torch.tensor([[2.0, 1.0, -1.0], [0.0, 3.0, 5.0]])
    labels = torch.tensor([0, 1])
    expected = logits.exp().sum(1).log() - torch.tensor([2.0, 3.0])
    torch.testing.assert_close(cross_entropy(logits, labels), expected)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.1 * 192**0.5)])
def test_both_norms_move_a_mean_by_epsilon(dark, norm, epsilon):
    examples = adversarial.pgd(
        Mean().eval(), dark, epsilon, norm=norm, random_start=False
    )
    torch.testing.assert_close(examples.images, dark + 0.1, atol=1e-4, rtol=0)


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


def test_fool_stops_each_picture_once_its_rounding_is_fooled(dark):
    examples = adversarial.fool(Mean().eval(), dark, 1, step_size=0.01 * 192**0.5)
    assert examples.success.all()
    # At .5 exactly class 0 still wins; .505 rounds up.
    late = examples.steps - torch.tensor([5, 10, 20])
    assert ((late >= 0) & (late <= 1)).all()


def test_what_fool_stops_in_another_precision_is_fooled_in_float32():
    network = adversarial.load_digit_networks()["plain"]
    generator = torch.Generator().manual_seed(2)
    x = (torch.rand(80, 1, 28, 28, generator=generator) > 0.8).float()
    goals = (network(x).argmax(1) + 1) % 10
    with torch.autocast("cpu", torch.bfloat16):
        examples = adversarial.fool(network, x, goals, step_size=0.01, num_steps=200)
    stopped = examples.steps < 200
    assert stopped.any()
    assert examples.success[stopped].all()


def test_fool_gives_up_after_num_steps(dark):
    examples = adversarial.fool(Mean().eval(), dark, 1, step_size=0.01, num_steps=2)
    assert not examples.success.any()
    assert (examples.steps == 2).all()


class Threshold(nn.Module):
    """Class 1 where the mean of a picture is above the threshold."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        score = 1000 * (x.mean((1, 2, 3)) - self.threshold)
        return torch.stack([-score, score], 1)


def test_autocast_bends_the_path_but_not_the_verdict(network, images):
    with torch.autocast("cpu", torch.bfloat16):
        examples = adversarial.pgd(network, images, EPSILON)
    within, saved = reached(network, examples)
    assert torch.equal(examples.success, within & saved)


def pgd(epsilon, **options):
    """An attack on a network and pictures."""
    return lambda network, x: adversarial.pgd(network, x, epsilon, **options)


def without_batch(network, x):
    return adversarial.fgsm(nn.Sequential(network, nn.Flatten(0)).eval(), x, 0.1)


def detached(network, x):
    whole = nn.Sequential(network).eval()
    whole.register_forward_hook(lambda *call: call[2].detach())
    return adversarial.fgsm(whole, x, 0.1)


def blind(network, x):
    """Only the weights get a gradient."""
    whole = nn.Sequential(network).eval().requires_grad_()
    whole.register_forward_pre_hook(lambda module, inputs: inputs[0].detach())
    return adversarial.fgsm(whole, x, 0.1)


def score(choose, number):
    """Score examples against chosen clean pictures and the goal of so many."""
    goal = adversarial.Goal(torch.zeros(number, dtype=torch.long), targeted=False)
    return lambda n, x: adversarial.score_examples(n, choose(x), x, goal)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (pgd(0.1, labels=1, targets=2), "got both"),
        (pgd(0.1, labels=[True] * 5), "expected one class.* of torch.bool"),
        (detached, "logits with a gradient, got some without"),
        (blind, "logits with a gradient, got some without"),
        (pgd(0.1, norm="l1"), "norm among linf, l2"),
        (pgd(-0.1), "expected epsilon >= 0, finite, at most 1"),
        (pgd(2), "expected epsilon >= 0, finite, at most 1 .* got 2"),
        (pgd(float("nan")), "expected epsilon >= 0, finite"),
        (pgd(float("inf"), norm="l2"), "expected epsilon >= 0, finite, a number"),
        (pgd([0.1, 0.2]), r"finite, at most 1 .*, a number, got \[0.1, 0.2\]"),
        (pgd(0.1, step_size=float("nan")), "expected step_size >= 0, finite"),
        (pgd(0.1, num_steps=0), "expected num_steps >= 1, got 0"),
        (
            lambda n, x: adversarial.fgsm(n, x, 8),
            r"at most 1 \(pixels lie in \[0, 1\]\), .* got 8",
        ),
        (
            lambda n, x: adversarial.fool(n, x, 1, num_steps=-1),
            "expected num_steps >= 1",
        ),
        (
            lambda n, x: adversarial.fool(n, x, 1, step_size=float("nan")),
            "step_size > 0, got nan",
        ),
        (
            lambda n, x: adversarial.fool(n, x, "tabby"),
            "one of the network's 0 class_names",
        ),
        (without_batch, r"logits of shape \(5, K\)"),
        (lambda n, x: adversarial.fool(n, x, 6), "classes from 0 to 5"),
        (lambda n, x: adversarial.fgsm(n, x, 0.1, labels=-100), "got -100"),
        (pgd(0.1, targets=6), "classes from 0 to 5, got 6"),
        (lambda n, x: adversarial.fool(n, x, [1, 2]), "one for each of 5"),
        (score(lambda x: x[:3], 5), r"clean pictures \(5, .* got \(3, .*; pass those"),
        (score(lambda x: x[..., 1:], 5), r"clean pictures \(5, .*; pass those"),
        (score(lambda x: x, 3), r"a goal of 5 classes, one an image, got \(3,\); take"),
    ],
)
def test_bad_arguments_get_one_sentence(network, images, call, message):
    with pytest.raises(ValueError, match=message):
        call(network, images)
