"""Domain adaptation: gradients against plain ones, and tiny cases by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import CHECKOUT, draw_bars
from torch import nn

from dlapps import DlappsError, dann, datasets
from dlapps.core import paths
from dlapps.core.runtime import make_generator
from dlapps.core.training import minimise, run_epochs, update_average
from dlapps.dann import layers, pictures, training
from studies import dann as study
from studies import dann_recipe as improved
from studies import dann_runs, runs

torch.set_num_threads(1)

SHORT = dann.Settings(num_epochs=3, batch_size=16, learning_rate=0.05)
IMPROVED = replace(improved.IMPROVED, num_epochs=3, batch_size=16, threshold=0.3)


@pytest.fixture(scope="module")
def domains():
    """Bars at one of ten places: white on black, their labels, coloured on colour."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, (2, 64))
    source, target = draw_bars(2 * labels + 3, slice(4, 24), 3, (28, 28))
    colours = random.integers(0, 120, (64, 1, 1, 3)).astype(np.uint8)
    return source, labels[0], target[..., None] // 2 + colours


def make_variant(dropout):
    network = dann.DomainAdversarialNetwork(0)
    network.feature_extractor.insert(6, nn.BatchNorm2d(48))
    network.feature_extractor.insert(3, nn.BatchNorm2d(32))
    network.label_predictor.insert(4, nn.Dropout(dropout))
    network.label_predictor.insert(2, nn.Dropout(dropout))
    return network


def train_source_only(domains, **options):
    network = dann.DomainAdversarialNetwork(0)
    return network, dann.fit_source_only(network, *domains[:2], SHORT, **options)


def train_dann(domains, **options):
    network = make_variant(0.2)
    return network, dann.fit_dann(network, *domains, SHORT, **options)


def train_improved(domains):
    network = dann.ImprovedNetwork(0)
    return network, improved.fit_improved(network, *domains, IMPROVED)


@pytest.fixture
def bars(domains, tmp_path, monkeypatch):
    """A project of its own, and these domains as the study has them."""
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    source, labels, target = (torch.tensor(part) for part in domains)
    return dann_runs.Domains(
        source=dann_runs.Domain(source, labels, source, labels),
        target=dann_runs.Domain(target, labels, target, labels),
        name="bars",
    )


def test_reversed_gradient_is_minus_weight_times_the_plain_one():
    layer = nn.Linear(4, 3)
    x = torch.randn(5, 4, requires_grad=True)
    (plain,) = torch.autograd.grad(layer(x).square().sum(), x)
    for weight in (0.0, 0.3, 1.0, -1.0):
        out = dann.GradientReversal.apply(x, weight)
        assert torch.equal(out, x)
        (reversed_,) = torch.autograd.grad(layer(out).square().sum(), x)
        torch.testing.assert_close(reversed_, -weight * plain)


def test_schedule_starts_at_zero_and_rises_towards_one():
    values = [dann.reversal_schedule(10)(p / 10) for p in range(11)]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[-1] == pytest.approx(math.tanh(5))


def test_layers_have_the_sizes_of_the_assignment():
    network = dann.DomainAdversarialNetwork()
    pixels = torch.rand(2, 3, 28, 28)
    features = network.feature_extractor(pixels)
    assert features.shape == (2, 2352)
    assert network(pixels).shape == (2, 10)
    assert network.domain_classifier(features).shape == (2,)
    assert sum(p.numel() for p in dann.ImprovedNetwork().parameters()) < 1e6


def test_a_step_is_that_of_a_textbook_loop(domains, monkeypatch):
    network = dann.DomainAdversarialNetwork(0)
    other = dann.DomainAdversarialNetwork(0)
    settings = dann.Settings(
        num_epochs=1, batch_size=64, learning_rate=0.1, schedule=0.3
    )
    history = dann.fit_dann(network, *domains, settings)
    source, labels, target = (torch.tensor(part) for part in domains)
    source_pixels = source[:, None].expand(-1, 3, -1, -1) / 255
    target_pixels = target.permute(0, 3, 1, 2) / 255
    features = other.feature_extractor(torch.cat([source_pixels, target_pixels]))
    class_loss = F.cross_entropy(other.label_predictor(features[:64]), labels)
    is_target = (torch.arange(128) >= 64).float()
    logits = other.domain_classifier(features)
    domain_loss = F.binary_cross_entropy_with_logits(logits, is_target)
    # The extractor climbs the domain loss, the classifier descends it.
    parts = {
        "feature_extractor": class_loss - 0.3 * domain_loss,
        "label_predictor": class_loss,
        "domain_classifier": domain_loss,
    }
    for name, loss in parts.items():
        before = list(getattr(other, name).parameters())
        after = list(getattr(network, name).parameters())
        gradients = torch.autograd.grad(loss, before, retain_graph=True)
        for start, end, gradient in zip(before, after, gradients, strict=True):
            torch.testing.assert_close(
                end, start - 0.1 * gradient, rtol=1e-4, atol=1e-6
            )
    right = ((logits > 0) == is_target).float().mean()
    expected = {
        "class_loss": class_loss,
        "domain_loss": domain_loss,
        "domain_accuracy": right,
    }
    for name, value in expected.items():
        assert history[name] == pytest.approx([value.item()], rel=1e-4)


def test_the_numbers_of_a_training_are_those_of_a_plain_loop(domains, monkeypatch):
    """To the last bit, with batch norm, dropout and clipping of the gradient."""
    settings = replace(dann.PAPER, num_epochs=2, batch_size=20)
    trained = make_variant(0.3)
    history = dann.fit_dann(trained, *domains, settings, 5)
    source, labels, target = (torch.tensor(part) for part in domains)
    network = make_variant(0.3)
    optimiser = torch.optim.SGD(network.parameters(), 0.01, 0.9)
    names = ["class_loss", "domain_loss", "domain_accuracy"]

    def train_epoch(epoch, generator):
        network.train()
        sums = np.zeros(3)
        orders = [pictures.draw_rows(64, 64, generator).split(20) for _ in range(2)]
        for step, (source_rows, target_rows) in enumerate(zip(*orders, strict=True)):
            progress = (epoch + step / 4) / 2
            optimiser.param_groups[0]["lr"] = settings.rate(progress)
            class_loss, domain_loss, measured = dann.dann_losses(
                network,
                dann.batch_to_pixels(source[source_rows]),
                dann.batch_to_pixels(target[target_rows]),
                labels[source_rows],
                settings.weight(progress),
            )
            minimise(class_loss + domain_loss, optimiser, settings.max_norm)
            values = torch.stack([class_loss, *measured.values()]).tolist()
            sums += np.array(values) * len(source_rows)
        return dict(zip(names, sums / 64, strict=True))

    plain = run_epochs(train_epoch, network, 2, 5)
    assert all(history[name] == plain[name] for name in names)
    weights = network.state_dict().values()
    assert all(map(torch.equal, weights, trained.state_dict().values()))
    assert list(history) == [*names, "target_diversity", "reversal_weight"]


def test_the_schedule_is_a_constant_or_a_function_of_the_progress(domains):
    seen = []

    def ramp(progress):
        seen.append(progress)
        return progress / 2

    network = dann.DomainAdversarialNetwork(0)
    history = dann.fit_dann(network, *domains, replace(SHORT, schedule=ramp))
    # Three epochs of four batches; after each, what it has come to.
    assert seen == pytest.approx(
        [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12] / np.array(12)
    )
    assert history.reversal_weight == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert dann.PRACTICAL.weight(0.5) == dann.reversal_schedule(2)(0.5)
    assert dann.PAPER.weight(0.5) == dann.reversal_schedule(10)(0.5)
    assert dann.Settings(schedule=-1).weight(0.5) == -1


def own_extractor(channels=3):
    filters = nn.Conv2d(channels, 4, 3, stride=2)
    return nn.Sequential(filters, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


@pytest.mark.parametrize("input_shape", [(3, 28, 28), (1, 20, 26), (3, 9, 15)])
def test_the_parts_have_the_width_of_the_features(input_shape):
    network = dann.DomainAdversarialNetwork(input_shape=input_shape)
    features = network.feature_extractor(torch.zeros(2, *input_shape))
    assert features.shape[1] == network.label_predictor[0].in_features
    assert features.shape[1] == network.domain_classifier[0].in_features


class OwnNetwork(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.num_classes = 10
        self.input_shape = (channels, 28, 28)
        self.feature_extractor = own_extractor(channels)
        self.label_predictor = nn.Linear(16, 10)
        self.domain_classifier = nn.Linear(16, 1)

    def forward(self, pixels):
        return self.label_predictor(self.feature_extractor(pixels))


def test_any_module_of_the_three_parts_is_trained(domains):
    history = dann.fit_dann(OwnNetwork(), *domains, SHORT)
    assert history.class_loss[-1] < history.class_loss[0]
    assert len(history.domain_accuracy) == 3


def test_a_grey_network_of_another_size_sees_grey_pictures(domains):
    grey = domains[0][:, 4:24, 2:]
    settings = replace(SHORT, num_epochs=1, schedule=0.0)
    for network in (dann.DomainAdversarialNetwork(input_shape=GREY), OwnNetwork(1)):
        dann.fit_dann(network, grey, domains[1], 255 - grey, settings)
        expected = network(torch.tensor(grey)[:, None] / 255)
        logits = dann.predict(network, grey)
        torch.testing.assert_close(logits, expected)
    network = dann.DomainAdversarialNetwork(input_shape=GREY)
    assert dann.predict(network.feature_extractor, grey).shape == (64, 1440)


def test_parts_of_their_own_leave_the_default_generator_alone():
    # The weights of the seed, drawn in this order since the first version.
    with torch.random.fork_rng():
        torch.manual_seed(3)
        extractor = layers.FeatureExtractor()
        predictor = layers.LabelPredictor()
        classifier = layers.DomainClassifier()
    expected = nn.ModuleList([extractor, predictor, classifier])
    state = torch.get_rng_state()
    network = dann.DomainAdversarialNetwork(3)
    assert torch.equal(torch.get_rng_state(), state)
    for weight, drawn in zip(network.parameters(), expected.parameters(), strict=True):
        assert torch.equal(weight, drawn)


def test_diversity_of_known_predictions():
    each_class_once = 100 * torch.eye(4)
    assert pictures.class_diversity(each_class_once, 4) == pytest.approx(1)
    one_class = each_class_once[[0, 0, 0]]
    assert pictures.class_diversity(one_class, 4) == pytest.approx(0, abs=1e-6)
    two_classes = each_class_once[[0, 0, 1, 1]]
    assert pictures.class_diversity(two_classes, 4) == pytest.approx(0.5)
    # Of two that there are.
    assert pictures.class_diversity(two_classes, 2) == pytest.approx(1)


def test_lists_arrays_and_tensors_are_one(domains):
    source, labels, target = domains
    forms = [
        tuple(map(torch.tensor, domains)),
        (list(source), labels.astype(np.uint8), list(target)),
        (
            source[:, ::-1][:, ::-1],
            labels.tolist(),
            np.broadcast_to(target, target.shape),
        ),
    ]
    expected = train_dann(domains)[1]
    assert all(train_dann(given)[1] == expected for given in forms)


def test_any_network_predicts_in_eval_mode_and_keeps_its_mode(domains):
    assert dann.predict(nn.Flatten(), domains[0]).shape == (64, 3 * 28 * 28)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.5))
    network[2].eval()
    before = network[0].running_mean.clone()
    outputs = dann.predict(network, domains[0])
    assert torch.equal(outputs, dann.predict(network, domains[0]))
    assert [module.training for module in network] == [True, True, False]
    assert torch.equal(network[0].running_mean, before)


def test_source_and_target_are_drawn_independently():
    generator = make_generator(0)
    source = pictures.draw_rows(100, 100, generator)
    target = pictures.draw_rows(30, 100, generator)
    assert sorted(source.tolist()) == list(range(100))
    assert len(target) == 100
    assert np.bincount(target).min() >= 3
    assert not torch.equal(source[:30], target[:30])


@pytest.mark.parametrize("way", [train_source_only, train_dann, train_improved])
def test_loss_falls(way, domains):
    history = way(domains)[1]
    assert history["class_loss"][-1] < history["class_loss"][0]
    assert all(len(values) == 3 for values in history.values())


@pytest.mark.parametrize("name", ["10 epochs: textures, DANN", "no reversal"])
def test_each_method_of_the_study_trains_and_is_measured(name, bars, monkeypatch):
    settings = replace(dann_runs.RUNS[name].settings, num_epochs=1)
    short = replace(dann_runs.RUNS[name], settings=settings)
    monkeypatch.setitem(dann_runs.RUNS, name, short)
    entry = study.train(name, 0, bars)
    committed = json.loads((CHECKOUT / "data" / "results" / "mnistm.json").read_text())[
        "runs"
    ]
    if name in committed and "history" in committed[name]["0"]:
        assert entry.keys() == committed[name]["0"].keys()
        assert entry["scores"].keys() == committed[name]["0"]["scores"].keys()
    assert {len(values) for values in entry["history"].values()} == {1}


def test_what_is_held_out_is_the_end_of_the_training_split(bars, monkeypatch):
    monkeypatch.setattr(dann_runs, "NUM_HELD_OUT", 16)
    for part, whole in (
        (bars.held_out.source, bars.source),
        (bars.held_out.target, bars.target),
    ):
        assert torch.equal(torch.cat([part.images, part.test_images]), whole.images)
        assert torch.equal(torch.cat([part.labels, part.test_labels]), whole.labels)
        assert len(part.test_images) == 16


BAD = [
    (lambda s, y, t: (s, y[:5], t), r"whole numbers \(64,\) as labels"),
    (lambda s, y, t: (s, y + 1, t), "labels from 0, of 10 classes, got 1 to 10"),
    (
        lambda s, y, t: (s, y, t[:, :20]),
        "domains of one size, got 28 x 28 and 20 x 28 pixels",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_input_is_one_sentence(domains, change, message):
    for train in (train_dann, train_improved):
        with pytest.raises(ValueError, match=message):
            train(change(*domains))


def build(input_shape=(3, 28, 28)):
    return dann.DomainAdversarialNetwork(input_shape=input_shape)


GREY = (1, 20, 26)
UNFIT = [
    (
        lambda s, y, t: dann.predict(build(), t[:, :20]),
        r"28, 28\), got \(64, 3, 20, 28\)",
    ),
    (
        lambda s, y, t: dann.predict(build(GREY), t),
        r"grey pictures .*, got \(64, 28",
    ),
    (
        lambda s, y, t: train_improved((t, y, t)),
        r"source pictures .*, got \(64, 28, 28, 3\)",
    ),
    (
        lambda s, y, t: dann.accuracy(build(), s, y[:5]),
        r"whole numbers \(64,\) as labels",
    ),
]


@pytest.mark.parametrize(("call", "message"), UNFIT)
def test_what_does_not_fit_is_one_sentence(domains, call, message):
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        call(*domains)


@pytest.mark.parametrize("way", [train_source_only, train_dann])
def test_augmentation_changes_the_source_alone(way, domains, monkeypatch):
    source, labels, target = domains
    seen = []

    def invert(pixels, generator):
        seen.append(pixels)
        return 1 - pixels

    _, augmented = way(domains, augment=invert)
    _, inverted = way((255 - source, labels, target))
    for name, values in augmented.items():
        assert values == pytest.approx(inverted[name], rel=1e-3)
    assert len(seen) == 3 * 4
    assert torch.equal(torch.cat(seen[:4]).sum(), dann.batch_to_pixels(source).sum())


def test_average_of_weights_by_hand():
    average = nn.BatchNorm1d(1)
    network = nn.BatchNorm1d(1)
    nn.init.constant_(network.weight, 3)
    network.running_mean.fill_(1)
    network.num_batches_tracked.fill_(7)
    update_average(average, network, 0.75)
    assert [average.weight.item(), average.running_mean.item()] == [1.5, 0.25]
    assert average.num_batches_tracked == 7


def test_batches_of_domains_are_ready_and_know_their_progress(domains):
    network = OwnNetwork()
    whole = pictures.as_domains(network, *domains)
    settings = dann.Settings(num_epochs=2, batch_size=24)

    def draw(augment):
        return list(
            pictures.draw_domain_batches(
                network, whole, settings, 1, make_generator(0), augment
            )
        )

    batches = draw(None)
    assert [batch.progress for batch in batches] == pytest.approx([1 / 2, 2 / 3, 5 / 6])
    assert [len(batch.classes) for batch in batches] == [24, 24, 16]
    rows = torch.cat([batch.source_rows for batch in batches])
    assert rows.sort().values.tolist() == list(range(64))
    for batch, inverted in zip(
        batches, draw(lambda pixels, _: 1 - pixels), strict=True
    ):
        source = dann.batch_to_pixels(whole.source[batch.source_rows])
        target = dann.batch_to_pixels(whole.target[batch.target_rows])
        assert torch.equal(batch.source, source)
        assert torch.equal(inverted.source, 1 - source)
        assert torch.equal(batch.target, target)
        assert torch.equal(inverted.target, target)
        assert torch.equal(batch.classes, whole.labels[batch.source_rows])


@pytest.mark.filterwarnings("ignore:expected pseudo-labels of")
def test_an_oracle_takes_the_target_labels_for_every_picture(domains, monkeypatch):
    monkeypatch.setattr(improved, "WARM_UP", 0)
    settings = replace(improved.IMPROVED, num_epochs=1, batch_size=2, threshold=1.0)
    few = [part[:20] for part in domains]

    def train(target_labels, settings=settings):
        network = dann.ImprovedNetwork(0)
        return improved.fit_improved(
            network, *few, settings, target_labels=target_labels
        )

    teacher = train(None)
    right = train(few[1])
    wrong = train((few[1] + 1) % 10)
    # A threshold is for predictions: one that trusts none changes nothing here.
    assert train(few[1], replace(settings, threshold=1.1)).loss == right.loss
    assert teacher.labelled_share[0] < 1
    assert right.labelled_share == wrong.labelled_share == pytest.approx([1])
    assert right.loss != wrong.loss
    with pytest.raises(ValueError, match=r"whole numbers \(20,\) as labels"):
        train(few[1][:5])


def random_ground(pixels, generator):
    return improved.lay_on_textures(pixels[:, :1], 0.5, generator)


AUGMENTATIONS = {
    "affine": pictures.random_affine,
    "textures": random_ground,
    "strokes": pictures.random_strokes,
}


@pytest.mark.parametrize("change", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_augmented_pixels_stay_pixels_and_are_drawn_from_the_generator(change, domains):
    pixels = dann.batch_to_pixels(domains[2])
    changed = change(pixels, make_generator(0))
    assert changed.shape == pixels.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(changed, change(pixels, make_generator(0)))
    assert not torch.equal(changed, change(pixels, make_generator(1)))


def test_a_digit_can_be_the_negative_of_what_it_lies_on():
    no_ink = torch.zeros(16, 1, 8, 8)
    below = improved.lay_on_textures(no_ink, 1, make_generator(0))
    above = improved.lay_on_textures(no_ink + 1, 1, make_generator(0))
    torch.testing.assert_close(above, 1 - below)


def test_grey_digits_get_three_equal_channels(domains):
    pixels = dann.batch_to_pixels(torch.tensor(domains[0]))
    assert torch.equal(dann.batch_to_pixels(domains[0]), pixels)
    assert pixels.shape == (64, 3, 28, 28)
    assert torch.equal(pixels[:, 0], torch.tensor(domains[0]) / 255)
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_pixels_are_no_levels(domains):
    pixels = dann.batch_to_pixels(domains[2])
    with pytest.raises(ValueError, match=r"expected images uint8 .* got torch.float32"):
        dann.batch_to_pixels(pixels)


def test_an_adaptation_of_three_classes_is_as_diverse_in_a_network_of_ten(domains):
    three = [part[domains[1] < 3] for part in domains]
    network = dann.DomainAdversarialNetwork(0)
    settings = replace(dann.PAPER, num_epochs=1, batch_size=16)
    history = dann.fit_dann(network, *three, settings)
    each_class_once = 100 * torch.eye(10)[[0, 1, 2]]
    assert pictures.class_diversity(each_class_once, 3) == pytest.approx(1)
    logits = dann.predict(network, three[2])
    assert history["target_diversity"][-1] > pictures.class_diversity(logits, 10)


def test_a_digit_alone_may_lie_on_another_texture():
    digit = torch.zeros(1, 1, 20, 28)
    digit[..., 4:16, 8:20] = 1
    laid = improved.lay_on_textures(digit, 0, make_generator(0))
    bare = improved.lay_on_textures(0 * digit, 0, make_generator(0))
    ink = digit.expand_as(laid) == 1
    assert torch.equal(laid[~ink], bare[~ink])
    assert (laid - bare)[ink].abs().mean() > 0.01


def test_a_turn_keeps_angles_and_lengths_where_pictures_are_not_square(monkeypatch):
    turn = torch.tensor([[6.0], [0], [0], [0], [0]])
    monkeypatch.setattr(pictures, "_uniform", lambda *_: turn)
    square = torch.zeros(1, 1, 40, 80)
    square[..., 10:30, 30:50] = 1
    turned = pictures.random_affine(square, torch.Generator(), padding="zeros")
    torch.testing.assert_close(turned, square, atol=0.01, rtol=0)


def test_the_study_makes_what_is_missing_once(bars, monkeypatch):
    short = {"dann": dann_runs.Run(dann_runs.train_dann, SHORT)}
    for name, value in (("RUNS", short), ("SEEDS", (0, 1))):
        monkeypatch.setattr(study, name, value)
    monkeypatch.setattr(study, "load_domains", lambda: bars)
    plain, calls = study.measure, []

    def stop_at_the_fifth(*given):
        calls.append(given)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return plain(*given)

    monkeypatch.setattr(study, "measure", stop_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        study.make_mnistm()
    assert list(runs.load_parts("mnistm")["runs"]["dann"]) == ["0"]
    first = runs.load_parts("mnistm")["runs"]["dann"]["0"]
    study.make_mnistm()
    assert len(calls) == 8
    entries = runs.load_parts("mnistm")["runs"]["dann"]
    assert list(entries) == ["0", "1"]
    assert entries["0"] == first
    history, last = entries["1"]["history"], entries["1"]["scores"]["target_accuracy"]
    assert all(len(values) == 3 for values in history.values())
    assert history["target_accuracy"][-1] == pytest.approx(last, abs=1e-5)


def test_committed_network_is_sure_of_plain_digits(monkeypatch, tmp_path):
    # A one: a white bar on black, and its negative.
    bar = np.zeros((2, 28, 28), np.uint8)
    bar[0, 5:23, 13:16] = 255
    bar[1] = 255 - bar[0]
    probabilities = dann.predict(dann.load_improved(), bar).softmax(1)
    assert (probabilities[:, 1] > 0.9).all()
    monkeypatch.setattr(paths, "networks", lambda: tmp_path)
    with pytest.raises(
        DlappsError, match=r"expected the network in .*, got no such file; restore it"
    ):
        dann.load_improved()


@pytest.mark.network
@pytest.mark.parametrize("way", training.TRAININGS)
def test_a_committed_training_of_the_paper_reads_plain_digits(way):
    digits = datasets.load_mnist("test")
    network = dann.load_trained(way)
    assert not network.training
    predicted = dann.predict(network, digits.images[:500]).argmax(1)
    assert (predicted == torch.as_tensor(digits.labels[:500])).float().mean() > 0.95


@pytest.mark.parametrize(
    ("labels", "diversity"),
    [([], 0), ([3], 0), ([3, 3, 3], 0), ([0, 1, 2, 3], 1), ([0, 0, 1, 1], 0.5)],
)
def test_diversity_of_known_labels(labels, diversity):
    labels = torch.tensor(labels, dtype=torch.int64)
    assert improved.label_diversity(labels, 10) == pytest.approx(diversity)


class KnownTeacher(nn.Module):
    """Reads one class in each picture, the value of its first pixel, and is sure."""

    def forward(self, pixels):
        classes = (pixels[:, 0, 0, 0] * 255).round().long()
        return 100 * F.one_hot(classes, 10).float()


@pytest.mark.parametrize(
    ("classes", "trusted"),
    [([0, 1, 2] * 5 + [0], 16), ([7] * 16, 0), ([7] * 15 + [3], 0)],
)
def test_a_teacher_that_reads_one_class_in_nearly_all_pictures_is_not_trusted(
    classes, trusted
):
    pixels = torch.zeros(16, 3, 28, 28)
    pixels[:, 0, 0, 0] = torch.tensor(classes) / 255
    pseudo_labels, trust = improved.pseudo_label(KnownTeacher(), pixels, 0.9, 10)
    assert pseudo_labels.tolist() == classes
    assert trust.sum() == trusted


def test_a_collapse_is_measured_and_warned_of_once(domains, monkeypatch):
    """The teacher is an untrained network, which reads one class everywhere."""
    monkeypatch.setattr(improved, "update_average", lambda *_: None)
    network = dann.ImprovedNetwork(0)
    nn.init.zeros_(network.label_predictor.weight)
    with torch.no_grad():
        network.label_predictor.bias[7] = 100
    message = (
        "expected pseudo-labels of 10 classes, got epochs with nearly all of a few"
    )
    settings = replace(IMPROVED, num_epochs=2, batch_size=32)
    with pytest.warns(UserWarning, match=message) as warned:
        history = improved.fit_improved(network, *domains, settings)
    assert len(warned) == 1
    assert history.target_diversity == pytest.approx([0, 0], abs=1e-6)
    assert history.labelled_share == [0, 0]


def test_one_step_is_a_training_of_the_improved_network(domains):
    network = dann.ImprovedNetwork(0)
    before = dann.ImprovedNetwork(0).parameters()
    settings = replace(IMPROVED, num_epochs=1, batch_size=64)
    history = improved.fit_improved(network, *domains, settings)
    assert np.isfinite(list(history.values())).all()
    assert all(weight.isfinite().all() for weight in network.parameters())
    assert not all(map(torch.equal, network.parameters(), before))


def test_a_module_without_num_classes_is_one_sentence(domains):
    with pytest.raises(ValueError, match="a network with num_classes, got Linear"):
        dann.fit_source_only(nn.Linear(4, 2), *domains[:2], SHORT)
