"""How Chapter 1's studies choose, train and store, on a few numbers."""

import itertools
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dlapps import pretrained
from dlapps.datasets.scenes15 import from_bytes
from studies import transfer as study
from studies import transfer_training as training


@pytest.fixture
def fold(monkeypatch):
    """{setting: (mean, spread)} of the true class's logit on fold 0, to be filled, and
    a function that chooses by it.

    The true class is 0 for all pictures; a setting that is not there has logits of 0.
    """
    scenes = SimpleNamespace(labels=np.zeros(100, dtype=np.int64))
    monkeypatch.setattr(study.datasets, "load_scenes15", lambda split: scenes)
    logits_of = {}

    def scores(name, fit_rows, rows, setting, seed):
        assert not set(fit_rows) & set(rows)
        random = np.random.default_rng(setting.num_epochs).normal(size=len(rows))
        logits = np.zeros((len(rows), 15), np.float32)
        mean, spread = logits_of.get(setting, (0, 0))
        logits[:, 0] = mean + spread * random
        return logits

    def choose():
        settings = itertools.starmap(
            study.Setting, itertools.product(study.RATES, study.EPOCHS)
        )
        return study.choose_setting(partial(scores, "efficientnet_lite2"), settings)

    return logits_of, choose


def test_a_setting_that_is_clearly_best_is_chosen(fold):
    logits_of, choose = fold
    logits_of[1e-2, 8] = (6, 0.1)
    setting, losses = choose()
    assert setting == (1e-2, 8)
    assert min(losses, key=losses.get) == setting
    assert len(losses) == len(study.RATES) * len(study.EPOCHS)


def test_of_settings_that_cannot_be_told_apart_the_shortest_is_chosen(fold):
    logits_of, choose = fold
    logits_of |= {(1e-2, 8): (3, 1), (3e-3, 4): (2.95, 1), (3e-3, 2): (2.95, 1)}
    setting, _ = choose()
    assert setting == (3e-3, 2)


def test_fine_tuned_scores_are_committed_by_network_and_part(monkeypatch, tmp_path):
    setting = study.Setting(3e-3, 2)
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    chosen = (setting, {setting: 0.5})
    monkeypatch.setattr(study, "choose_setting", lambda score, settings: chosen)
    parts = {"train": np.ones((3, 15)), "test": np.zeros((2, 4, 15))}
    monkeypatch.setattr(study, "finetune_last_stage", lambda name, setting: parts)
    study.make_scenes15_finetuned()
    chosen = study.results.load("scenes15-finetuned")["efficientnet_lite0"]
    assert chosen == {"losses": {"0.003 2": 0.5}, "rate": 3e-3, "num_epochs": 2}
    arrays = study.results.load_arrays("scenes15-finetuned")
    assert arrays["efficientnet_lite2 train"].shape == (3, 15)
    assert arrays["efficientnet_lite0 test"].dtype == np.float16


def test_statistics_stay_while_the_layers_train():
    layers = study.FixedStatistics([torch.nn.BatchNorm2d(3)])
    layers.train()
    before = layers[0].running_mean.clone()
    layers[0](torch.randn(4, 3, 2, 2))
    assert torch.equal(layers[0].running_mean, before)


@pytest.mark.parametrize(("signal", "cost"), [(1, 0.1), (0.01, 100)])
def test_rows_that_differ_little_are_given_a_large_cost(monkeypatch, signal, cost):
    labels = np.arange(1600) % 3
    monkeypatch.setattr(training, "load_scenes", lambda: (None, labels))
    noise = np.random.default_rng(0).normal(size=(1600, 4))
    rows = np.hstack([noise, signal * np.eye(3)[labels], np.ones((1600, 1))])
    assert training.score_svm(rows) == {
        "scores": {"accuracy": 1, "cv": 1},
        "settings": {"C": cost},
    }


@pytest.mark.parametrize(("sign", "error"), [(0, 1 / 16), (1, 1 / 8)])
def test_numbers_of_one_byte_keep_sign_and_size(sign, error):
    random = np.random.default_rng(0)
    values = random.lognormal(sigma=2, size=(50, 8))
    values = values * random.choice([1, 1 - 2 * sign], size=(50, 8))
    stored = study.to_bytes(values)
    assert stored.itemsize == 1
    read = from_bytes(stored)
    assert np.abs(read / values - 1).max() <= error + 1e-3  # float16 rounds first
    assert study.to_bytes(read).tobytes() == stored.tobytes()


def test_filters_averaged_over_colours_give_a_third_of_what_a_grey_picture_gave():
    backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False))
    network = pretrained.wrap(backbone, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    grey = torch.rand(2, 1, 8, 8)
    copied = network(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(3 * training.to_grey(network)(grey), copied)
