"""The training of a classifier by cross-entropy."""

from collections.abc import Mapping

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps.core.arrays import as_labels, as_tensor
from dlapps.core.checks import check_counts
from dlapps.core.runtime import device_of, make_generator
from dlapps.core.training import (
    Augment,
    History,
    Means,
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
) -> History:
    """Train a classifier by cross-entropy; return loss and accuracy.

    The optimiser is AdamW with one cycle of the learning rate. The loss and accuracy
    of an epoch are means over its batches, each measured before its update.

    inputs: (N, ...), what the network takes, or what `augment` turns into it, as a
        tensor, an array or a list. uint8 is divided by 255.
    labels: whole numbers (N,) in [0, K), as a tensor, an array or a list.
    learning_rates: the parts to train, each with its highest rate.

    Raises ValueError if sizes differ, and DivergenceError if a loss is not finite.
    """
    check_counts(num_epochs=num_epochs, batch_size=batch_size)
    inputs = as_tensor(inputs)
    labels = as_labels(labels, len(inputs))
    device = device_of(network)
    num_steps = num_epochs * count_batches(len(inputs), batch_size)
    optimiser, schedule = make_one_cycle(learning_rates, WEIGHT_DECAY, num_steps)
    # For the order and the augmentation of all epochs, instead of the epochs' own.
    generator = make_generator(seed)

    def train_epoch(epoch: int, _: torch.Generator) -> dict[str, float]:
        network.train()
        means = Means()
        for rows in draw_batches(len(inputs), batch_size, generator):
            batch = inputs[rows]
            if augment:
                batch = augment(batch, generator)
            batch = as_floats(batch).to(device)
            classes = labels[rows].to(device)
            logits = network(batch).float()
            loss = F.cross_entropy(logits, classes, label_smoothing=label_smoothing)
            minimise(loss, optimiser)
            schedule.step()
            correct = logits.argmax(1) == classes
            means.add({"loss": loss, "accuracy": correct.float().mean()}, len(rows))
        return means.as_numbers()

    return run_epochs(train_epoch, network, num_epochs, seed)


def as_floats(batch: Tensor) -> Tensor:
    """Return float32, uint8 divided by 255, with channels last."""
    if batch.dtype == torch.uint8:
        batch = batch / 255
    batch = batch.float()
    if batch.ndim == 4:
        return batch.contiguous(memory_format=torch.channels_last)
    return batch
