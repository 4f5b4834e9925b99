"""What the studies share: missing runs are made, and each is saved before the next."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from labreport import results
from labreport.report import find_report
from studies.sweeps import sweep

# What a study makes, by its place in the results file: ("runs", "paper", 0) is
# parts["runs"]["paper"]["0"].
Calls = dict[tuple[str | int, ...], Callable[[], Any]]


def bfloat16() -> torch.autocast:
    """Return a context in which trainings multiply in bfloat16, as the committed did.

    It keeps no weights in that format, since the next step changes them.
    """
    return torch.autocast("cpu", torch.bfloat16, cache_enabled=False)


def make_missing(
    name: str, calls: Calls, seeds: Sequence[int], **constants: object
) -> Path:
    """Make each call whose place in data/results/NAME.json is empty; return the file.

    A study that was stopped goes on where it was. What is taken out of the file is made
    again.

    constants: further parts of the file, of which `shares` is needed beside runs.
    """
    file = find_report().results / f"{name}.json"
    saved: dict[str, Any] = {}
    if file.is_file():
        saved = results.load(name).parts
        del saved["made"]
    parts = saved | constants
    if parts != saved:
        results.save(name, parts, seeds)
    missing = {place: call for place, call in calls.items() if is_empty(parts, place)}
    for place, entry in sweep(missing, name):
        inner = parts
        for key in place[:-1]:
            inner = inner.setdefault(str(key), {})
        inner[str(place[-1])] = entry
        results.save(name, parts, seeds)
    return file


def is_empty(parts: Mapping[str, Any], place: tuple[str | int, ...]) -> bool:
    """Return whether dictionaries of dictionaries have nothing at the place."""
    inner = parts
    for key in place:
        inner = inner.get(str(key), {})
    return inner == {}


def add_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Add arrays to data/results/NAME.npz, as several processes may do at once."""
    cache = find_report().cache
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{name}.lock"):
        saved = {}
        if (find_report().results / f"{name}.npz").is_file():
            saved = results.load_arrays(name)
        results.save_arrays(name, saved | dict(arrays))
