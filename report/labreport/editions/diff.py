"""Compare two files results.json: which numbers are printed differently."""

import json
from pathlib import Path
from typing import Any

from labreport import expected

# By chapter, cell and expression, or by headline: "text" and "value".
Results = dict[str, dict[str, Any]]


def read_results(path: Path) -> Results:
    """Read the numbers of a results.json, by chapter, cell and expression.

    Raises LabreportError if the file is not valid.
    """
    results = {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name, headline in content["headlines"].items():
            results[f"headline {name}"] = headline
        for chapter, entry in content["chapters"].items():
            for number in entry["numbers"]:
                where = f"{chapter}, {number['cell']}, {number['expression']}"
                results[where] = number
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise expected(
            f"the results.json of a build in {path}",
            type(error).__name__,
            "name another file",
        ) from error
    return results


def find_changes(old: Results, new: Results) -> dict[str, str]:
    """Find every number that is printed differently, by chapter, cell and expression;
    the change is written as "50% -> 60% (+0.1)".

    For an interval it says whether the new mean lies within the old one.
    """
    changes = {}
    for name, after in new.items():
        if name not in old:
            changes[name] = f"new: {after['text']}"
            continue
        before = old[name]
        if before["text"] != after["text"]:
            moved = f"{before['text']} -> {after['text']}"
            changes[name] = moved + _judge(before["value"], after["value"])
    for name, before in old.items():
        if name not in new:
            changes[name] = f"gone: {before['text']}"
    return changes


def is_time(name: str) -> bool:
    """Return whether a number was measured with a clock: its expression ends in
    "seconds".
    """
    return name.partition(":")[0].endswith("seconds")


def _judge(before: Any, after: Any) -> str:
    """Say by how much a value changed, and whether it left the interval; empty for
    text.
    """
    if isinstance(before, (int, float)) and isinstance(after, (int, float)):
        return f" ({after - before:+.3g})"
    if isinstance(before, dict) and isinstance(after, dict):
        # Not every interval is one of a mean.
        if "mean" not in before or "low" not in before or "mean" not in after:
            return ""
        change = after["mean"] - before["mean"]
        is_within = before["low"] <= after["mean"] <= before["high"]
        where = "within" if is_within else "outside"
        return f" ({change:+.3g}, {where} the old interval)"
    return ""
