"""The messages of a kernel to a build: what a cell's outputs have of the type MIME,
beside the text, Markdown, HTML or PNG that Jupyter shows.

Each message has its "kind":

- "chapter": what `Chapter` says of the run, its name, profile, seed and seeds, and
  `environment.describe`;
- "values": {"values": {expression: `Evaluated`}, "claims": {claim: `Verdict`}, "texts":
  {placeholder: {"text"} or {"error"}}}, the last for an exported page;
- "figure": its name, caption, and its PDF in base64;
- "table": its name, caption, and itself in Markdown;
- "caption": what Jupyter shows below a figure or a table;
- "headline": a number at a glance, as `Chapter.headline` describes it.
"""

import base64
from collections.abc import Iterator
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


def encode(content: bytes) -> str:
    """Return bytes in base64, as outputs have them."""
    return base64.b64encode(content).decode()
