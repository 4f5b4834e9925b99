"""Rate and epochs of the fine-tuned last stage: chosen on training pictures alone, by
the rule that is written.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dlapps import datasets, pretrained
from studies import transfer as study
from studies import transfer_training as training


@pytest.fixture
def fold(monkeypatch):
    """Logits for each (rate, epochs) on fold 0, as the test gives them; the true class
    is 0 for all pictures.
    """
    labels = np.zeros(100, dtype=np.int64)
    monkeypatch.setattr(
        study.datasets, "load_scenes15", lambda split: SimpleNamespace(labels=labels)
    )
    given = {}

    def scores(name, fit_rows, rows, rate, num_epochs, seed):
        assert not set(fit_rows) & set(rows)
        random = np.random.default_rng(num_epochs).normal(size=len(rows))
        logits = np.zeros((len(rows), 15), np.float32)
        mean, spread = given.get((rate, num_epochs), (0, 0))
        logits[:, 0] = mean + spread * random
        return logits

    monkeypatch.setattr(study, "keep", lambda function: scores)
    return given


def test_a_setting_that_is_clearly_best_is_taken(fold):
    fold[1e-2, 8] = (6, 0.1)
    losses, rate, num_epochs = study.choose_rate_and_epochs("efficientnet_lite2")
    assert (rate, num_epochs) == (1e-2, 8)
    assert min(losses, key=losses.get) == "0.01 8"
    assert len(losses) == len(study.RATES) * len(study.EPOCHS)


def test_of_settings_that_cannot_be_told_apart_the_shortest_is_taken(fold):
    fold |= {(1e-2, 8): (3, 1), (3e-3, 4): (2.95, 1), (3e-3, 2): (2.95, 1)}
    _, rate, num_epochs = study.choose_rate_and_epochs("efficientnet_lite2")
    assert (rate, num_epochs) == (3e-3, 2)


def test_statistics_stay_while_the_layers_train():
    layers = study.FixedStatistics([torch.nn.BatchNorm2d(3)])
    layers.train()
    before = layers[0].running_mean.clone()
    layers[0](torch.randn(4, 3, 2, 2))
    assert torch.equal(layers[0].running_mean, before)


@pytest.mark.parametrize(("signal", "cost"), [(1, 0.1), (0.01, 100)])
def test_rows_that_differ_little_are_given_a_large_cost(monkeypatch, signal, cost):
    labels, random = np.arange(1600) % 3, np.random.default_rng(0)
    monkeypatch.setattr(training, "load_scenes", lambda: (None, labels))
    rows = np.concatenate(
        [random.normal(size=(1600, 4)), signal * np.eye(3)[labels], np.ones((1600, 1))],
        axis=1,
    )
    assert training.score_svm(rows) == {
        "scores": {"accuracy": 1, "cv": 1},
        "settings": {"C": cost},
    }


@pytest.mark.parametrize(("sign", "error"), [(0, 1 / 16), (1, 1 / 8)])
def test_numbers_of_one_byte_keep_sign_and_size(sign, error):
    random = np.random.default_rng(0)
    values = random.lognormal(sigma=2, size=(50, 8)) * random.choice(
        [1, 1 - 2 * sign], size=(50, 8)
    )
    kept = study.to_bytes(values)
    assert kept.itemsize == 1
    found = datasets.from_bytes(kept)
    assert np.abs(found / values - 1).max() <= error + 1e-3  # float16 rounds first
    assert study.to_bytes(found).tobytes() == kept.tobytes()


def test_filters_averaged_over_colours_give_a_third_of_what_a_grey_picture_gave():
    network = pretrained.wrap(
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False)),
        (0.5,) * 3,
        (0.2,) * 3,
    )
    grey = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(
        3 * training.to_grey(network)(grey), network(grey.expand(-1, 3, -1, -1))
    )
