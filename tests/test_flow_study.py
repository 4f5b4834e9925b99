"""The study of flows on a few patterns: what chooses never sees the test split, and no reading is made twice."""

import json
from dataclasses import replace

import pytest
import torch

from dlapps.core import paths, results
from dlapps.core.runtime import make_generator
from dlapps.core.training import save_weights
from dlapps.gan import flow, judge
from studies import flow as study
from studies import gan_judge

torch.set_num_threads(1)


def load_images(data, split, size=32):
    images = torch.randint(256, (60, 32, 32), generator=make_generator(len(split)))
    return images.byte(), torch.arange(60) % 10


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A project of its own, 60 noisy images a split, tiny networks, an untrained classifier; the splits read."""
    splits = []

    def load_and_tell(data, split, size=32):
        splits.append(split)
        return load_images(data, split)

    small = replace(flow.STANDARD, channels=(8, 8, 8), num_epochs=1, batch_size=20)
    monkeypatch.setattr(flow, "STANDARD", small)
    judged = {"load_images": load_and_tell, "NUM_SAMPLES": 40, "NUM_HELD_OUT": 20}
    chosen = {"NUM_CHOOSING": 20, "NUM_LEARNT_FROM": 20, "NUM_FEW": 3, "EVALUATIONS": (4, 2)}
    for module, names in ((gan_judge, judged), (study, chosen | {"SEEDS": (0, 1)})):
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)
    for folder in ("results", "cache"):
        monkeypatch.setattr(paths, folder, lambda folder=folder: tmp_path / folder)
    classifier = judge.fit_digit_classifier(*load_images("MNIST", "train"), num_epochs=1)
    save_weights(classifier, tmp_path / "results" / "digit-classifier.pt")
    return splits


def test_the_choice_is_made_without_the_test_split_and_each_reading_once(small, monkeypatch):
    chosen = json.loads(study.make_flow_selection().read_text())
    assert set(small) == {"train"}
    for number in (4, 2):
        entries = chosen[f"{number}"]
        assert len(entries) == len([*study.list_samplings(number)])
        taught = [entry["frechet"] for entry in entries if "gan_train_accuracy" in entry]
        others = [entry["frechet"] for entry in entries if "gan_train_accuracy" not in entry]
        assert len(taught) == 3
        assert max(taught) <= min(others)
    monkeypatch.setattr(study, "time_gan", lambda: {"cpu_seconds": 1.0, "cpu_seconds_of_1000": 1.0})
    monkeypatch.setattr(study.score_neighbours, "__defaults__", (40,))
    read = study.make_flow()
    content = read.read_bytes()
    runs = results.load("flow")
    assert runs["readings"] == 5
    assert 0 <= runs["neighbour_error"] <= 1
    assert runs.values("4 evaluations", "precision").shape == (2,)
    assert [len(runs["trainings"][seed]["history"]["loss"]) for seed in ("0", "1")] == [1, 1]
    sampling = runs["runs"]["2 evaluations"]["1"]["settings"]
    assert sampling in [entry["sampling"] for entry in chosen["2"]]
    for number in (4, 2):
        assert 0 <= runs.mean(f"{number} evaluations", "gan_train_accuracy") <= 1
    assert flow.load_best().settings.channels == (8, 8, 8)
    monkeypatch.setattr(study, "read", lambda seed: pytest.fail("read twice"))
    assert study.make_flow().read_bytes() == content


def test_what_is_held_out_is_not_trained_on(small):
    (images, labels), (held_out, held_out_labels) = gan_judge.load_held_out()
    every, answers = load_images("MNIST", "train")
    assert torch.equal(torch.cat([images, held_out]), every)
    assert torch.equal(torch.cat([labels, held_out_labels]), answers)
    assert len(held_out) == 20


@pytest.mark.parametrize("evaluations", [20, 4, 2, 1])
def test_every_sampling_evaluates_the_network_as_often_as_it_says(evaluations, monkeypatch):
    network, counted = flow.VelocityNetwork(replace(flow.STANDARD, channels=(8, 8, 8))), []
    network.register_forward_hook(lambda module, given, out: counted.append(len(given[0])))
    samplings = [*study.list_samplings(evaluations)]
    assert len(set(samplings)) == len(samplings) > 0
    for sampling in samplings:
        counted.clear()
        assert sampling.draw(network, torch.tensor([3]), 0).shape == (1, 32, 32)
        assert sum(counted) == evaluations


def test_the_choice_is_what_teaches_most(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "results", lambda: tmp_path)
    rows = [(10, 1, 0.4, 0.97), (5, 1.5, 0.3, 0.985), (5, 2, 0.2, 0.98)]
    tried = [
        {
            "sampling": {"num_steps": num_steps, "solver": "midpoint", "guidance": guidance},
            "frechet": distance,
            "gan_train_accuracy": accuracy,
        }
        for num_steps, guidance, distance, accuracy in rows
    ]
    untaught = {"sampling": {"num_steps": 20, "solver": "euler", "guidance": 1}, "frechet": 0.9}
    results.save("flow-selection", {"20": [*tried, untaught], "4": tried[:1]}, (0,))
    assert study.choose_sampling(20) == study.Sampling(5, "midpoint", 1.5)
    assert study.choose_sampling(4) == study.Sampling(10, "midpoint", 1)
