"""The studies of Chapter 4 on a few patterns instead of MNIST: what is done is kept,
and not done again.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dlapps import gan
from dlapps.core import paths as library_paths
from dlapps.core.runtime import make_generator
from dlapps.core.training import save_weights
from dlapps.gan import flow, judge
from labreport import paths, results
from studies import flow as flow_study
from studies import gan as study
from studies import gan_judge
from studies.gan_settings import Trial

torch.set_num_threads(1)

TINY = Trial(
    generator_channels=4, discriminator_channels=4, batch_size=20, num_epochs=1
)
TOLD = replace(TINY, num_classes=10)
RUNS = {
    "dcgan practical": (TINY, 2),
    "dcgan tuned": (replace(TINY, average=0.9), 1),
    "dcgan two clusters": (replace(TINY, clusters=2), 1),
    "dcgan 64 x 64, steady": (replace(TINY, size=64, norm="spectral"), 1),
    "cdcgan tuned": (replace(TOLD, average=0.9), 2),
}
CHANGED = {
    study: {"RUNS": RUNS, "SEEDS": (0, 1), "NUM_MANY": 40, "SEEDS_OF_MANY": 1},
    gan_judge: {"NUM_SAMPLES": 40, "NUM_EPOCHS": 1},
    flow: {
        "STANDARD": replace(
            flow.STANDARD, channels=(8, 8, 8), num_epochs=1, batch_size=20
        )
    },
    flow_study: {
        "SEEDS": (0, 1),
        "NUM_MANY": 40,
        "SEEDS_OF_MANY": 1,
        "NUM_HELD_OUT": 20,
    },
}


def load_images(split, size=32):
    """60 noisy images, and labels."""
    images = torch.randint(256, (60, 32, 32), generator=make_generator(len(split)))
    return gan.prepare_images(images.byte(), size), torch.arange(60) % 10


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A project of its own, 60 noisy images a split, tiny networks, an untrained
    classifier; its folder of results.
    """
    for module, names in CHANGED.items():
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)
        if module is not flow:
            monkeypatch.setattr(module, "load_images", load_images)
    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")
    for place, folder in (
        (paths, "results"),
        (paths, "networks"),
        (library_paths, "networks"),
    ):
        monkeypatch.setattr(place, folder, lambda: tmp_path / "results")
    classifier = judge.fit_digit_classifier(*load_images("train"), num_epochs=1)
    save_weights(classifier, tmp_path / "results" / "digit-classifier.pt")
    return tmp_path / "results"


def test_every_preset_gets_its_entry_once(small, monkeypatch):
    made = json.loads(study.make_gan().read_text())
    runs, real = made["runs"], made["real"]
    seeds = {run: ["0", "1"][:number] for run, (_, number) in RUNS.items()}
    seeds |= {"cdcgan tuned, 60,000": ["0"]}
    assert {run: [*entries] for run, entries in runs.items()} == seeds
    scores = runs["cdcgan tuned"]["1"]["scores"]
    assert 0 <= scores["gan_train_accuracy"] <= 1
    assert "gan_train_accuracy" not in runs["dcgan tuned"]["0"]["scores"]
    watched, again = (runs["dcgan practical"][seed] for seed in "01")
    assert len(watched["history"]["generator_loss"]) == 3
    assert again.keys() == {"scores"}
    # The floor is measured as samples are, and is one; so are real images on black.
    assert real.keys() == scores.keys()
    assert (
        real["frechet_ratio"] == made["grey"]["frechet_ratio"]["black and grey"][0] == 1
    )
    assert real["imagenet_ratio"] == 1
    assert made["grey"]["ground"] == [0, 3, 6, 12, 18]
    with np.load(small / "gan.npz") as samples:
        assert samples["dcgan practical"].shape == (1, 16, 32, 32)
        assert samples["cdcgan tuned"].shape == (1, 100, 32, 32)
        assert samples["dcgan 64 x 64, steady"].shape == (1, 16, 64, 64)
    assert gan.load_generator(small / "gan-cdcgan.pt").num_classes == 10
    assert gan.load_generator(small / "gan-dcgan.pt").latent_dim == 100
    monkeypatch.setattr(study, "train", lambda *run: pytest.fail("trained twice"))
    assert json.loads(study.make_gan().read_text()) == made


def test_every_flow_is_trained_and_scored_once(small, monkeypatch):
    tried = [entry_of(2, 1, 0.9)]
    results.save("flow-selection", dict.fromkeys(("20", "4", "2"), tried), (0,))
    monkeypatch.setattr(flow_study, "time_gan", lambda: {"cpu_seconds": 1.0})
    made = json.loads(flow_study.make_flow().read_text())
    names = {f"{number} evaluations": ["0", "1"] for number in (20, 4, 2)}
    names |= {"20 evaluations, 60,000": ["0"]}
    assert {run: [*entries] for run, entries in made["runs"].items()} == names
    assert all(made["trainings"][seed]["cpu_seconds"] >= 0 for seed in "01")
    assert made["runs"]["4 evaluations"]["1"]["settings"]["num_steps"] == 2
    assert (
        0
        <= made["runs"]["20 evaluations, 60,000"]["0"]["scores"]["gan_train_accuracy"]
        <= 1
    )
    assert flow.load_best().settings.channels == (8, 8, 8)
    # On a machine without checkpoints the committed network is that of seed 0.
    flow_study.checkpoint_of(0).unlink()
    del made["runs"]["2 evaluations"]["0"]
    (small / "flow.json").write_text(json.dumps(made))
    monkeypatch.setattr(flow_study, "train", lambda seed: pytest.fail("trained twice"))
    assert json.loads(flow_study.make_flow().read_text())["runs"].keys() == names.keys()


def entry_of(num_steps, guidance, accuracy):
    sampling = {"num_steps": num_steps, "solver": "midpoint", "guidance": guidance}
    return {"sampling": sampling, "gan_train_accuracy": accuracy}


def test_the_choice_is_what_teaches_most(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "results", lambda: tmp_path)
    untaught = {
        "sampling": {"num_steps": 20, "solver": "euler", "guidance": 1},
        "frechet": 0.9,
    }
    tried = [
        entry_of(10, 1, 0.97),
        entry_of(5, 1.5, 0.985),
        entry_of(5, 2, 0.98),
        untaught,
    ]
    results.save("flow-selection", {"20": tried, "4": tried[:1]}, (0,))
    assert flow_study.choose_sampling(20) == flow_study.Sampling(5, "midpoint", 1.5)
    assert flow_study.choose_sampling(4) == flow_study.Sampling(10, "midpoint", 1)


@pytest.mark.parametrize("evaluations", flow_study.EVALUATIONS)
def test_what_was_chosen_evaluates_the_network_as_often_as_it_says(evaluations):
    network, counted = (
        flow.VelocityNetwork(replace(flow.STANDARD, channels=(8, 8, 8))),
        [],
    )
    network.register_forward_hook(
        lambda module, given, out: counted.append(len(given[0]))
    )
    drawn = flow_study.choose_sampling(evaluations).draw(network, torch.tensor([3]), 0)
    assert drawn.shape == (1, 32, 32)
    assert sum(counted) == evaluations
