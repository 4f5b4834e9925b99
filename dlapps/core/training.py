"""The loop that all trainings share: epochs, their history and a monitor.

Also steps, schedules and predictions.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dlapps.core.arrays import as_labels
from dlapps.core.checks import as_seed, check_between, check_counts, check_name
from dlapps.core.runtime import (
    device_of,
    drawn_from,
    evaluating,
    make_generator,
    progress,
)

Augment = Callable[[Tensor, torch.Generator], Tensor]
Monitor = Callable[[nn.Module, int], Mapping[str, float] | None]


class DivergenceError(ValueError):
    """A loss that is not finite."""


class History(dict[str, list[Any]]):
    """The measurements of a training in order, as history["loss"] or history.loss."""

    def __getattr__(self, name: str) -> list[Any]:
        check_name("a measurement", name, self, AttributeError)
        return self[name]

    def add(self, measured: Mapping[str, Any]) -> None:
        """Append each value to the list of its name."""
        for name, value in measured.items():
            self.setdefault(name, []).append(value)


def run_epochs(
    train_epoch: Callable[[int, torch.Generator], Mapping[str, Any]],
    network: nn.Module,
    num_epochs: int,
    seed: int,
    monitor: Monitor | None = None,
) -> History:
    """Train for a number of epochs and return what each of them measured.

    The network is in eval mode when train_epoch or the monitor is called, and at the
    end, even after an error.

    train_epoch: a function of the epoch and a random generator, which updates the
        network and returns its measurements by name.
        The seed and the epoch seed this generator and PyTorch's default one, from which
        dropout draws.
    monitor: a function of the network and the epoch, which may return further ones.
    """
    seed = as_seed(seed)
    history = History()
    network.eval()
    for epoch in progress(range(num_epochs), "epochs"):
        epoch_seed = seed * 1_000_003 + epoch
        try:
            # Dropout draws from the default generator.
            with drawn_from(epoch_seed):
                measured = dict(train_epoch(epoch, make_generator(epoch_seed)))
        finally:
            network.eval()
        if monitor:
            with torch.random.fork_rng():
                measured.update(monitor(network, epoch) or {})
        history.add(measured)
    return history


class Means:
    """Means over the examples of an epoch, added up batch by batch."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.num_examples = 0

    def add(self, measured: Mapping[str, Tensor], batch_size: int) -> None:
        """Add the means over a batch of so many examples, scalars by name."""
        self.num_examples += batch_size
        for name, value in measured.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item() * batch_size

    def as_numbers(self) -> dict[str, float]:
        """Return the means by name."""
        return {name: total / self.num_examples for name, total in self.sums.items()}


def epoch_size(number: int, batch_size: int) -> int:
    """Return how many of `number` examples an epoch takes.

    An example that would be alone in the last batch is left out, because batch norm
    cannot normalise a single vector. Each epoch has its own order, so it is a different
    example each time.
    """
    if number > 1 and number % batch_size == 1:
        return number - 1
    return number


def count_batches(number: int, batch_size: int) -> int:
    """Return the number of batches in an epoch over `number` examples."""
    return math.ceil(epoch_size(number, batch_size) / batch_size)


def draw_batches(
    number: int, batch_size: int, generator: torch.Generator
) -> Iterable[Tensor]:
    """Return the rows (B,) of each batch of an epoch, in a random order.

    Iterating over them shows a progress bar. An epoch takes `epoch_size` of the
    examples.
    """
    order = torch.randperm(number, generator=generator)
    return progress(order[: epoch_size(number, batch_size)].split(batch_size))


@torch.no_grad()
def predict(
    network: nn.Module,
    *inputs: Tensor,
    batch_size: int,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the output of a network in eval mode, float32 (N, ...) on the CPU.

    The network keeps its mode.

    inputs: the network's arguments, tensors (N, ...).
    prepare: turns a batch of each of them, on the network's device, into an argument.
    """
    device = device_of(network)
    batches = zip(*(part.split(batch_size) for part in inputs), strict=True)
    outputs = []
    with evaluating(network):
        for batch in progress(list(batches)):
            arguments = [part.to(device) for part in batch]
            if prepare:
                arguments = [prepare(part) for part in arguments]
            outputs.append(network(*arguments).float().cpu())
    return torch.cat(outputs)


def accuracy(logits: Tensor, labels: ArrayLike) -> float:
    """Return the share of logits (N, K) that are highest at their label.

    labels: (N,), as `as_labels` takes them.
    """
    number, num_classes = logits.shape
    correct = logits.argmax(1) == as_labels(labels, number, num_classes)
    return float(correct.double().mean())


def minimise(
    loss: Tensor, optimiser: torch.optim.Optimizer, max_norm: float = math.inf
) -> Tensor:
    """Make one step down a loss, a scalar; return the L2 norm of the gradient.

    Only the optimiser's weights get a gradient, unlike by `loss.backward()`.

    max_norm: the gradient of all weights is shortened to this length.

    Raises DivergenceError if the loss is NaN or infinite.
    """
    if not loss.isfinite():
        raise DivergenceError(
            f"expected a finite loss, got {loss.item()}; lower the learning rate."
        )
    weights = []
    for group in optimiser.param_groups:
        for weight in group["params"]:
            if weight.requires_grad:  # part of a network may be frozen
                weights.append(weight)
    optimiser.zero_grad()
    loss.backward(inputs=weights)
    length = nn.utils.clip_grad_norm_(weights, max_norm)
    optimiser.step()
    return length


def move_average(average: AveragedModel, network: nn.Module, decay: float) -> None:
    """Move a moving average of weights towards the network.

    The first steps are forgotten sooner than by the decay, because their weights are
    nearly random.
    """
    steps = int(average.n_averaged) + 1
    average.multi_avg_fn = get_ema_multi_avg_fn(min(decay, steps / (steps + 10)))
    average.update_parameters(network)


def make_one_cycle(
    learning_rates: Mapping[nn.Module, float], weight_decay: float, num_steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Make AdamW for parts of a network, and one cycle of the learning rate.

    As Smith and Topin (2019) propose, the rate of each part rises to its highest value,
    learning_rates[part], in a fifth of the steps, and falls in the others.
    """
    # In a single step OneCycleLR has come to the end, at a rate of nearly 0.
    check_counts(2, num_steps=num_steps)
    rates = list(learning_rates.values())
    check_between(0, math.inf, learning_rate=min(rates))
    groups = []
    for part in learning_rates:
        groups.append({"params": list(part.parameters())})
    optimiser = torch.optim.AdamW(groups, weight_decay=weight_decay)
    rise = 0.2
    if num_steps == 5:
        # A fifth is one step, and OneCycleLR would divide by one step less.
        rise = 0.4
    return optimiser, OneCycleLR(optimiser, rates, num_steps, pct_start=rise)
