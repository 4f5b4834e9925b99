"""The loop over epochs that every way of training here shares: history, a bar, stopping and going on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from dlapps import DlappsError
from dlapps.runtime import make_generator
from dlapps.weights import write_checked

History = dict[str, list[float]]
Monitor = Callable[[nn.Module, int], Mapping[str, float]]


class TrainingError(DlappsError, ValueError):
    """A loss that is not finite, or a checkpoint of another run."""


def check_loss(loss: torch.Tensor) -> None:
    if not loss.isfinite():
        raise TrainingError(f"expected a finite loss, got {loss.item()}; lower the learning rate.")


def run_epochs(
    train_epoch: Callable[[int, torch.Generator], Mapping[str, float]],
    network: nn.Module,
    parts: Mapping[str, Any],
    run: Mapping[str, object],
    seed: int,
    num_epochs: int,
    monitor: Monitor | None = None,
    checkpoint: Path | None = None,
    progress: bool = False,
) -> History:
    """Train for a number of epochs; returns the history: what each epoch measured, by name.

    train_epoch(epoch, generator) makes the updates and returns means; monitor(network, epoch), called in eval mode,
    returns more to write down, and decides nothing. checkpoint: a file written after each epoch; where it is there
    already, training goes on from it, and ends as if it had not been stopped, since the draws of an epoch depend on the
    seed and its number alone. parts: what has a state besides the network; run: settings that a checkpoint must share.
    """
    parts, identity, history, first = {"network": network, **parts}, repr((run, seed)), {}, 0
    if checkpoint and checkpoint.is_file():
        history = _load(checkpoint, parts, identity)
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
        if checkpoint:
            _save(checkpoint, parts, identity, history)
    network.eval()
    return history


def _save(path: Path, parts: Mapping[str, Any], identity: str, history: History) -> None:
    states = {name: part.state_dict() for name, part in parts.items()}
    write_checked(path, {"identity": identity, "history": history, "states": states})


def _load(path: Path, parts: Mapping[str, Any], identity: str) -> History:
    try:
        kept = torch.load(path, weights_only=True, map_location="cpu")
    # A truncated archive, a pickle with code in it, a text file: torch raises a different kind for each.
    except Exception as error:
        raise TrainingError(f"expected a checkpoint in {path}, got a file that does not load; delete it.") from error
    if kept["identity"] != identity:
        raise TrainingError(
            f"expected a checkpoint of the run {identity}, got one of {kept['identity']}; delete {path}, or name "
            "another file."
        )
    for name, part in parts.items():
        part.load_state_dict(kept["states"][name])
    return kept["history"]
