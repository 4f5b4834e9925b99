"""The study of Chapter 4 on a few patterns instead of MNIST: what is done is kept, and not done again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dlapps import gan
from dlapps.core import paths
from dlapps.core import results as committed
from dlapps.core.training import save_weights
from dlapps.gan import judge
from studies import gan as study
from studies import gan_judge
from studies.gan_presets import CONDITIONAL_PRESETS, PRESETS, Trial

torch.set_num_threads(1)


LABELS = torch.arange(40) % 10


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A project of its own, 60 noisy images a split, tiny networks, an untrained classifier."""
    tiny = Trial(generator_channels=4, discriminator_channels=4, batch_size=20, num_epochs=1)
    kinds = {"dcgan": tiny, "cdcgan": replace(tiny, num_classes=10)}
    plans = {
        kind: {"practical": study.Plan(preset), "best": study.Plan(replace(preset, average=0.9))}
        for kind, preset in kinds.items()
    }
    plans["cdcgan"]["best, seeking"] = study.Plan(replace(kinds["cdcgan"], average=0.9, seeking=0.3))
    plans["dcgan"] |= {
        "two clusters": study.Plan(replace(tiny, average=0.9, clusters=2)),
        "practical, float32": study.Plan(tiny, precision="float32"),
        "64 x 64, steady": study.Plan(replace(tiny, size=64, norm="spectral", average=0.9)),
        "Fashion-MNIST": study.Plan(tiny, data="Fashion-MNIST"),
    }

    def load_images(data, split, size=32):
        generator = torch.Generator().manual_seed(len(data + split))
        images = torch.randint(256, (60, 32, 32), dtype=torch.uint8, generator=generator)
        return gan.prepare_images(images, size), torch.arange(60) % 10

    for name, value in {"PLANS": plans, "load_images": load_images, "SEEDS": (0, 1)}.items():
        monkeypatch.setattr(study, name, value)
    for name, value in {"load_images": load_images, "NUM_SAMPLES": 40}.items():
        monkeypatch.setattr(gan_judge, name, value)
    for folder in ("results", "cache"):
        monkeypatch.setattr(paths, folder, lambda folder=folder: tmp_path / folder)
    classifier = judge.fit_digit_classifier(*load_images("MNIST", "train"), num_epochs=1)
    save_weights(classifier, tmp_path / "results" / "digit-classifier.pt")
    return tmp_path / "results"


def test_every_preset_gets_its_entry_once(small, monkeypatch):
    monkeypatch.setattr(gan_judge.Judge.score_neighbours, "__defaults__", (60,))
    results = json.loads(study.make_gan().read_text())
    runs = results["runs"]
    names = [f"{kind} {name}" for kind, plans in study.PLANS.items() for name in plans]
    assert {run: [*seeds] for run, seeds in runs.items()} == {run: ["0", "1"] for run in names} | {
        "cdcgan pooled": ["0"]
    }
    entry = runs["cdcgan best"]["1"]
    assert entry["settings"]["batches"] == 3
    assert 0 <= entry["scores"]["gan_train_accuracy"] <= 1
    assert len(entry["history"]["generator_loss"]) == 3
    assert "gan_train_accuracy" not in runs["dcgan best"]["0"]["scores"]
    # Other images have another floor.
    fashion = runs["dcgan Fashion-MNIST"]["0"]
    assert fashion["real"]["frechet"] != results["real"]["frechet"]
    for scores, floor in ((entry["scores"], results["real"]), (fashion["scores"], fashion["real"])):
        error = 0.0001 * (1 + scores["frechet_ratio"])  # both distances are rounded
        assert scores["frechet_ratio"] * floor["frechet"] == pytest.approx(scores["frechet"], abs=error)
    with np.load(small / "gan.npz") as samples:
        assert samples["dcgan practical"].shape == (2, 64, 32, 32)
        assert samples["cdcgan best"].shape == (1, 100, 32, 32)
        assert samples["dcgan 64 x 64, steady"].shape == (1, 16, 64, 64)
    assert gan.load_generator(small / "gan-cdcgan.pt").num_classes == 10
    assert gan.load_generator(small / "gan-dcgan.pt").latent_dim == 100
    assert set(results["neighbours"]) == {"real", "samples"}
    assert 0 <= runs["cdcgan pooled"]["0"]["scores"]["gan_train_accuracy"] <= 1
    for shares in results["copies"].values():
        assert all(each["low"] <= each["value"] <= each["high"] for each in shares.values())
        assert shares["p1"]["value"] <= shares["p5"]["value"]
    monkeypatch.setattr(study, "train", lambda *run: pytest.fail("trained twice"))
    assert json.loads(study.make_gan().read_text()) == results


def test_pooled_generators_draw_in_turns(small, monkeypatch):
    drawn = []

    def draw(generator, number, seed, labels):
        drawn.append((generator, labels.tolist()))
        return torch.full((number, 32, 32), len(drawn), dtype=torch.uint8)

    monkeypatch.setattr(study, "draw", draw)
    monkeypatch.setattr(gan_judge.Judge, "score_conditional", lambda _, draw_digits, seed: draw_digits(LABELS, seed))
    images = study.score_pooled(gan_judge.Judge())["scores"]
    assert images[:, 0, 0].tolist() == [1, 2] * 20
    (first, of_first), (second, of_second) = drawn
    assert (of_first, of_second) == (LABELS[::2].tolist(), LABELS[1::2].tolist())
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_the_floor_is_measured_as_samples_are(small):
    real = gan_judge.Judge().score_real()
    assert {"frechet", "precision", "recall", "entropy", "gan_train_accuracy"} <= set(real)
    assert real["frechet_ratio"] == 1
    assert 0 < real["distance_to_train_1"] <= real["distance_to_train_5"] <= real["distance_to_train"]


def test_committed_samples_teach_less_than_real_digits():
    kept = committed.load("gan")
    best = kept.values("cdcgan best", "gan_train_accuracy")
    assert len(best) == 3
    assert (best < kept["real"]["gan_train_accuracy"]).all()


def test_spreads_differ_by_the_statistics_of_batch_norm_alone():
    """A generator whose running statistics are those of a batch varies as much in both; others' samples may not."""
    draws = torch.Generator().manual_seed(0)
    images, labels = torch.randint(256, (60, 32, 32), dtype=torch.uint8, generator=draws), torch.arange(60) % 10
    generator = gan.make_networks(replace(gan.CONDITIONAL_PRACTICAL, generator_channels=32), seed=0)[0]
    asked = torch.arange(1000) % 10
    z = gan.draw_latents(1000, generator.latent_dim, 0)
    before = {name: values.clone() for name, values in generator.state_dict().items()}
    untrained = study.compare_spreads(generator, images, labels)
    assert all(torch.equal(before[name], values) for name, values in generator.state_dict().items())
    with torch.no_grad():
        for _ in range(60):
            generator.train()(z[:100], asked[:100])
    settled = study.compare_spreads(generator, images, labels)
    assert untrained["spread"] < 0.5 * untrained["spread_in_batches"]
    assert settled["spread"] == pytest.approx(settled["spread_in_batches"], rel=0.1)


def test_the_best_preset_is_the_trial_with_the_least_distance():
    trials = committed.load("gan-selection")
    first = [name for name in trials.runs if name.startswith("32") and "later" not in name]
    distances = {name: trials.mean(name, "frechet") for name in first}
    assert PRESETS["best"] == study.CANDIDATES[min(distances, key=distances.__getitem__)]


def test_the_seeking_preset_is_the_trial_that_teaches_most():
    trials = committed.load("gan-selection")
    names = [name for name in trials.runs if name.startswith("told")]
    taught = {name: [trials.mean(name, score) for score in ("gan_train_accuracy", "recall")] for name in names}
    chosen = study.CANDIDATES[max(names, key=taught.__getitem__)]
    assert CONDITIONAL_PRESETS["best, seeking"] == replace(chosen, num_epochs=5)


def test_a_grey_background_is_found_and_made_black():
    digits = torch.zeros(2, 32, 32, dtype=torch.uint8)
    digits[:, 8:24, 12:20] = torch.arange(128).mul(2).to(torch.uint8).reshape(16, 8)
    grey = (40 + digits.float() * 215 / 255).round().to(torch.uint8)
    black, levels = gan_judge.blacken(grey)
    assert (levels == 40).all()
    assert (black.int() - digits.int()).abs().max() <= 1
    same, levels = gan_judge.blacken(digits)
    assert torch.equal(same, digits)
    assert (levels == 0).all()
