"""What every training keeps to: its seed, its monitor and its history."""

import functools
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dlapps import DlappsError, dann, pretrained
from dlapps.core import runtime
from dlapps.core.classifier import fit_classifier
from dlapps.core.training import (
    DivergenceError,
    Means,
    early_decay,
    epoch_size,
    minimise,
    run_epochs,
)
from dlapps.dann import pictures
from studies import dann_recipe

torch.set_num_threads(1)

SETTINGS = dann.Settings(num_epochs=3, batch_size=16, learning_rate=0.05)
IMPROVED = replace(dann_recipe.IMPROVED, num_epochs=3, batch_size=8, threshold=0.2)


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
        network, *data, settings, seed, **options
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


# Each in three epochs.
KINDS = {
    "source only": partial(
        train_source_only, make=make_variant, augment=dann.random_affine
    ),
    "dann": train_dann,
    "dann, augmented": partial(train_dann, augment=dann.random_affine),
    "improved": train_improved,
    "classifier": train_classifier,
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


def test_a_killed_training_goes_on_and_no_other_run_goes_on_from_it(
    data, plain, tmp_path
):
    train = train_classifier
    unbroken, steps = plain(train)
    path = tmp_path / "folder" / "run.pt"
    killed, _ = count_steps(
        partial(train, data, checkpoint=path), stop_at=(steps + 1) // 2
    )
    assert killed is None
    # The second of three epochs is begun again.
    resumed, resumed_steps = count_steps(partial(train, data, checkpoint=str(path)))
    assert resumed_steps == steps * 2 // 3
    assert same(resumed, unbroken)
    assert same(train(data, checkpoint=path), unbroken)
    assert same(train(data, seed=np.int64(0), checkpoint=path), unbroken)
    before = path.read_bytes()
    source, labels, target = data
    message = r"checkpoint of this run .* got one that differs in"
    with pytest.raises(TrainingError, match=message):
        train((source.flip(0), labels, target), checkpoint=path)
    with pytest.raises(TrainingError, match=message):
        train(data, seed=1, checkpoint=path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]


@each_kind
def test_a_monitor_sees_eval_mode_and_changes_nothing(train, data, plain):
    seen = []

    def watch(network, epoch):
        seen.append((epoch, any(module.training for module in network.modules())))
        return {"drawn": float(torch.rand(()))}

    networks, history = train(data, monitor=watch)
    assert seen == [(0, False), (1, False), (2, False)]
    assert len(history.pop("drawn")) == 3
    assert same((networks, history), plain(train)[0])


@dataclass(frozen=True)
class Shift:
    reach: int

    def __call__(self, pixels, generator):
        return pixels.roll(self.reach, 3)

    @classmethod
    def far(cls, pixels, generator):
        return cls(9)(pixels, generator)


class Opaque:
    """Does not say what it was made with."""

    def __init__(self, reach):
        self.reach = reach

    def __call__(self, pixels, generator):
        return pixels.roll(self.reach, 3)


def dim(share):
    return lambda pixels, generator: pixels * share


def invert(pixels, generator):
    return 1 - pixels


FUNCTIONS = {  # an augmentation, another one, and whether a checkpoint tells them apart
    "name": (invert, pictures.random_affine, True),
    "class": (Shift(1), invert, True),
    "method": (Shift(1).__call__, Shift(1), True),
    "none": (None, invert, True),
    "what partial binds": (partial(roll, 1), partial(roll, 2), True),
    "function that partial binds": (
        partial(max, key=invert),
        partial(max, key=dim),
        True,
    ),
    "setting": (Shift(1), Shift(2), True),
    "setting that is data": (Shift(torch.zeros(2000)), Shift(torch.ones(2000)), True),
    "method's object": (Shift(1).__call__, Shift(2).__call__, True),
    "class method": (Shift.far, Shift, True),
    # The limit that `run_epochs` states.
    "closure": (dim(0.1), dim(0.2), False),
}


@pytest.mark.parametrize(("first", "other", "apart"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_are_told_apart_by_their_names(first, other, apart, tmp_path):
    path = tmp_path / "run.pt"
    assert fit_nothing(first, path) == fit_nothing(first, path)
    refused = pytest.raises(TrainingError, match="differs in augment; delete")
    with refused if apart else contextlib.nullcontext():
        fit_nothing(other, path)


def fit_nothing(augment, path):
    network = nn.Linear(1, 1)
    nn.init.ones_(network.weight)
    nn.init.ones_(network.bias)
    identity = {"augment": augment}
    return run_epochs(lambda *_: {"a": 1}, network, {}, identity, 1, 0, checkpoint=path)


@pytest.mark.parametrize("augment", [Opaque(1), Opaque(1).__call__])
def test_an_object_that_hides_its_settings_has_no_checkpoint(augment, tmp_path):
    message = (
        "expected a function .* got an object of Opaque, .*; bind them by functools"
    )
    with pytest.raises(ValueError, match=message):
        fit_nothing(augment, tmp_path / "run.pt")
    assert fit_nothing(augment, None) == {"a": [1]}


def test_a_monitor_may_measure_by_numpy(tmp_path):
    def fit(num_epochs):
        return run_epochs(
            lambda epoch, _: {"losses": [np.float32(epoch), 2.0]},
            nn.Linear(1, 1),
            {},
            {},
            num_epochs,
            0,
            monitor=lambda network, epoch: {"accuracy": np.float64(0.5)},
            checkpoint=tmp_path / "run.pt",
        )

    history = fit(2)
    assert history == {"losses": [0.0, 2.0, 1.0, 2.0], "accuracy": [0.5, 0.5]}
    assert {type(value) for values in history.values() for value in values} == {float}


@pytest.mark.parametrize("kind", ["a folder", "in a file", "read-only"])
def test_a_checkpoint_that_cannot_be_written_is_refused_at_once(
    kind, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    paths = {"a folder": "", "in a file": "file/run.pt", "read-only": "run.pt"}
    epochs = []

    def train_epoch(epoch, _):
        epochs.append(epoch)
        return {}

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    if kind == "read-only":  # whoever runs the tests may write everywhere
        monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    network = nn.Linear(1, 1)
    path = tmp_path / paths[kind]
    message = r"checkpoint that can be written, got .*\(\w.*\); name"
    with pytest.raises(DlappsError, match=message):
        run_epochs(train_epoch, network, {}, {}, 1, 0, checkpoint=path)
    assert not epochs
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("layer", [nn.Tanh(), nn.LeakyReLU(0.3)])
def test_a_network_of_other_layers_without_weights_is_another_network(layer, tmp_path):
    def fit(last):
        linear = nn.Linear(4, 2)
        nn.init.ones_(linear.weight)
        nn.init.zeros_(linear.bias)
        network = nn.Sequential(nn.Flatten(), linear, last)
        network = pretrained.wrap(network, mean=(0.5,), std=(0.5,))
        inputs = torch.ones(4, 1, 2, 2)
        labels = torch.arange(4) % 2
        return fit_classifier(
            network, inputs, labels, 1, {network: 0.1}, checkpoint=tmp_path / "run.pt"
        )

    assert fit(nn.ReLU()) == fit(nn.ReLU())
    with pytest.raises(TrainingError, match="differs in network; delete"):
        fit(layer)


TRAINED = [
    train_source_only,
    train_dann,
    train_improved,
    train_classifier,
]


@pytest.mark.parametrize("train", TRAINED)
def test_a_mistyped_option_is_refused(train, data):
    with pytest.raises(TypeError, match="unexpected keyword argument 'epochs'"):
        train(data, epochs=3)


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
    [(32, 16, 32), (33, 16, 32), (34, 16, 34), (1, 16, 1), (2, 1, 2), (1, 1, 1)],
)
def test_an_epoch_takes_all_examples_but_one_alone(number, batch_size, size):
    assert epoch_size(number, batch_size) == size


def test_numpy_s_integers_are_seeds():
    assert torch.equal(
        torch.rand(3, generator=runtime.make_generator(np.int8(3))),
        torch.rand(3, generator=runtime.make_generator(3)),
    )

    def draw(_, generator):
        drawn = torch.rand(2, generator=generator).tolist()
        return {"drawn": drawn, "by dropout": torch.rand(2).tolist()}

    first, same, other = (
        run_epochs(draw, nn.Linear(1, 1), 2, seed) for seed in (np.int8(3), 3, 4)
    )
    assert first == same
    assert not set(first["drawn"]) & set(other["drawn"])
    assert len(set(first["drawn"])) == 4


def test_a_network_of_another_size_than_the_pictures_is_refused_before_the_first_step(
    data,
):
    network = dann.DomainAdversarialNetwork(0)
    network.feature_extractor = nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 16 * 16, 2352)
    )
    for fit in (train_first, dann.fit_dann):
        with pytest.raises(
            ValueError, match=r"for inputs \(2, 3, 28, 28\), got one that fails"
        ):
            fit(network, *data, SETTINGS)


def test_another_part_or_rate_of_a_classifier_is_another_run(tmp_path):
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    start = copy.deepcopy(network.state_dict())

    def fit(learning_rates):
        network.load_state_dict(start)
        return fit_classifier(
            network,
            torch.eye(2),
            torch.arange(2),
            3,
            learning_rates,
            checkpoint=tmp_path / "run.pt",
        )

    fit({network[1]: 0.1})
    for other in ({network[0]: 0.1}, {network[1]: 0.2}):
        with pytest.raises(TrainingError, match="differs in parts; delete"):
            fit(other)


@pytest.mark.parametrize(
    "content", [{"identity": {}, "history": {}, "states": {}}, [1], None]
)
def test_another_file_is_refused_and_left(content, data, tmp_path):
    path = tmp_path / "run.pt"
    if content is None:
        path.write_text("no checkpoint")
    else:
        torch.save(content, path)
    before = path.read_bytes()
    with pytest.raises(
        DlappsError, match=r"checkpoint in .*, got a file (of another|that does)"
    ):
        train_classifier(data, checkpoint=path)
    assert path.read_bytes() == before


def test_an_epoch_writes_down_a_value_or_several():
    def train_epoch(epoch, _):
        return {"a": epoch, "b": [epoch] * 2}

    def monitor(network, epoch):
        return {"c": epoch / 2}

    network = nn.Linear(1, 1)
    history = run_epochs(train_epoch, network, 3, 0, monitor)
    assert history == {"a": [0, 1, 2], "b": [0, 0, 1, 1, 2, 2], "c": [0, 0.5, 1]}
    assert run_epochs(train_epoch, network, 1, 0, lambda *_: None) == {
        "a": [0],
        "b": [0, 0],
    }
    assert history.b is history["b"]
    with pytest.raises(
        AttributeError, match="expected a measurement among a, b, c, got 'loss'"
    ):
        history.loss  # noqa: B018


def test_the_first_steps_are_forgotten_sooner():
    decays = [early_decay(0.9, steps) for steps in range(1, 200)]
    assert decays[0] == 1 / 11
    assert decays == sorted(decays)
    assert decays[-1] == decays[89] == 0.9


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
    optimiser = torch.optim.SGD([weights], lr=1.0)
    minimise(weights.square().sum() / 2, optimiser, max_norm=0.5)
    torch.testing.assert_close(weights.detach(), torch.tensor([2.7, 3.6]))
    minimise(weights.square().sum() / 2, optimiser)
    torch.testing.assert_close(weights.detach(), torch.zeros(2))
    with pytest.raises(DivergenceError, match="expected a finite loss, got nan; lower"):
        minimise(weights.sum() * torch.nan, optimiser)
    assert not weights.any()
