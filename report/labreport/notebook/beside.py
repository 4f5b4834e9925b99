"""What is shown beside a live number: what was published, and what other runs gave."""

import json
from pathlib import Path
from typing import Any

from labreport import paths


def read_beside(chapter: str) -> dict[tuple[str, str], str]:
    """Read what a chapter's numbers were elsewhere, such as "published 27; in 12 runs 1
    to 868", by cell and expression.

    It comes from the committed report/results.json and data/results/variants.json;
    empty without them.
    """
    beside: dict[tuple[str, str], str] = {}
    for number in _read(paths.report() / "results.json", chapter, "numbers", []):
        key = (number["cell"], number["expression"])
        beside[key] = f"published {number['text']}"
    variants = _read(paths.results() / "variants.json", chapter, "moving", {})
    for key, moving in variants.items():
        cell, _, expression = key.partition(" ")
        text = f"in {moving['runs']} runs {moving['least']} to {moving['greatest']}"
        if (cell, expression) in beside:
            text = f"{beside[cell, expression]}; {text}"
        beside[cell, expression] = text
    return beside


def _read(path: Path, chapter: str, part: str, absent: Any) -> Any:
    """Read a part of what a file says about a chapter."""
    try:
        chapters = json.loads(path.read_text(encoding="utf-8"))["chapters"]
    except (OSError, ValueError, KeyError):
        return absent
    return chapters.get(chapter, {}).get(part, absent)
