"""Paths as text, arrays and lists in place of tensors, and mistakes that are answered by one sentence."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dlapps import datasets, metrics
from dlapps.plots.general import plot_confusion
from dlapps.transfer import finetune


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


def test_a_training_on_lists_goes_on_from_a_checkpoint(tmp_path):
    random = np.random.default_rng(0)
    points = random.normal(size=(60, 4))
    labels = [int(point.sum() > 0) for point in points]

    def fit(num_epochs, checkpoint=None):
        torch.manual_seed(0)
        network = nn.Linear(4, 2)
        history = finetune.fit_classifier(network, points, labels, num_epochs, {network: 0.1}, checkpoint=checkpoint)
        return history.loss, finetune.accuracy(network, points, labels)

    first = fit(8, "ck.pt")
    assert (tmp_path / "ck.pt").is_file()
    assert fit(8, "ck.pt") == first == fit(8)
    assert first[1] > 0.9


def test_samples_of_ones_own_are_measured_as_arrays():
    random = np.random.default_rng(0)
    real, fake = random.normal(1000, 1, (300, 16)), random.normal(1000, 1, (200, 16))
    distance = metrics.frechet_distance(real, fake)
    precision, recall = metrics.precision_recall(real, fake)
    distances, nearest = metrics.nearest_neighbours(real[::-1], real)
    shares = metrics.class_histogram([0, 1, 1, 2], 5)

    assert 0 < distance < 2
    assert min(precision, recall) > 0.5
    assert nearest[:, 0].tolist() == [*range(300)][::-1]
    assert distances.unique().tolist() == [0]
    assert shares.tolist() == [0.25, 0.5, 0.25, 0, 0]


def test_digits_of_ones_own_on_photos_of_ones_own():
    digits = torch.zeros(3, 8, 8, dtype=torch.uint8)
    digits[:, 2:6, 3:5] = 255
    photos = [torch.randint(256, (20, 30, 3), dtype=torch.uint8), np.zeros((9, 9, 3), np.uint8)]
    assert datasets.make_mnist_m(digits, photos, seed=0).shape == (3, 8, 8, 3)


def test_mistakes_get_one_sentence(tmp_path):
    (tmp_path / "mine" / "cat").mkdir(parents=True)
    for name in ("cat/a.png", "stray.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "mine" / name)
    features, broken = np.eye(9), np.full((9, 9), np.nan)
    mistakes = {
        r"expected each picture in the folder of its class in mine, got 1 .*stray\.png": lambda: datasets.load_folder(
            "mine"
        ),
        "expected labels from 0 to 4, got 0 to 7": lambda: metrics.class_histogram([0, 7], 5),
        "expected finite features": lambda: metrics.frechet_distance(features, broken),
        "expected finite features, got NaN": lambda: metrics.precision_recall(features, broken),
        "K class names": lambda: plot_confusion(features[:3, :3], ["one"]),
    }
    for message, mistake in mistakes.items():
        with pytest.raises(ValueError, match=message):
            mistake()
