"""How Chapter 1's studies train and store, on a few numbers."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dlapps.core.classifier import fit_classifier
from dlapps.datasets.scenes15 import from_bytes
from studies import transfer as features
from studies import transfer_training as training


def test_layers_that_move_keep_the_statistics_of_their_batch_norms():
    layers = training.LastLayers("Lite0")
    layers.requires_grad_(True).train()
    assert not any(module.training for module in layers.modules())
    maps = torch.rand(2, 192, 3, 3)
    features = layers(maps)
    first = F.normalize(maps.mean((2, 3)), dim=1)
    torch.testing.assert_close(features[:, :192], first)
    squares = (features**2).sum(1)
    torch.testing.assert_close(squares, torch.full((2,), 3.0))  # three parts


def test_new_head_does_not_see_the_scale_of_features():
    head = training.NewHead(6, seed=0)
    features = torch.rand(4, 6)
    torch.testing.assert_close(head(features), head(features * 100))
    again = training.NewHead(6, seed=0)
    assert torch.equal(head.linear.weight, again.linear.weight)


def test_augmentation_keeps_shape_and_range():
    pixels = torch.rand(6, 1, 16, 16)
    generator = torch.Generator().manual_seed(0)
    moved = training.flip_and_shift(4, pixels, generator)
    assert moved.shape == pixels.shape
    assert 0 <= moved.min() <= moved.max() <= 1
    assert not torch.equal(moved, pixels)


def test_small_vgg_learns_bright_from_dark():
    torch.manual_seed(0)
    labels = torch.arange(40) % 2
    pixels = torch.rand(40, 1, 16, 16) * 0.3 + 0.6 * labels.view(-1, 1, 1, 1)
    network = training.make_small_vgg(2)
    fit_classifier(network, pixels, labels, 8, {network: 0.01}, batch_size=10)
    predicted = training.logits(network, pixels).argmax(1)
    assert (predicted == labels).float().mean() > 0.95


def test_random_splits_train_on_as_many_of_each_class_and_test_on_all_others(
    monkeypatch,
):
    monkeypatch.setattr(features, "PER_CLASS", 10)
    labels = np.arange(120) % 3
    rows, others = features.draw_split(labels, seed=0)
    assert np.bincount(labels[rows]).tolist() == [10, 10, 10]
    assert sorted(np.concatenate([rows, others])) == list(range(120))
    assert not np.array_equal(rows, features.draw_split(labels, seed=1)[0])


@pytest.mark.parametrize(("signal", "cost"), [(1, 0.1), (0.01, 100)])
def test_rows_that_differ_little_are_given_a_large_cost(signal, cost):
    labels = np.arange(600) % 3
    noise = np.random.default_rng(0).normal(size=(600, 4))
    rows = np.hstack([noise, signal * np.eye(3)[labels], np.ones((600, 1))])
    svm = features.fit_svm(rows, labels, training.LARGE_COSTS)
    assert cost == svm.C
    assert svm.score(rows, labels) == 1


def test_joined_rows_keep_the_products_between_them():
    random = np.random.default_rng(0)
    first = random.normal(size=(1600, 5))
    second = random.normal(size=(1600, 3))
    joined = features.join([first, second])
    assert joined.shape == (1600, 8)
    rows = np.hstack(
        [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (first, second)]
    )
    np.testing.assert_allclose(joined[:9] @ joined[:9].T, rows[:9] @ rows[:9].T)


@pytest.mark.parametrize(("sign", "error"), [(0, 1 / 16), (1, 1 / 8)])
def test_numbers_of_one_byte_keep_sign_and_size(sign, error):
    random = np.random.default_rng(0)
    values = random.lognormal(sigma=2, size=(50, 8))
    values = values * random.choice([1, 1 - 2 * sign], size=(50, 8))
    stored = features.to_bytes(values)
    assert stored.itemsize == 1
    read = from_bytes(stored)
    assert np.abs(read / values - 1).max() <= error + 1e-3  # float16 rounds first
    assert features.to_bytes(read).tobytes() == stored.tobytes()


def test_an_untrained_network_has_weights_of_its_seed():
    first = features.untrained_vgg16(0)
    assert not first.training
    weight = first.layer("conv3_2").weight
    again = features.untrained_vgg16(0).layer("conv3_2").weight
    other = features.untrained_vgg16(1).layer("conv3_2").weight
    assert torch.equal(weight, again)
    assert not torch.equal(weight, other)
    assert float(weight.std()) == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.05)
