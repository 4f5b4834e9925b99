"""A classifier learns, repeats itself, and trains the parts that are named."""

import contextlib
import copy

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


def test_only_the_named_parts_are_trained(problem):
    network = make_classifier().requires_grad_(False)
    before = copy.deepcopy(network)
    fit(problem, network, {network[2]: 0.01}, num_epochs=2)
    same = map(torch.equal, network.parameters(), before.parameters())
    assert list(same) == [True, True, False, False]


def make_mixed_classifier():
    """Parts with statistics and dropout of their own; the last two layers are to be
    trained.
    """
    torch.manual_seed(0)
    block = nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5)
    )
    return nn.Sequential(block, nn.BatchNorm1d(8), nn.Linear(8, 2))


def test_what_is_not_trained_stays_as_it_is(problem):
    network = make_mixed_classifier()
    before = copy.deepcopy(network[0].state_dict())
    frozen_modes = []
    trained_modes = []

    def record(module, *_):
        # Classes are counted without gradients before the training.
        if torch.is_grad_enabled():
            modes = trained_modes if module is network[1] else frozen_modes
            modes.append(module.training)

    for module in (*network[0].modules(), network[1]):
        module.register_forward_hook(record)
    fit(problem, network, dict.fromkeys(network[1:], 0.01), num_epochs=2)
    assert not any(frozen_modes)
    assert len(trained_modes) == 6
    assert all(trained_modes)
    for name, value in network[0].state_dict().items():
        assert torch.equal(value, before[name])
    assert network[1].num_batches_tracked == 6
    assert all(parameter.grad is None for parameter in network[0].parameters())
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize("inputs_are", [1.0, torch.nan])
def test_what_asks_for_gradients_is_as_it_was(problem, inputs_are):
    network = make_mixed_classifier()
    network[2].weight.requires_grad_(False)
    network[0][0].bias.requires_grad_(False)
    before = [parameter.requires_grad for parameter in network.parameters()]
    inputs, labels = problem
    outcome = contextlib.nullcontext()
    if inputs_are != 1:
        outcome = pytest.raises(ValueError, match="finite loss")
    with outcome:
        fit((inputs * inputs_are, labels), network, {network[2]: 0.01})
    assert [parameter.requires_grad for parameter in network.parameters()] == before
    assert not any(module.training for module in network.modules())


def test_a_part_may_keep_to_eval_mode(problem):
    class Fixed(nn.BatchNorm1d):
        def train(self, mode=True):
            return super().train(False)

    network = nn.Sequential(Fixed(5), nn.Linear(5, 2))
    fit(problem, network)
    fit(problem, network, dict.fromkeys(network, 0.01))
    assert network[0].num_batches_tracked == 0
    assert not torch.equal(network[0].weight, torch.ones(5))


def test_parts_have_to_be_the_networks_and_apart(problem):
    network = make_classifier()
    for parts in ([network, network[0]], [network[0], nn.Linear(2, 2)]):
        with pytest.raises(ValueError, match=r"parameter group|expected parts of"):
            fit(problem, network, dict.fromkeys(parts, 0.01))


def test_lists_and_arrays_train_as_tensors_do(problem):
    inputs, labels = problem
    expected = fit(problem, num_epochs=2).loss
    forms = [
        (inputs.numpy(), labels.tolist()),
        (inputs.double().tolist(), labels.byte().numpy()),
    ]
    for form in forms:
        assert fit(form, make_classifier(), num_epochs=2).loss == expected


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
    with pytest.raises(ValueError, match=r"expected (as many labels|whole numbers)"):
        fit((problem[0], labels))
