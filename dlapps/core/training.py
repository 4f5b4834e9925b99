"""The one loop of every training: epochs, history, monitor, and a checkpoint that its own training alone takes up."""

import functools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from tqdm.auto import tqdm

from dlapps import DlappsError, check_positive
from dlapps.core.images import check_levels
from dlapps.core.metrics import as_tensor
from dlapps.core.runtime import drawn_from, make_generator
from dlapps.core.weights import check_writable, describe_networks, fingerprint, read_checked, write_checked

Augment = Callable[[Tensor, torch.Generator], Tensor]
Monitor = Callable[[nn.Module, int], Mapping[str, float] | None]
Named = Mapping[str, Any]
# What `fit_*` functions pass on to `run_epochs`.
OPTIONS = ("monitor", "checkpoint", "progress", "extend")


class TrainingError(DlappsError, ValueError):
    """A training that cannot go on, or a checkpoint of another one."""


class DivergenceError(TrainingError):
    """A loss or a gradient that is not finite."""


class Stop(Exception):  # noqa: N818 - no error, as StopIteration is none.
    """Raised by a monitor to end the training after this epoch; what is passed, Stop(name=value), is written down."""

    def __init__(self, **measured: float) -> None:
        super().__init__(measured)


class History(dict[str, list[Any]]):
    """What a training measured, in order, by name: history["loss"], or history.loss."""

    def __getattr__(self, name: str) -> list[Any]:
        if name not in self:
            raise AttributeError(f"expected one of {', '.join(self)}, got {name!r}; choose one of them.")
        return self[name]

    def add(self, measured: Mapping[str, Any]) -> None:
        """Append each value to those of its name; of a list, all."""
        for name, value in measured.items():
            self.setdefault(name, []).extend(value if isinstance(value, list) else [value])


def run_epochs(
    train_epoch: Callable[[int], Mapping[str, Any]],
    network: nn.Module,
    parts: Named,
    identity: Named,
    num_epochs: int,
    monitor: Monitor | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
    extend: bool = False,
) -> History:
    """Train for a number of epochs; returns the history: what each epoch measured, by name.

    train_epoch(epoch) makes the updates and returns what it measured, a value or a list by name; monitor(network,
    epoch) may return more to write down, and may raise `Stop`, after which this returns. The network is in eval mode
    when either is called, and afterwards, whatever fails. checkpoint: a file written after each epoch; where it is
    there already, training goes on from it, and ends as if it had not been stopped. extend: go on to num_epochs from
    the checkpoint of a training of fewer epochs, or of one that `Stop` ended; what depends on the progress is then as
    in a training of num_epochs. parts: what changes besides the network: other networks, optimisers, schedules (by
    their state_dict), generators.

    identity: the settings, seed and data that a checkpoint must share, beside the networks: their layers as they print,
    the names and shapes of their state, and, except for extend, its values. Of a function only the name is compared,
    with what `functools.partial` binds: where the code of a function or module changes, or an attribute that a module
    does not print, name another file. Raises TrainingError for a checkpoint of another run, and where there is none to
    extend; DlappsError for a file that is none, and for one that cannot be written. Each is left as it is.
    """
    parts, history, first = {"network": network, **parts}, History(), 0
    path = Path(checkpoint) if checkpoint else None
    if extend and not (path and path.is_file()):
        raise TrainingError(f"expected the checkpoint of a training to extend, got {path}; train first, or name it.")
    images = [data for data in identity.values() if isinstance(data, Tensor) and data.dtype == torch.uint8]
    if images:
        check_levels(min(images, key=torch.max))
    if path:
        identity = {name: _describe(value) for name, value in identity.items()}
        identity |= describe_networks(part for part in parts.values() if isinstance(part, nn.Module))
    if path and path.is_file():
        first, stopped, history = _load(path, identity, parts, extend)
        first = num_epochs if stopped and not extend else first
    if path and first < num_epochs:
        check_writable(path, "checkpoint")
    epochs = range(first, num_epochs)
    network.eval()
    for epoch in tqdm(epochs, "epochs", total=num_epochs, initial=first, disable=not progress):
        try:
            measured = dict(train_epoch(epoch))
        finally:
            network.eval()
        more, stopped = _watch(monitor, network, epoch) if monitor else ({}, False)
        history.add({**measured, **more})
        if path:
            made = {"made": epoch + 1, "stopped": stopped, "history": dict(history)}
            write_checked(path, {"identity": identity, **made, "states": _states(parts)})
        if stopped:
            break
    return history


def _watch(monitor: Monitor, network: nn.Module, epoch: int) -> tuple[Mapping[str, float], bool]:
    """What a monitor measured, and whether it raised `Stop`."""
    with torch.random.fork_rng():
        try:
            return monitor(network, epoch) or {}, False
        except Stop as stop:
            return stop.args[0], True


def seeded(train_epoch: Callable[[int, torch.Generator], dict[str, Any]], seed: int) -> Callable[[int], dict[str, Any]]:
    """train_epoch(epoch, generator) whose draws, those of dropout too, depend on the seed and the epoch alone."""

    def train_seeded(epoch: int) -> dict[str, Any]:
        # Dropout draws from the default generator.
        with drawn_from(seed * 1_000_003 + epoch):
            return train_epoch(epoch, make_generator(seed * 1_000_003 + epoch))

    return train_seeded


def check_options(function: str, options: Collection[str]) -> None:
    """Raise TypeError, in the name of the function that was called, for an option that is not one of OPTIONS."""
    for name in options:
        if name not in OPTIONS:
            raise TypeError(
                f"{function}() got an unexpected keyword argument {name!r}; its options are {', '.join(OPTIONS)}."
            )


def as_labels(labels: ArrayLike, number: int, num_classes: int | None = None) -> Tensor:
    """Labels of `number` examples, a list, an array or a tensor of whole numbers, as int64 (N,) on the CPU.

    Raises ValueError for another number or type, and for one that is not in [0, num_classes).
    """
    found = as_tensor(labels).cpu()
    if found.shape != (number,) or not number:
        raise ValueError(
            f"expected as many labels as inputs, got {len(found) if found.ndim == 1 else tuple(found.shape)} and "
            f"{number}; check the selection."
        )
    if found.is_floating_point() or found.dtype == torch.bool:
        raise ValueError(f"expected whole numbers as labels, got {found.dtype}; pass the numbers of the classes.")
    if num_classes and not (found.amin() >= 0 and found.amax() < num_classes):
        raise ValueError(
            f"expected labels from 0 to {num_classes - 1}, got {int(found.amin())} to {int(found.amax())}; number the "
            "classes from 0, or make the networks of more classes."
        )
    return found.long()


def minimise(loss: Tensor, optimiser: torch.optim.Optimizer, max_norm: float = math.inf) -> None:
    """One step down a loss (a scalar), the gradient of all weights shortened to the length max_norm.

    Raises DivergenceError for a loss that is NaN or infinite.
    """
    if not loss.isfinite():
        raise DivergenceError(f"expected a finite loss, got {loss.item()}; lower the learning rate or check the input.")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if math.isfinite(max_norm):
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        nn.utils.clip_grad_norm_(weights, max_norm)
    optimiser.step()


def make_one_cycle(
    learning_rates: Mapping[nn.Module, float], weight_decay: float, num_steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """AdamW on parts of a network, each with its highest rate, and the schedule that lets it rise for a fifth of the
    steps and fall in the others (Smith and Topin 2019)."""
    parts, rates = list(learning_rates), list(learning_rates.values())
    check_positive(learning_rate=min(rates, default=1))
    optimiser = torch.optim.AdamW([{"params": [*part.parameters()]} for part in parts], weight_decay=weight_decay)
    # Of five steps a fifth is one, and the schedule would divide by the number of steps less one.
    return optimiser, OneCycleLR(optimiser, rates, num_steps, pct_start=0.2 if num_steps != 5 else 0.4)


def _describe(value: Any) -> str:
    """Data by their hash, a function by its name and what `partial` binds, settings as they print."""
    if isinstance(value, Tensor):
        return fingerprint(value)
    if isinstance(value, functools.partial):
        return " ".join(map(_describe, (value.func, *value.args, *value.keywords, *value.keywords.values())))
    if callable(value) and not is_dataclass(value):
        named = value if hasattr(value, "__qualname__") else type(value)
        return f"{named.__module__}.{named.__qualname__}"
    return repr(value)


def _states(parts: Named) -> dict[str, Any]:
    return {
        name: part.get_state() if isinstance(part, torch.Generator) else part.state_dict()
        for name, part in parts.items()
    }


def _load(path: Path, identity: Named, parts: Named, extend: bool) -> tuple[int, bool, History]:
    """How many epochs are made, whether they were stopped, and their history; the parts get the states that were
    kept."""
    content = read_checked(path, "checkpoint", ("identity", "made", "stopped", "history", "states"))
    kept, free = content["identity"], {"num_epochs", "weights"} if extend else set()
    compared = (name for name in kept | identity if name not in free)
    differing = [name for name in compared if kept.get(name) != identity.get(name)]
    if differing:
        raise TrainingError(
            f"expected a checkpoint of this run in {path}, got one that differs in {', '.join(differing)}; delete it, "
            "or name another file" + (", or extend it." if differing == ["num_epochs"] else ".")
        )
    for name, part in parts.items():
        state = content["states"][name]
        if isinstance(part, torch.Generator):
            part.set_state(state)
        elif isinstance(part, LRScheduler):
            # The rest follows from its settings; a training that is extended has a longer cycle than the state's.
            part.load_state_dict({"last_epoch": state["last_epoch"]})
        else:
            part.load_state_dict(state)
    return content["made"], content["stopped"], History(content["history"])
