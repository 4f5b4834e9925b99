"""Tables in Markdown."""

import re
from collections.abc import Sequence
from typing import Any


def is_numeric(cell: str) -> bool:
    """Return whether a cell is 1,500 · 0.91 ± 0.02 · 91.0 % · −3.5 px · 2.1 ms · 1e-05
    or the like, or empty.
    """
    number = r"[-−+<>≈~]?\s?\d[\d,.\u202f]*(e[-+]?\d+)?"
    pattern = rf"|[-–—]|{number}(\s?[±×/]\s?{number})?(\s?(%|[a-zA-Zµ]{{1,3}}))?"
    return re.fullmatch(pattern, cell) is not None


def markdown_table(
    columns: Sequence[str], rows: Sequence[Any], align: Sequence[str]
) -> str:
    """Write a table in Markdown; rows: lists of text; align: "l" or "r" a column."""
    rule = ["---:" if side == "r" else ":---" for side in align]
    lines = []
    for row in [columns, rule, *rows]:
        cells = [re.sub(r"(?<!\\)\|", r"\|", cell) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
