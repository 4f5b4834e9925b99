"""What moved between two results.json: each printed number that another text stands for
now.
"""

import json
from pathlib import Path
from typing import Any

from labreport import LabreportError

# By chapter, cell and expression, or by headline: "text" and "value".
Results = dict[str, dict[str, Any]]


def read_results(path: Path) -> Results:
    """The numbers in a results.json by where they stand; LabreportError if the file is
    not a valid one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        results = {
            f"headline {name}": {**entry}
            for name, entry in content["headlines"].items()
        }
        for chapter, entry in content["chapters"].items():
            for number in entry["numbers"]:
                results[f"{chapter}, {number['cell']}, {number['expression']}"] = {
                    **number
                }
        return results
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        wanted, got = f"the results.json of a build in {path}", type(error).__name__
        raise LabreportError(
            f"expected {wanted}, got {got}; name another file."
        ) from error


def find_changes(old: Results, new: Results) -> dict[str, str]:
    """Every number that is not printed the same, by where it stands, as in "50% -> 60%
    (+0.1)".

    An interval, or a mean with its deviation, says whether the other mean lies outside
    of it.
    """
    changes = {}
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in old or name not in new:
            changes[name] = (
                f"new: {new[name]['text']}"
                if name in new
                else f"gone: {old[name]['text']}"
            )
        elif (before := old[name])["text"] != (after := new[name])["text"]:
            judged = _judge(before["value"], after["value"])
            changes[name] = f"{before['text']} -> {after['text']}{judged}"
    return changes


def is_time(name: str) -> bool:
    """Whether a number was measured with a clock: its expression ends in "seconds"."""
    return name.partition(":")[0].endswith("seconds")


def _judge(before: Any, after: Any) -> str:
    if all(isinstance(value, (int, float)) for value in (before, after)):
        return f" ({after - before:+.3g})"
    if (
        isinstance(before, dict)
        and isinstance(after, dict)
        and {"mean", "low", "high"} <= before.keys()
    ):
        where = (
            "within" if before["low"] <= after["mean"] <= before["high"] else "outside"
        )
        return f" ({after['mean'] - before['mean']:+.3g}, {where} the old interval)"
    return ""
