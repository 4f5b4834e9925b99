"""What the studies share: missing runs are made, and each is saved before the next."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from filelock import FileLock

from labreport import results
from labreport.report import find_report
from studies.sweeps import keep, sweep

# Where an entry stands in a results file: ("runs", "paper", 0) is
# parts["runs"]["paper"]["0"].
Place = tuple[str | int, ...]
# The calls of a sweep, by their places or other keys.
Calls = dict[Any, Callable[[], Any]]


def cached(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A call for a sweep, with its result stored in data/cache by `keep`."""
    return partial(keep(function), *arguments)


def bfloat16() -> torch.autocast:
    """Return a context in which trainings multiply in bfloat16, as the committed did.

    It keeps no weights in that format, since the next step changes them.
    """
    return torch.autocast("cpu", torch.bfloat16, cache_enabled=False)


def load_parts(name: str) -> dict[str, Any]:
    """The parts of data/results/NAME.json but "made"; none if there is no such file."""
    if not (find_report().results / f"{name}.json").is_file():
        return {}
    parts = dict(results.load(name).parts)
    parts.pop("made", None)
    return parts


def sweep_missing(
    name: str, calls: Mapping[Any, Callable]
) -> Iterator[tuple[Any, Any]]:
    """Make the calls that have no entry in the results file yet.

    Yields (place, result) as `sweep` does.
    """
    parts = load_parts(name)
    missing = {place: call for place, call in calls.items() if not _has(parts, place)}
    return sweep(missing, name)


def make_missing(name: str, calls: Calls, seeds: Sequence[int]) -> None:
    """Make each call that has no entry yet, and write its result as its entry."""
    for place, entry in sweep_missing(name, calls):
        add_entries(name, {place: entry}, seeds)


def add_entries(name: str, entries: Mapping[Place, Any], seeds: Sequence[int]) -> None:
    """Write entries to the results file, under a lock: several processes may do so."""
    folder = find_report().cache / name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        parts = load_parts(name)
        nest(entries, parts)
        results.save(name, parts, seeds)


def nest(
    entries: Mapping[Place, Any], parts: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Put each entry at its place in dictionaries of dictionaries.

    parts: those to add to, by default new ones. Returns them.
    """
    if parts is None:
        parts = {}
    for place, entry in entries.items():
        inner = parts
        for key in place[:-1]:
            inner = inner.setdefault(str(key), {})
        inner[str(place[-1])] = entry
    return parts


def _has(parts: dict[str, Any], place: Place) -> bool:
    inner = parts
    for key in place:
        inner = inner.get(str(key), {})
    return inner != {}
