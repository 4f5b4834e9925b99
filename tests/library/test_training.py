"""What every training keeps to: its seed, its monitor and its history."""

import functools
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dlapps import dann, gan
from dlapps.core.classifier import fit_classifier
from dlapps.core.training import (
    DivergenceError,
    Means,
    epoch_size,
    minimise,
    run_epochs,
)
from dlapps.gan import flow
from studies import dann_recipe

torch.set_num_threads(1)

SETTINGS = dann.Settings(num_epochs=3, batch_size=16, learning_rate=0.05)
IMPROVED = replace(dann_recipe.IMPROVED, num_epochs=3, batch_size=8)

GAN = replace(gan.PRACTICAL, generator_channels=4, discriminator_channels=4, size=16)
GAN = replace(GAN, latent_dim=5, batch_size=8, num_epochs=3)
AVERAGED = replace(GAN, average=0.9)


@pytest.fixture(scope="module")
def data():
    """Noise: images of a source, their labels, images of a target."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(256, (40, 28, 28), generator=generator).byte()
    target = torch.randint(256, (30, 28, 28, 3), generator=generator).byte()
    return source, torch.arange(40) % 10, target


def make_variant():
    network = dann.DomainAdversarialNetwork(0)
    network.feature_extractor.insert(6, nn.BatchNorm2d(48))
    network.feature_extractor.insert(3, nn.BatchNorm2d(32))
    network.label_predictor.insert(4, nn.Dropout(0.2))
    network.label_predictor.insert(2, nn.Dropout(0.2))
    return network


def train_source_only(
    data, seed=0, settings=SETTINGS, make=dann.DomainAdversarialNetwork, **options
):
    network = make()
    return [network], dann.fit_source_only(
        network, *data[:2], settings, seed, **options
    )


def train_dann(data, seed=0, **options):
    network = make_variant()
    return [network], dann.fit_dann(network, *data, SETTINGS, seed, **options)


def train_improved(data, seed=0, settings=IMPROVED, **options):
    network = dann.ImprovedNetwork(0)
    return [network], dann_recipe.fit_improved(
        network, *data, settings, seed, threshold=0.2, **options
    )


def roll(reach, pixels, generator):
    return pixels.roll(int(torch.randint(reach + 1, (), generator=generator)), 3)


def train_classifier(data, seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 8))
        rest = nn.Sequential(
            nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 10)
        )
    network = nn.Sequential(first, rest)
    history = fit_classifier(
        network,
        data[0][:, None] / 255,
        data[1],
        num_epochs=3,
        learning_rates={rest: 0.01},
        batch_size=16,
        seed=seed,
        augment=partial(roll, 2),
        **options,
    )
    return [network], history


def train_gan(data, seed=0, settings=GAN, **options):
    labels = data[1] if settings.num_classes else None
    training = gan.fit_gan(
        data[0], settings, seed, labels=labels, frame_every=4, **options
    )
    history = dict(training.history)
    history["frames"] = training.frames.tolist()
    history["frame_batches"] = training.frame_batches
    return [training.generator, training.discriminator], history


def train_flow(data, seed=0, **options):
    settings = flow.FlowSettings(
        size=24, channels=(8, 8, 8), num_epochs=3, batch_size=16
    )
    network, history = flow.fit_flow(
        data[0][:, 2:26, 2:26], data[1], settings, seed, **options
    )
    return [network], history


# Each in three epochs.
KINDS = {
    "source only": partial(
        train_source_only, make=make_variant, augment=dann.random_affine
    ),
    "dann": train_dann,
    "dann, augmented": partial(train_dann, augment=dann.random_affine),
    "improved": train_improved,
    "classifier": train_classifier,
    "gan": train_gan,
    "conditional gan": partial(
        train_gan, settings=replace(AVERAGED, num_classes=10, anneal=True)
    ),
    "gan, averaged": partial(train_gan, settings=AVERAGED),
    "flow": train_flow,
}
each_kind = pytest.mark.parametrize("train", KINDS.values(), ids=KINDS)


def same(first, second):
    """Whether two results, (networks, history), are equal to the last bit."""
    networks, history = first
    other_networks, other_history = second
    weights = nn.ModuleList(networks).state_dict().values()
    other_weights = nn.ModuleList(other_networks).state_dict().values()
    return history == other_history and all(map(torch.equal, weights, other_weights))


@pytest.fixture(scope="module")
def plain(data):
    """The result of each kind of training with seed 0."""
    return functools.cache(lambda train: train(data))


@each_kind
def test_another_seed_gives_others_and_the_default_generator_is_left_alone(
    train, data, plain
):
    first = plain(train)
    state = torch.get_rng_state()
    assert not same(first, train(data, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(
        module.training for network in first[0] for module in network.modules()
    )


@pytest.mark.parametrize("kind", ["source only", "dann", "improved"])
def test_a_monitor_sees_eval_mode_and_changes_nothing(kind, data, plain):
    train = KINDS[kind]
    seen = []

    def watch(network, epoch):
        seen.append((epoch, any(module.training for module in network.modules())))
        return {"drawn": float(torch.rand(()))}

    networks, history = train(data, monitor=watch)
    assert seen == [(0, False), (1, False), (2, False)]
    assert len(history.pop("drawn")) == 3
    assert same((networks, history), plain(train))


@each_kind
def test_the_number_format_is_the_caller_s(train, data, plain):
    # Weights that are kept in bfloat16 would not be those after a step.
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        rounded = train(data)
    assert not same(rounded, plain(train))
    for name, values in plain(train)[1].items():
        if "loss" in name:
            assert rounded[1][name] == pytest.approx(values, rel=0.3)


def make_normed():
    """A network whose label predictor has batch norm of vectors."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = dann.DomainAdversarialNetwork(0)
        network.label_predictor = nn.Sequential(
            nn.BatchNorm1d(2352), nn.Dropout(0.5), nn.Linear(2352, 10)
        )
        return network


def train_classifier_of_pixels(network, source, labels, _target, settings):
    pixels = source[:, None].expand(-1, 3, -1, -1)
    return fit_classifier(
        network,
        pixels,
        labels,
        settings.num_epochs,
        {network: 0.01},
        batch_size=settings.batch_size,
    )


def train_first(network, source, labels, _target, settings):
    return dann.fit_source_only(network, source, labels, settings)


FITS = {
    "source only": train_first,
    "dann": dann.fit_dann,
    "classifier": train_classifier_of_pixels,
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_an_example_alone_in_the_last_batch_is_left_out(fit, data):
    """Batch norm of vectors could not normalise it."""
    source, labels, target = data
    settings = replace(SETTINGS, num_epochs=2, batch_size=16)
    losses = []
    for number in (32, 33):
        network = make_normed()
        # All logits are 0, whatever the weights, and all losses log 10.
        network.label_predictor.register_forward_hook(lambda *results: 0 * results[2])
        history = fit(network, source[:number], labels[:number], target, settings)
        assert network.label_predictor[0].num_batches_tracked == 4
        losses.append(history.get("class_loss") or history["loss"])
    assert losses[0] == losses[1] == pytest.approx([math.log(10)] * 2)


@pytest.mark.parametrize(
    ("number", "batch_size", "size"),
    [(33, 16, 32), (34, 16, 34), (1, 16, 1), (2, 1, 2)],
)
def test_an_epoch_takes_all_examples_but_one_alone(number, batch_size, size):
    assert epoch_size(number, batch_size) == size


def test_numpy_s_integers_are_seeds():
    def draw(_, generator):
        drawn = float(torch.rand((), generator=generator))
        return {"drawn": drawn, "by dropout": float(torch.rand(()))}

    first, same, other = (
        run_epochs(draw, nn.Linear(1, 1), 2, seed) for seed in (np.int8(3), 3, 4)
    )
    assert first == same
    assert not set(first["drawn"]) & set(other["drawn"])
    assert len(set(first["drawn"])) == 2


def test_an_epoch_and_its_monitor_write_down_their_values():
    def train_epoch(epoch, _):
        return {"a": epoch, "b": 2 * epoch}

    def monitor(network, epoch):
        return {"c": epoch / 2}

    network = nn.Linear(1, 1)
    history = run_epochs(train_epoch, network, 3, 0, monitor)
    assert history == {"a": [0, 1, 2], "b": [0, 2, 4], "c": [0, 0.5, 1]}
    assert run_epochs(train_epoch, network, 1, 0, lambda *_: None) == {
        "a": [0],
        "b": [0],
    }
    assert history.b is history["b"]
    with pytest.raises(
        AttributeError, match="expected a measurement among a, b, c, got 'loss'"
    ):
        history.loss  # noqa: B018


def test_a_mean_counts_each_example_once():
    means = Means()
    means.add({"a": torch.tensor(1.0), "b": torch.tensor(4.0)}, 3)
    means.add({"a": torch.tensor(2.0), "b": torch.tensor(0.0)}, 1)
    assert means.as_numbers() == {"a": 1.25, "b": 3.0}


def test_what_fails_leaves_the_network_in_eval_mode():
    network = nn.Linear(1, 1)
    with pytest.raises(ZeroDivisionError):
        run_epochs(lambda *_: network.train() and 1 / 0, network, 1, 0)
    assert not network.training


def test_a_step_goes_down_and_no_farther_than_the_gradient_may_reach():
    weights = torch.tensor([3.0, 4.0], requires_grad=True)
    frozen = torch.ones(2)
    others = torch.ones(2, requires_grad=True)
    optimiser = torch.optim.SGD([weights, frozen], lr=1.0)
    loss = (weights * frozen * others).square().sum() / 2
    assert minimise(loss, optimiser, max_norm=0.5) == 5
    assert others.grad is None
    torch.testing.assert_close(weights.detach(), torch.tensor([2.7, 3.6]))
    minimise(weights.square().sum() / 2, optimiser)
    torch.testing.assert_close(weights.detach(), torch.zeros(2))
    with pytest.raises(DivergenceError, match="expected a finite loss, got nan; lower"):
        minimise(weights.sum() * torch.nan, optimiser)
    assert not weights.any()
