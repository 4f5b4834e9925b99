"""The one loop of every training: epochs, history, monitor, and a checkpoint that its own training alone takes up."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from tqdm.auto import tqdm

from dlapps import DlappsError
from dlapps.metrics import as_tensor
from dlapps.weights import fingerprint, read_checked, write_checked

Augment = Callable[[Tensor, torch.Generator], Tensor]
Monitor = Callable[[nn.Module, int], Mapping[str, float]]
Named = Mapping[str, Any]


class TrainingError(DlappsError, ValueError):
    """A training that cannot go on, or a checkpoint of another one."""


class DivergenceError(TrainingError):
    """A loss or a gradient that is not finite."""


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
) -> History:
    """Train for a number of epochs; returns the history: what each epoch measured, by name.

    train_epoch(epoch) makes the updates and returns what it measured, a value or a list by name; monitor(network,
    epoch) returns more to write down, and decides nothing. The network is in eval mode when either is called, and
    afterwards, whatever fails. checkpoint: a file written after each epoch; where it is there already, training goes on
    from it, and ends as if it had not been stopped. parts: what changes besides the network: other networks,
    optimisers, schedules (by their state_dict), generators. identity: the settings, seed, functions and data that a
    checkpoint must share, beside the network as it is given. Raises TrainingError for a checkpoint of another run,
    DlappsError for a file that is none; either is left as it is.
    """
    parts, history, first = {"network": network, **parts}, History(), 0
    path = Path(checkpoint) if checkpoint else None
    if path:
        identity = {name: _describe(value) for name, value in {"network": network, **identity}.items()}
    if path and path.is_file():
        first, history = _load(path, identity, parts)
    epochs = range(first, num_epochs)
    network.eval()
    for epoch in tqdm(epochs, "epochs", total=num_epochs, initial=first, disable=not progress):
        try:
            measured = dict(train_epoch(epoch))
        finally:
            network.eval()
        if monitor:
            with torch.random.fork_rng():
                measured |= monitor(network, epoch)
        history.add(measured)
        if path:
            _save(path, identity, epoch + 1, history, parts)
    return history


def as_labels(labels: ArrayLike, number: int) -> Tensor:
    """Labels of `number` examples, a list, an array or a tensor of whole numbers, as int64 (N,) on the CPU.

    Raises ValueError for another number or type.
    """
    found = as_tensor(labels).cpu()
    if found.shape != (number,) or not number:
        raise ValueError(
            f"expected as many labels as inputs, got {len(found) if found.ndim == 1 else tuple(found.shape)} and "
            f"{number}; check the selection."
        )
    if found.is_floating_point() or found.dtype == torch.bool:
        raise ValueError(f"expected whole numbers as labels, got {found.dtype}; pass the numbers of the classes.")
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
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW on parts of a network, each with its highest rate, and the schedule that lets it rise for a fifth of the
    steps and fall in the others (Smith and Topin 2019)."""
    parts, rates = list(learning_rates), list(learning_rates.values())
    optimiser = torch.optim.AdamW([{"params": [*part.parameters()]} for part in parts], weight_decay=weight_decay)
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, num_steps, pct_start=0.2)


def _describe(value: Any) -> Any:
    """What tells data, networks and functions apart; a plain value as it is.

    Of a function: its name, with what `partial` sets of it and what it has from the function around it.
    """
    if isinstance(value, Tensor):
        return fingerprint(value)
    if isinstance(value, nn.Module):
        state = value.state_dict()
        return f"{value} {[*state]} {fingerprint(*state.values())}"
    if isinstance(value, functools.partial):
        return f"{_describe(value.func)} {value.args} {value.keywords}"
    if inspect.isfunction(value):
        return f"{value.__module__}.{value.__qualname__} {inspect.getclosurevars(value).nonlocals}"
    return repr(value) if callable(value) else value


def _save(path: Path, identity: Named, made: int, history: History, parts: Named) -> None:
    states = {
        name: part.get_state() if isinstance(part, torch.Generator) else part.state_dict()
        for name, part in parts.items()
    }
    content = {"identity": identity, "made": made, "history": dict(history), "states": states}
    write_checked(path, content)


def _load(path: Path, identity: Named, parts: Named) -> tuple[int, History]:
    """How many epochs are made and their history, once the parts are in the states that were kept."""
    content = read_checked(path, "checkpoint", ("identity", "made", "history", "states"))
    kept = content["identity"]
    differing = [name for name in kept | identity if kept.get(name) != identity.get(name)]
    if differing:
        raise TrainingError(
            f"expected a checkpoint of this run in {path}, got one that differs in {', '.join(differing)}; delete it, "
            "or name another file."
        )
    for name, part in parts.items():
        load = part.set_state if isinstance(part, torch.Generator) else part.load_state_dict
        load(content["states"][name])
    return content["made"], History(content["history"])
