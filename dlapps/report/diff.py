"""What moved between two results.json: each number's old and new value, and whether seeds alone could explain it."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlapps import DlappsError

Results = dict[str, Any]  # a number's name: its value


@dataclass(frozen=True)
class Change:
    """A number of two builds: `verdict` says what its change means, `is_time` that it was measured with a clock."""

    name: str
    old: Any
    new: Any
    verdict: str
    is_time: bool

    @property
    def line(self) -> str:
        """The change as one line of text."""
        return f"{self.name}: {_show(self.old)} -> {_show(self.new)} ({self.verdict})"


def read_results(path: Path) -> Results:
    """The values in a results.json by name; DlappsError for a file that is none."""
    try:
        return {name: entry["value"] for name, entry in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise DlappsError(
            f"expected the results.json of a build in {path}, got {type(error).__name__}; name another file."
        ) from error


def find_changes(old: Results, new: Results) -> Iterator[Change]:
    """Every number that is not the same in both, by name.

    A number x whose deviation over seeds is recorded as x_sd has moved beyond its spread if old and new differ by more
    than 2 sqrt(sd_old^2 + sd_new^2). A name that ends in "seconds" is a time.
    """
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before != after:
            yield Change(name, before, after, _judge(name, old, new), name.endswith("seconds"))


def _judge(name: str, old: Results, new: Results) -> str:
    if name not in old or name not in new:
        return "new" if name in new else "gone"
    if name.endswith("seconds"):
        return "a time"
    if not all(_is_number(values[name]) for values in (old, new)):
        return "words"
    moved = f"{new[name] - old[name]:+.3g}"
    spread = f"{name}_sd"
    if spread not in old or spread not in new:
        return f"{moved}, no spread recorded"
    within = abs(new[name] - old[name]) <= 2 * math.hypot(old[spread], new[spread])
    return f"{moved}, {'within' if within else 'beyond'} its spread over seeds"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _show(value: Any) -> str:
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else f"{value}"
