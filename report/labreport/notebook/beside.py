"""What stands beside a live number: what was published, and what other runs had."""

import json
from pathlib import Path
from typing import Any

from labreport import paths


def read_beside(chapter: str) -> dict[tuple[str, str], str]:
    """By cell and expression what a chapter's number was elsewhere, as "published 27;
    in 12 runs 1 to 868".

    It comes from the committed report/results.json and data/results/variants.json;
    empty without them.
    """
    published = (
        _read(paths.report() / "results.json")
        .get("chapters", {})
        .get(chapter, {})
        .get("numbers", [])
    )
    said = {
        (number["cell"], number["expression"]): [f"published {number['text']}"]
        for number in published
    }
    moving = (
        _read(paths.results() / "variants.json")
        .get("chapters", {})
        .get(chapter, {})
        .get("moving", {})
    )
    for key, found in moving.items():
        cell, _, expression = key.partition(" ")
        range_ = f"in {found['runs']} runs {found['least']} to {found['greatest']}"
        said.setdefault((cell, expression), []).append(range_)
    return {place: "; ".join(texts) for place, texts in said.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
