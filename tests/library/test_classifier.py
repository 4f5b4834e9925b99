"""A classifier learns, repeats itself, and trains the parts that are named."""

import pytest
import torch
from torch import nn

from dlapps.core.classifier import fit_classifier


@pytest.fixture
def problem():
    """Points whose class is the sign of their first coordinate."""
    inputs = torch.randn(120, 5, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs[:, 0] > 0).long()


def make_classifier():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))


def fit(problem, network=None, rates=0.03, num_epochs=1, **options):
    """Train a network, or parts of it at rates of their own."""
    network = network or make_classifier()
    rates = rates if isinstance(rates, dict) else {network: rates}
    return fit_classifier(network, *problem, num_epochs, rates, **options)


def test_classifier_learns(problem):
    history = fit(problem, num_epochs=15, seed=3)
    assert history.loss[-1] < history.loss[0] / 2
    assert history.accuracy[-1] > 0.95


def test_a_part_may_keep_to_eval_mode(problem):
    class Fixed(nn.BatchNorm1d):
        def train(self, mode=True):
            return super().train(False)

    network = nn.Sequential(Fixed(5), nn.Linear(5, 2))
    fit(problem, network)
    fit(problem, network, dict.fromkeys(network, 0.01))
    assert network[0].num_batches_tracked == 0
    assert not torch.equal(network[0].weight, torch.ones(5))


def test_uint8_is_taken_as_pixels():
    def augment(pixels, generator):
        return pixels.flip(3)

    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(256, (8, 1, 16, 16), dtype=torch.uint8, generator=generator)
    losses = []
    for inputs in (levels, levels / 255, levels.numpy() / 255):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(784, 2))
        history = fit((inputs, [0, 1] * 4), network, num_epochs=2, augment=augment)
        losses.append(history.loss)
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("labels", [[0.0] * 120, [[0]] * 120, [True] * 120, [0] * 119])
def test_labels_that_are_not_whole_numbers_one_an_input_get_one_sentence(
    problem, labels
):
    with pytest.raises(ValueError, match=r"expected whole numbers \(120,\)"):
        fit((problem[0], labels))
