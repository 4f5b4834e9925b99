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
    published = _read_chapter(paths.report() / "results.json", chapter)
    for number in published.get("numbers", []):
        key = (number["cell"], number["expression"])
        beside[key] = f"published {number['text']}"
    variants = _read_chapter(paths.results() / "variants.json", chapter)
    for where, moving in variants.get("moving", {}).items():
        cell, _, expression = where.partition(" ")
        key = (cell, expression)
        text = "in {runs} runs {least} to {greatest}".format(**moving)
        if key in beside:
            text = f"{beside[key]}; {text}"
        beside[key] = text
    return beside


def _read_chapter(path: Path, chapter: str) -> dict[str, Any]:
    """Read what a file says about a chapter; empty without the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["chapters"][chapter]
    except (OSError, ValueError, KeyError):
        return {}
