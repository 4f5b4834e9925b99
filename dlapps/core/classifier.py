"""The training of a classifier by cross-entropy, or of some of its parts."""

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps.core.arrays import as_labels, as_tensor
from dlapps.core.checks import check_counts
from dlapps.core.runtime import device_of, make_generator, run_once
from dlapps.core.training import (
    Augment,
    History,
    Means,
    Monitor,
    count_batches,
    draw_batches,
    make_one_cycle,
    minimise,
    run_epochs,
)

WEIGHT_DECAY = 1e-2


def fit_classifier(
    network: nn.Module,
    inputs: ArrayLike,
    labels: ArrayLike,
    num_epochs: int,
    learning_rates: Mapping[nn.Module, float],
    label_smoothing: float = 0.0,
    batch_size: int = 50,
    seed: int = 0,
    augment: Augment | None = None,
    monitor: Monitor | None = None,
) -> History:
    """Train parts of a classifier by cross-entropy; return loss and accuracy.

    The optimiser is AdamW with one cycle of the learning rate. The loss and accuracy
    of an epoch are means over its batches, each measured before its update.

    inputs: (N, ...), what the network takes, or what `augment` turns into it, as a
        tensor, an array or a list. uint8 is divided by 255.
    labels: whole numbers (N,) in [0, K), as a tensor, an array or a list.
    learning_rates: the parts to train, each with its highest rate.
    monitor: as for `run_epochs`.

    The parts are in training mode, or in the mode that their own `train()` sets. The
    others are in eval mode and get no gradients, so that their weights and statistics
    stay. At the end, even after an error, the network is in eval mode, and each
    parameter's requires_grad is restored.

    Raises ValueError if sizes differ, a label is not in [0, K), or parts share weights
    or are not the network's, and DivergenceError if a loss is not finite.
    """
    check_counts(num_epochs=num_epochs, batch_size=batch_size)
    inputs = as_tensor(inputs)
    _check_parts(network, learning_rates)
    prepare = functools.partial(_prepare, augment=augment, device=device_of(network))
    # On a GPU, the loss of a label that is too high would end the process.
    first = prepare(inputs[:1], make_generator(seed))
    num_classes = run_once(network, first, name="a classifier").shape[1]
    labels = as_labels(labels, len(inputs), num_classes)
    num_steps = num_epochs * count_batches(len(inputs), batch_size)
    optimiser, schedule = make_one_cycle(learning_rates, WEIGHT_DECAY, num_steps)
    # For the order and the augmentation of all epochs, instead of the epochs' own.
    generator = make_generator(seed)

    def train_epoch(epoch: int, _: torch.Generator) -> dict[str, float]:
        for part in learning_rates:
            part.train()
        means = Means()
        for rows in draw_batches(len(inputs), batch_size, generator):
            batch = prepare(inputs[rows], generator)
            classes = labels[rows].to(batch.device)
            logits = network(batch).float()
            loss = F.cross_entropy(logits, classes, label_smoothing=label_smoothing)
            minimise(loss, optimiser)
            schedule.step()
            correct = logits.argmax(1) == classes
            means.add({"loss": loss, "accuracy": correct.float().mean()}, len(rows))
        return means.as_numbers()

    with _gradients_for(network, learning_rates):
        return run_epochs(train_epoch, network, num_epochs, seed, monitor)


def _check_parts(network: nn.Module, parts: Iterable[nn.Module]) -> None:
    """Raise ValueError if a weight of a part is not the network's."""
    own = set(network.parameters())
    for part in parts:
        if not own.issuperset(part.parameters()):
            raise ValueError(
                "expected parts of the network, got one that is not in it; "
                "name its layers."
            )


def _prepare(
    batch: Tensor,
    generator: torch.Generator,
    augment: Augment | None,
    device: torch.device,
) -> Tensor:
    """Augment a batch, and return it as a network takes it on a device."""
    if augment:
        batch = augment(batch, generator)
    batch = as_floats(batch).to(device)
    if batch.ndim == 4:
        return batch.contiguous(memory_format=torch.channels_last)
    return batch


def as_floats(batch: Tensor) -> Tensor:
    """Return uint8 as float32 in [0, 1], and other integers as they are."""
    if batch.dtype == torch.uint8:
        return batch.float() / 255
    if batch.is_floating_point():
        return batch.float()
    return batch


@contextlib.contextmanager
def _gradients_for(network: nn.Module, parts: Iterable[nn.Module]) -> Iterator[None]:
    """Compute gradients for these parts alone, within the context."""
    before = [(weight, weight.requires_grad) for weight in network.parameters()]
    try:
        network.requires_grad_(False)
        for part in parts:
            part.requires_grad_()
        yield
    finally:
        for weight, required in before:
            weight.requires_grad_(required)
