"""The messages of a kernel to a build: what a cell's outputs have of the type MIME,
beside the text, Markdown, HTML or PNG that Jupyter shows.

Each message has its "kind":

- "chapter": what `Chapter` says of the run, its name, profile, seed and seeds, and
  `environment.describe`;
- "values": {"values": {placeholder: `Evaluated`}, "claims": {claim: `Verdict`}};
- "figure": its name, caption, and its PDF in base64;
- "table": its name, caption, columns, rows, and "l" or "r" for each column as "align";
- "caption": what Jupyter shows below a figure or a table;
- "headline": a number at a glance, as `Chapter.headline` describes it.
"""

import base64
from collections.abc import Iterator
from typing import Any

from nbformat import NotebookNode

MIME = "application/vnd.labreport+json"
FLOATS = {"figure": "fig", "table": "tab"}


def outputs(cell: NotebookNode, *kinds: str) -> Iterator[tuple[NotebookNode, Any]]:
    """Yield the outputs of a cell that carry a message of these kinds, each with its
    message.
    """
    for output in cell.get("outputs", []):
        message = output.get("data", {}).get(MIME)
        if message and message["kind"] in kinds:
            yield output, message


def places(cell: NotebookNode) -> Iterator[tuple[Any, Any]]:
    """Yield where a cell has texts, each as box and key: its source, rich outputs, and
    of figures and tables captions and cells, always in the same order.
    """
    yield cell, "source"
    for output in cell.get("outputs", ()):
        yield output, "text"
    for _, message in outputs(cell, *FLOATS):
        yield message, "caption"
        for row in [message.get("columns", []), *message.get("rows", [])]:
            for column in range(len(row)):
                yield row, column


def is_shown(output: NotebookNode) -> bool:
    """Return whether the report shows an output: a figure, a table, or what the
    chapter's code prints or displays.
    """
    message = output.get("data", {}).get(MIME)
    return message is None or message["kind"] in FLOATS


def encode(content: bytes) -> str:
    """Return bytes in base64, as outputs have them."""
    return base64.b64encode(content).decode()
