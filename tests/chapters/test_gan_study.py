"""The studies of Chapter 4 on a few patterns instead of MNIST.

What is done is written, and not done again.
"""

import json
from dataclasses import replace
from operator import itemgetter

import pytest
import torch
from test_judge import make_patterns

from dlapps import gan
from dlapps.core import paths as library_paths
from dlapps.core.runtime import make_generator
from dlapps.gan import flow
from labreport import results
from studies import flow as flow_study
from studies import gan as study
from studies import gan_judge
from studies.gan_settings import Run, Trial
from studies.weights import save, to_float16

torch.set_num_threads(1)

TINY = Trial(
    generator_channels=4, discriminator_channels=4, batch_size=20, num_epochs=1
)
RUNS = {
    "dcgan practical": Run(TINY, 2),
    "cdcgan told nothing": Run(replace(TINY, num_classes=1, average=0.9), 1),
    "dcgan 64 x 64, steady": Run(replace(TINY, size=64, spectral=True), 1),
    "cdcgan tuned": Run(replace(TINY, num_classes=10, average=0.9), 2),
}
FLOW = replace(flow.STANDARD, channels=(8, 8, 8), num_epochs=1, batch_size=20)


def load_images(split, size=32):
    """60 noisy images, and labels."""
    images = torch.randint(256, (60, 32, 32), generator=make_generator(len(split)))
    return gan.prepare_images(images.byte(), size), torch.arange(60) % 10


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder of results for studies of 60 noisy images a split and tiny networks."""
    monkeypatch.setattr(study, "RUNS", RUNS)
    monkeypatch.setattr(flow, "STANDARD", FLOW)
    monkeypatch.setattr(flow_study, "NUM_HELD_OUT", 20)
    monkeypatch.setattr(gan_judge, "NUM_SAMPLES", 40)
    monkeypatch.setattr(gan_judge, "NUM_EPOCHS", 2)
    for module in (study, flow_study):
        monkeypatch.setattr(module, "SEEDS", (0, 1))
    for module in (study, flow_study, gan_judge):
        monkeypatch.setattr(module, "load_images", load_images)
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    folder = tmp_path / "data" / "networks"
    monkeypatch.setattr(library_paths, "networks", lambda: folder)
    images, labels = load_images("train")
    classifier = gan.fit_digit_classifier(images, labels, num_epochs=2)
    save(to_float16(classifier), "digit-classifier.pt")
    return folder


def test_every_run_gets_its_entry_once(small, monkeypatch):
    made = json.loads(study.make_gan().read_text())
    runs = made["runs"]
    assert runs.keys() == RUNS.keys()
    for name, run in RUNS.items():
        assert len(runs[name]) == run.num_seeds
    scores = runs["cdcgan tuned"]["1"]["scores"]
    assert 0 <= scores["gan_train_accuracy"] <= 1
    assert "gan_train_accuracy" not in runs["cdcgan told nothing"]["0"]["scores"]
    watched = runs["dcgan practical"]["0"]
    assert len(watched["history"]["generator_gradient"]) == 3
    assert runs["dcgan practical"]["1"].keys() == {"scores"}
    assert made["real"].keys() == scores.keys()
    assert made["grey"]["ground"] == [0, 3, 6, 12, 18]
    assert len(made["grey"]["recall"]["black alone"]) == 5
    assert gan.load("cdcgan").num_classes == 10
    assert gan.load("dcgan").latent_dim == 100
    monkeypatch.setattr(study, "train", lambda *run: pytest.fail("trained twice"))
    assert json.loads(study.make_gan().read_text()) == made


def test_every_flow_is_trained_and_scored_once(small, monkeypatch):
    made = json.loads(flow_study.make_flow().read_text())
    runs = made["runs"]
    assert runs.keys() == {"20 evaluations"}
    assert runs["20 evaluations"].keys() == {"0", "1"}
    assert flow.load_best().settings.channels == (8, 8, 8)
    monkeypatch.setattr(flow_study, "score", lambda seed: pytest.fail("scored twice"))
    assert json.loads(flow_study.make_flow().read_text()) == made


def test_samples_are_drawn_in_the_way_that_taught_most():
    taught = []
    for trial in results.load("flow-selection")["20"]:
        if "gan_train_accuracy" in trial:
            taught.append(trial)
    best = max(taught, key=itemgetter("gan_train_accuracy"))
    assert best["sampling"] == flow_study.SAMPLING
    network = flow.VelocityNetwork(FLOW)
    batches = []
    network.register_forward_hook(lambda _, inputs, __: batches.append(len(inputs[0])))
    digits = flow_study.draw(network, torch.tensor([3]), 0)
    assert digits.shape == (1, 32, 32)
    assert sum(batches) == 20


def test_distortion_moves_each_image_and_puts_half_on_grey():
    white = torch.zeros(400, 32, 32, dtype=torch.uint8)
    white[:, 12:20, 12:20] = 255
    moved = gan_judge.distort(white, make_generator(0))
    assert moved.shape == (400, 1, 32, 32)
    assert -1 <= moved.min() < moved.max() <= 1
    levels = moved.flatten(1).add(1).div(2)
    grounds = levels.quantile(0.5, 1)
    tops = levels.quantile(0.97, 1)
    assert (grounds < 0.01).float().mean() == pytest.approx(0.5, abs=0.1)
    assert 0.2 < grounds.max() < 0.27
    assert 0.65 < tops.min() < 0.75
    rows = torch.arange(32.0)[:, None]
    ink = (moved[:, 0] > 0.2).float()
    middles = (ink * rows).sum((1, 2)) / ink.sum((1, 2)) - 15.5
    assert 1 < middles.abs().max() < 3


def test_gan_train_falls_when_fakes_lack_classes(monkeypatch):
    monkeypatch.setattr(gan_judge, "load_images", lambda split: make_patterns(100, 1))
    fakes, labels = make_patterns(400)
    assert gan_judge.teach(fakes, labels, 0) > 0.95
    few = labels < 5
    assert 0.4 < gan_judge.teach(fakes[few], labels[few], 0) <= 0.5
