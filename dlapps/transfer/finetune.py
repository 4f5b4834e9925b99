"""Training a classifier: a new last layer, with or without gradients to the rest."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps import check_counts
from dlapps.core.metrics import as_tensor
from dlapps.core.runtime import (
    Bar,
    autocast,
    check_last_batch,
    device_of,
    make_generator,
)
from dlapps.core.training import (
    Augment,
    History,
    as_labels,
    make_one_cycle,
    minimise,
    predict,
    run_epochs,
    seeded,
)

# Of the logits of `NewHead`, whose features have length 1.
SCALE = 10
WEIGHT_DECAY = 1e-2


class NewHead(nn.Module):
    """A new last layer on feature maps: average over positions, L2-normalise, scale,
    one score a class.

    Feature maps (N, C, H, W) or vectors (N, C) in, logits (N, K) out. Normalised as the
    features of a linear SVM are, so that learning rates do not depend on the network;
    the scale lets the softmax become certain.
    """

    def __init__(self, num_features: int, num_classes: int, seed: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_features, num_classes)
        nn.init.normal_(self.linear.weight, std=0.01, generator=make_generator(seed))
        nn.init.zeros_(self.linear.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N, K) of feature maps (N, C, H, W) or vectors (N, C)."""
        vectors = maps.float().mean((2, 3)) if maps.ndim == 4 else maps
        return self.linear(F.normalize(vectors, dim=1) * SCALE)


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
    **options: Any,
) -> History:
    """Train parts of a classifier by cross-entropy (AdamW, one cycle of the learning
    rate).

    inputs: (N, …), what the network takes, or what `augment` makes it of; uint8 is
    divided by 255. labels: whole numbers (N,) in [0, K). Both are tensors, arrays or
    lists. learning_rates: the parts to train, each with its highest rate. They train in
    training mode, or in that which their own `train()` sets; the others are in eval
    mode, their statistics stay and they gather no gradient. Whatever fails, the network
    is left in eval mode, and each parameter's requires_grad as it was. options: monitor
    and checkpoint, as `run_epochs` takes them. Returns the history: loss and accuracy
    on the batches as they came. Raises ValueError when sizes differ, a label is not in
    [0, K), parts share weights or are none of the network's, or a loss is not finite.
    """
    check_counts(num_epochs=num_epochs, batch_size=batch_size)
    inputs = as_tensor(inputs)
    labels = as_labels(labels, len(inputs))
    generator, device = make_generator(seed), device_of(network)
    identity = {
        "fit": "classifier",
        "parts": _name_parts(network, learning_rates),
        "seed": seed,
    }
    identity |= {
        "num_epochs": num_epochs,
        "batch_size": batch_size,
        "label_smoothing": label_smoothing,
    }
    identity |= {"augment": augment, "inputs": inputs, "labels": labels}
    num_steps = num_epochs * -(-len(labels) // batch_size)
    optimiser, schedule = make_one_cycle(learning_rates, WEIGHT_DECAY, num_steps)

    def read(rows: Tensor, draws: torch.Generator) -> Tensor:
        batch = _as_floats(
            augment(inputs[rows], draws) if augment else inputs[rows]
        ).to(device)
        return (
            batch.contiguous(memory_format=torch.channels_last)
            if batch.ndim == 4
            else batch
        )

    def train_epoch(epoch: int, _draws: torch.Generator) -> dict[str, float]:
        for part in learning_rates:
            part.train()
        total, correct = 0.0, 0
        for rows in Bar(
            torch.randperm(len(labels), generator=generator).split(batch_size)
        ):
            batch = read(rows, generator)
            targets = labels[rows].to(device)
            with autocast(device):
                logits = network(batch)
            # How many classes there are is first seen here; on a GPU the loss would end
            # the process.
            as_labels(labels[rows], len(rows), logits.shape[1])
            loss = F.cross_entropy(
                logits.float(), targets, label_smoothing=label_smoothing
            )
            minimise(loss, optimiser)
            schedule.step()
            total += loss.item() * len(rows)
            correct += int((logits.argmax(1) == targets).sum())
        return {"loss": total / len(labels), "accuracy": correct / len(labels)}

    one = torch.arange(1), make_generator(seed)
    check_last_batch(
        network, lambda: network(read(*one)), len(labels), batch_size, learning_rates
    )
    # One generator for orders and augmentation, from epoch to epoch; `seeded` is for
    # dropout.
    parts = {"optimiser": optimiser, "schedule": schedule, "order": generator}
    with _gradients_for(network, learning_rates):
        return run_epochs(
            seeded(train_epoch, seed), network, parts, identity, num_epochs, **options
        )


def _name_parts(network: nn.Module, rates: Mapping[nn.Module, float]) -> list[list]:
    """The rate of each part and the names of its weights; ValueError unless all are the
    network's, and named once.
    """
    names = {weight: name for name, weight in network.named_parameters()}
    trained = [weight for part in rates for weight in part.parameters()]
    if len(set(trained)) < len(trained) or not set(trained) <= names.keys():
        raise ValueError(
            "expected parts of the network that share no weights, got some that overlap or are none of it; name each "
            "layer once."
        )
    return [
        [rate, *(names[weight] for weight in part.parameters())]
        for part, rate in rates.items()
    ]


def _as_floats(batch: Tensor) -> Tensor:
    """float32, of uint8 in [0, 1]; other whole numbers as they are, for an embedding."""
    if batch.dtype == torch.uint8:
        return batch.float() / 255
    return batch.float() if batch.is_floating_point() else batch


@contextlib.contextmanager
def _gradients_for(
    network: nn.Module, parts: Mapping[nn.Module, float]
) -> Iterator[None]:
    """Within, these parts ask for gradients, and the rest of the network does not."""
    before = [
        (parameter, parameter.requires_grad) for parameter in network.parameters()
    ]
    try:
        network.requires_grad_(False)
        for part in parts:
            part.requires_grad_()
        yield
    finally:
        for parameter, required in before:
            parameter.requires_grad_(required)


def batched_logits(network: nn.Module, inputs: ArrayLike) -> Tensor:
    """Logits (N, K) float32, batch by batch, of a network in eval mode, which is left
    as it was; inputs as `fit_classifier` takes them.
    """
    return predict(network, as_tensor(inputs), batch_size=64, prepare=_as_floats)


def accuracy(network: nn.Module, inputs: ArrayLike, labels: ArrayLike) -> float:
    """Share of the inputs (N, …) whose highest score is their label's."""
    logits = batched_logits(network, inputs)
    return float((logits.argmax(1) == as_labels(labels, *logits.shape)).float().mean())
