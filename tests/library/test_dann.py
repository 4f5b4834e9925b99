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

from dlapps import dann, datasets
from dlapps.core.runtime import make_generator
from dlapps.dann import pictures
from studies import dann as study
from studies import dann_recipe as improved
from studies import dann_runs

torch.set_num_threads(1)

SHORT = dann.Settings(num_epochs=3, batch_size=16, learning_rate=0.05)
IMPROVED = replace(improved.IMPROVED, num_epochs=3, batch_size=16)


@pytest.fixture(scope="module")
def domains():
    """Bars at one of ten places: white on black, their labels, coloured on colour."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, (2, 64))
    source, target = draw_bars(2 * labels + 3, slice(4, 24), 3, (28, 28))
    colours = random.integers(0, 120, (64, 1, 1, 3)).astype(np.uint8)
    return source, labels[0], target[..., None] // 2 + colours


def train_source_only(domains, **options):
    network = dann.DomainAdversarialNetwork(0)
    return network, dann.fit_source_only(network, *domains[:2], SHORT, **options)


def train_dann(domains, **options):
    network = dann.DomainAdversarialNetwork(0)
    return network, dann.fit_dann(network, *domains, SHORT, **options)


def train_improved(domains):
    network = dann.ImprovedNetwork(0)
    tensors = (torch.tensor(part) for part in domains)
    return network, improved.fit_improved(network, *tensors, IMPROVED, threshold=0.3)


@pytest.fixture
def bars(domains, tmp_path, monkeypatch):
    """A project of its own, and these domains as the study has them."""
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    source, labels, target = (torch.tensor(part) for part in domains)
    return dann_runs.Domains(
        source=dann_runs.Domain(source, labels, source, labels),
        target=dann_runs.Domain(target, labels, target, labels),
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


def test_a_training_is_that_of_a_textbook_loop(domains):
    """Of whole domains, whose order does not matter; the gradient is clipped."""
    trained = dann.DomainAdversarialNetwork(0)
    settings = replace(SHORT, batch_size=64, schedule=0.3, max_norm=0.5)
    history = dann.fit_dann(trained, *domains, settings)
    source, labels, target = (torch.tensor(part) for part in domains)
    source = source[:, None].expand(-1, 3, -1, -1)
    pixels = torch.cat([source, target.permute(0, 3, 1, 2)]) / 255
    is_target = (torch.arange(128) >= 64).float()
    network = dann.DomainAdversarialNetwork(0)
    optimiser = torch.optim.SGD(network.parameters(), momentum=0.9)
    for epoch in range(3):
        features = network.feature_extractor(pixels)
        class_loss = F.cross_entropy(network.label_predictor(features[:64]), labels)
        logits = network.domain_classifier(features)
        domain_loss = F.binary_cross_entropy_with_logits(logits, is_target)
        optimiser.zero_grad()
        # The extractor climbs the domain loss, the classifier descends it.
        (class_loss - 0.3 * domain_loss).backward(retain_graph=True)
        domain_classifier = list(network.domain_classifier.parameters())
        gradients = torch.autograd.grad(domain_loss, domain_classifier)
        for weight, gradient in zip(domain_classifier, gradients, strict=True):
            weight.grad = gradient
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimiser.param_groups[0]["lr"] = 0.05 / (1 + 10 * epoch / 3) ** 0.75
        optimiser.step()
        right = ((logits > 0) == is_target).float().mean()
        measured = {
            "class_loss": class_loss,
            "domain_loss": domain_loss,
            "domain_accuracy": right,
        }
        for name, value in measured.items():
            assert history[name][epoch] == pytest.approx(value.item(), rel=1e-5)
    weights = list(trained.state_dict().values())
    plain = list(network.state_dict().values())
    torch.testing.assert_close(weights, plain, rtol=1e-4, atol=1e-6, check_stride=False)


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


def test_any_network_predicts_in_eval_mode_and_keeps_its_mode(domains):
    assert dann.predict(nn.Flatten(), domains[0]).shape == (64, 3 * 28 * 28)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.5))
    network[2].eval()
    before = network[0].running_mean.clone()
    outputs = dann.predict(network, domains[0])
    assert torch.equal(outputs, dann.predict(network, domains[0]))
    assert [module.training for module in network] == [True, True, False]
    assert torch.equal(network[0].running_mean, before)


def test_source_and_target_are_drawn_independently(domains):
    source = torch.tensor(domains[0])
    # An image of the target is as bright as its row says.
    few = (100 + torch.arange(20)).byte().view(20, 1, 1, 1).expand(20, 28, 28, 3)
    drawn = (source, torch.arange(64), few)
    options = (SHORT, 0, make_generator(0))
    batches = pictures.draw_domain_batches(nn.Flatten(), drawn, *options)
    here, there, rows, _ = zip(*batches, strict=True)
    rows = torch.cat(rows)
    brightness = torch.cat(there)[:, 0, 0, 0]
    target_rows = (255 * brightness).round().long() - 100
    assert sorted(rows.tolist()) == list(range(64))
    assert np.bincount(target_rows).min() >= 3
    assert not torch.equal(rows[:20], target_rows[:20])
    assert torch.equal(torch.cat(here), dann.batch_to_pixels(source[rows]))


@pytest.mark.parametrize(
    ("way", "loss"),
    [
        (train_source_only, "class_loss"),
        (train_dann, "class_loss"),
        (train_improved, "loss"),
    ],
)
def test_loss_falls(way, loss, domains):
    history = way(domains)[1]
    assert history[loss][-1] < history[loss][0]
    assert all(len(values) == 3 for values in history.values())


@pytest.mark.parametrize("name", ["paper", "improved"])
def test_each_method_of_the_study_trains_and_is_measured(name, bars, monkeypatch):
    settings = replace(dann_runs.RUNS[name].settings, num_epochs=2)
    short = replace(dann_runs.RUNS[name], settings=settings)
    monkeypatch.setitem(dann_runs.RUNS, name, short)
    entry = study.train(name, 0, bars)
    path = CHECKOUT / "data" / "results" / "mnistm.json"
    committed = json.loads(path.read_text())["runs"][name]["0"]
    assert entry.keys() == committed.keys()
    assert entry["scores"].keys() == committed["scores"].keys()
    assert {len(values) for values in entry["history"].values()} == {2}


def test_what_is_held_out_is_the_end_of_the_training_split(bars, monkeypatch):
    monkeypatch.setattr(dann_runs, "NUM_HELD_OUT", 16)
    for part, whole in (
        (bars.held_out.source, bars.source),
        (bars.held_out.target, bars.target),
    ):
        assert torch.equal(torch.cat([part.images, part.test_images]), whole.images)
        assert torch.equal(torch.cat([part.labels, part.test_labels]), whole.labels)
        assert len(part.test_images) == 16


@pytest.mark.parametrize("way", [train_source_only, train_dann])
def test_augmentation_changes_the_source_alone(way, domains):
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


AUGMENTATIONS = {
    "affine": pictures.random_affine,
    "textures": improved.lay,
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
    below, above = improved.draw_textures(16, make_generator(0), negative=1)
    torch.testing.assert_close(above, 1 - below)
    _, others = improved.draw_textures(16, make_generator(0), negative=0)
    torch.testing.assert_close(others, below.roll(8, 0))


def test_a_turn_keeps_angles_and_lengths_where_pictures_are_not_square(monkeypatch):
    turn = torch.tensor([[6.0], [0], [0], [0], [0]])
    monkeypatch.setattr(pictures, "_uniform", lambda *_: turn)
    square = torch.zeros(1, 1, 40, 80)
    square[..., 10:30, 30:50] = 1
    turned = pictures.random_affine(square, torch.Generator(), padding="zeros")
    torch.testing.assert_close(turned, square, atol=0.01, rtol=0)


def test_committed_network_is_sure_of_plain_digits():
    # A one: a white bar on black, and its negative.
    bar = np.zeros((2, 28, 28), np.uint8)
    bar[0, 5:23, 13:16] = 255
    bar[1] = 255 - bar[0]
    probabilities = dann.predict(dann.load_improved(), bar).softmax(1)
    assert (probabilities[:, 1] > 0.9).all()


@pytest.mark.network
@pytest.mark.parametrize("way", ["source only", "DANN", "flat colours", "textures"])
def test_a_committed_training_of_the_paper_reads_plain_digits(way):
    digits = datasets.load_mnist("test")
    network = dann.load_trained(way)
    assert not network.training
    predicted = dann.predict(network, digits.images[:500]).argmax(1)
    assert (predicted == torch.as_tensor(digits.labels[:500])).float().mean() > 0.95
