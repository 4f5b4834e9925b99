"""What moved between two results.json: each number's old and new value, and whether seeds alone could explain it."""

import json
import math
from pathlib import Path
from typing import Any

from dlapps import DlappsError

Results = dict[str, Any]  # a number's name: its value


def read_results(path: Path) -> Results:
    """The values in a results.json by name; DlappsError if the file is not a valid one."""
    try:
        return {name: entry["value"] for name, entry in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise DlappsError(
            f"expected the results.json of a build in {path}, got {type(error).__name__}; name another file."
        ) from error


def find_changes(old: Results, new: Results) -> dict[str, str]:
    """Every number that is not the same in both, by name, as in "0.5 -> 0.6 (+0.1, beyond its spread over seeds)".

    A number x whose deviation over seeds is recorded as x_sd has moved beyond its spread if old and new differ by more
    than 2 sqrt(sd_old^2 + sd_new^2).
    """
    moved = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return {name: f"{_show(old.get(name))} -> {_show(new.get(name))} ({_judge(name, old, new)})" for name in moved}


def is_time(name: str) -> bool:
    """Whether a number was measured with a clock: its name ends in "seconds"."""
    return name.endswith("seconds")


def _judge(name: str, old: Results, new: Results) -> str:
    if name not in old or name not in new:
        return "new" if name in new else "gone"
    if is_time(name):
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
