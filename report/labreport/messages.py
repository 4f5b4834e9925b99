"""The messages of a kernel to a build: what a cell's outputs have of the type MIME,
beside the text, Markdown, HTML or PNG that Jupyter shows.

Each message has its "kind":

- "chapter": what `Chapter` says of the run, its name, profile and seed, and
  `environment.describe`;
- "values": {"values": {expression: `Evaluated`}, "claims": {claim: `Evaluated`},
  "texts": {placeholder: {"text"} or {"error"}}}, the last for an exported page;
- "figure": its name, caption, and its PDF in base64;
- "table": its name, caption, and itself in Markdown;
- "caption": what Jupyter shows below a figure or a table;
- "headline": a number at a glance, as `Chapter.headline` describes it.
"""

import base64
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

MIME = "application/vnd.labreport+json"
FLOATS = {"figure": "fig", "table": "tab"}


def messages(cell: NotebookNode, kind: str) -> Iterator[Any]:
    """Yield the messages of a kind in the outputs of a cell."""
    for output in cell.get("outputs", []):
        message = output.get("data", {}).get(MIME)
        if message and message["kind"] == kind:
            yield message


def merge_outputs(
    cells: Sequence[NotebookNode], executed: Sequence[NotebookNode]
) -> list[NotebookNode]:
    """Return cells with the outputs of the same code, which ran between other prose."""
    ran = [cell.outputs for cell in executed if cell.cell_type == "code"]
    merged: list[NotebookNode] = []
    for cell in cells:
        copy = NotebookNode(cell)
        if cell.cell_type == "code" and ran:
            copy.outputs = ran.pop(0)
        merged.append(copy)
    return merged


@dataclass
class Known:
    """What a run said of expressions and claims: their values, whether they hold, the
    texts of placeholders, and what went wrong.
    """

    values: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, bool] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def read_values(cells: Sequence[NotebookNode]) -> dict[str, Known]:
    """Read for each cell, by its id, what is known to its prose: what the first cell
    said that had a value, from the code above it to the end.
    """
    known = Known()
    found: dict[str, Known] = {}
    waiting: list[str] = []
    for place, cell in reversed(list(enumerate(cells))):
        waiting.append(cell.id)
        if cell.cell_type != "code" and place > 0:
            continue
        for message in messages(cell, "values"):
            known.values |= message["values"]
            for said, answer in (message["texts"] | message["claims"]).items():
                if "holds" in answer:
                    known.claims[said] = answer["holds"]
                elif "text" in answer:
                    known.texts[said] = answer["text"]
                else:
                    known.errors[said] = answer["error"]
        for below in waiting:
            found[below] = deepcopy(known)
        waiting.clear()
    return found


def encode(content: bytes) -> str:
    """Return bytes in base64, as outputs have them."""
    return base64.b64encode(content).decode()
