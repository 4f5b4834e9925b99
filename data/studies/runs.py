"""What the studies share: runs that are missing are made, and each is saved before the
next one is taken.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import Any

from filelock import FileLock

from labreport import paths, results
from labreport.sweeps import keep, sweep

# Where an entry stands in a results file: ("runs", "paper", 0) is
# parts["runs"]["paper"]["0"].
Place = tuple[str | int, ...]
# The calls of a sweep, by their places or other keys.
Calls = dict[Any, Callable[[], Any]]


def cached(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A call for a sweep, its result stored in data/cache as `keep` does."""
    return partial(keep(function), *arguments)


def load_parts(name: str) -> dict[str, Any]:
    """What data/results/NAME.json holds, without "made"; nothing where there is no such
    file.
    """
    parts = (
        results.load(name).parts if (paths.results() / f"{name}.json").is_file() else {}
    )
    return {part: content for part, content in parts.items() if part != "made"}


def sweep_missing(
    name: str, calls: Mapping[Any, Callable]
) -> Iterator[tuple[Any, Any]]:
    """(place, result) of each call that has no entry in the results file yet, as
    `sweep` hands them over.
    """
    parts = load_parts(name)
    return sweep(
        {place: call for place, call in calls.items() if not _has(parts, place)}, name
    )


def make_missing(name: str, calls: Calls, seeds: Sequence[int]) -> None:
    """Make each call that has no entry yet, and write its result as its entry."""
    for place, entry in sweep_missing(name, calls):
        add_entries(name, {place: entry}, seeds)


def add_entries(name: str, entries: Mapping[Place, Any], seeds: Sequence[int]) -> None:
    """Write entries to the results file, under a lock: several processes may do so."""
    (paths.cache() / name).mkdir(parents=True, exist_ok=True)
    with FileLock(paths.cache() / name / ".lock"):
        results.save(name, nest(entries, load_parts(name)), seeds)


def nest(
    entries: Mapping[Place, Any], parts: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Dictionaries in dictionaries with each entry at its place; parts: what is there
    already.
    """
    parts = {} if parts is None else parts
    for (*outer, last), entry in entries.items():
        place = parts
        for key in outer:
            place = place.setdefault(str(key), {})
        place[str(last)] = entry
    return parts


def _has(parts: dict[str, Any], place: Place) -> bool:
    return reduce(lambda part, key: part.get(str(key), {}), place, parts) != {}


def rounded(scores: Mapping[str, Any], digits: int = 4) -> dict[str, float]:
    """Each score by its name, rounded."""
    return {name: round(float(score), digits) for name, score in scores.items()}
