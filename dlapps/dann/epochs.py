"""The loop over epochs that every way of training here shares: history, a bar, stopping and going on."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from dlapps import DlappsError
from dlapps.runtime import make_generator
from dlapps.weights import fingerprint, fingerprint_network, write_checked

History = dict[str, list[float]]
Monitor = Callable[[nn.Module, int], Mapping[str, float]]
Identity = dict[str, object]


class TrainingError(DlappsError, ValueError):
    """A training that cannot go on, or a checkpoint of another run."""


class DivergenceError(TrainingError):
    """A loss that is not finite."""


def check_loss(loss: Tensor) -> None:
    """Raise DivergenceError for a loss that is NaN or infinite."""
    if not loss.isfinite():
        raise DivergenceError(f"expected a finite loss, got {loss.item()}; lower the learning rate.")


def run_epochs(
    train_epoch: Callable[[int, torch.Generator], Mapping[str, float]],
    network: nn.Module,
    parts: Mapping[str, Any],
    run: Mapping[str, object],
    seed: int,
    num_epochs: int,
    monitor: Monitor | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> History:
    """Train for a number of epochs; returns the history: what each epoch measured, by name.

    train_epoch(epoch, generator) makes the updates and returns means; monitor(network, epoch), called in eval mode,
    returns more to write down, and decides nothing. checkpoint: a file written after each epoch; where it is there
    already, training goes on from it, and ends as if it had not been stopped, since the draws of an epoch depend on the
    seed and its number alone. parts: what has a state besides the network; run: settings, functions and data that a
    checkpoint must share, beside the seed and the network as it is given. Raises TrainingError for a checkpoint of
    another run, which is left as it is.
    """
    parts, history, first = {"network": network, **parts}, {}, 0
    path, identity = (Path(checkpoint), _identify(run, seed, network)) if checkpoint else (None, {})
    if path and path.is_file():
        history = _load(path, parts, identity)
        first = len(next(iter(history.values())))
    for epoch in tqdm(range(first, num_epochs), "epochs", initial=first, total=num_epochs, disable=not progress):
        generator = make_generator(seed * 1_000_003 + epoch)
        network.train()
        # Dropout draws from the default generator.
        with torch.random.fork_rng():
            torch.manual_seed(seed * 1_000_003 + epoch)
            measured = dict(train_epoch(epoch, generator))
        network.eval()
        measured |= monitor(network, epoch) if monitor else {}
        for name, value in measured.items():
            history.setdefault(name, []).append(value)
        if path:
            _save(path, parts, identity, history)
    network.eval()
    return history


def _identify(run: Mapping[str, object], seed: int, network: nn.Module) -> Identity:
    """What a checkpoint has to agree with, by name: plain values, or what tells functions, data and networks apart."""
    identity = {"seed": seed, "network": fingerprint_network(network)}
    for name, value in run.items():
        value = fingerprint(value) if isinstance(value, Tensor) else value
        identity[name] = _describe(value) if callable(value) else value
    return identity


def _describe(function: Callable) -> str:
    """A function's name, with what `partial` sets of it and what it has from the function around it."""
    if isinstance(function, functools.partial):
        return f"{_describe(function.func)} {function.args} {function.keywords}"
    if inspect.isfunction(function):
        return f"{function.__module__}.{function.__qualname__} {inspect.getclosurevars(function).nonlocals}"
    return repr(function)


def _save(path: Path, parts: Mapping[str, Any], identity: Identity, history: History) -> None:
    states = {name: part.state_dict() for name, part in parts.items()}
    write_checked(path, {"identity": identity, "history": history, "states": states})


def _load(path: Path, parts: Mapping[str, Any], identity: Identity) -> History:
    try:
        kept = torch.load(path, weights_only=True, map_location="cpu")
    # A truncated archive, a pickle with code in it, a text file: torch raises a different kind for each.
    except Exception as error:
        raise TrainingError(f"expected a checkpoint in {path}, got a file that does not load; delete it.") from error
    is_ours = isinstance(kept, dict) and kept.keys() == {"identity", "history", "states"}
    if not is_ours or not isinstance(kept["identity"], dict):
        raise TrainingError(f"expected a checkpoint in {path}, got a file of another form; delete it.")
    differing = [name for name in kept["identity"] | identity if kept["identity"].get(name) != identity.get(name)]
    if differing:
        raise TrainingError(
            f"expected a checkpoint of this run in {path}, got one that differs in {', '.join(differing)}; delete it, "
            "or name another file."
        )
    for name, part in parts.items():
        part.load_state_dict(kept["states"][name])
    return kept["history"]
