"""What an executed notebook has for the report: messages, pieces of Markdown, and the
cells and outputs that editions show.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from nbformat import NotebookNode

from labreport import LabreportError, first_line
from labreport.chapters import visibility
from labreport.notebook.messages import FLOATS, MIME


class Fragment(NamedTuple):
    """A piece of Markdown, which is `box[key]`.

    position: that of its cell, counted from 1. box: the cell, a message, or a row of a
    table. key: "source", "caption", or the number of a column.
    """

    position: int
    box: Any
    key: Any

    @property
    def text(self) -> str:
        """Return the Markdown as it is in the notebook."""
        return self.box[self.key]


def outputs(cell: NotebookNode, *kinds: str) -> Iterator[tuple[NotebookNode, Any]]:
    """Yield the outputs of a cell that carry a message of these kinds to the report, in
    their order, each with its message.
    """
    for output in cell.get("outputs", []):
        message = output.get("data", {}).get(MIME)
        if message and message["kind"] in kinds:
            yield output, message


def messages(notebook: NotebookNode, *kinds: str) -> Iterator[tuple[NotebookNode, Any]]:
    """Yield the messages of these kinds in a notebook, each with its cell."""
    for cell in notebook.cells:
        for _, message in outputs(cell, *kinds):
            yield cell, message


def fragments(notebook: NotebookNode) -> Iterator[Fragment]:
    """Find the Markdown of the report, in reading order: cells, captions and cells of
    tables.
    """
    for position, cell in enumerate(notebook.cells, start=1):
        shown = visibility(cell)
        if cell.cell_type == "markdown" and shown.source:
            yield Fragment(position, cell, "source")
        if not shown.outputs:
            continue
        for _, message in outputs(cell, *FLOATS):
            yield Fragment(position, message, "caption")
            for row in [message.get("columns", []), *message.get("rows", [])]:
                for column in range(len(row)):
                    yield Fragment(position, row, column)


@contextmanager
def locate_errors(chapter: str, fragment: Fragment) -> Iterator[None]:
    """Have a LabreportError of the block name the chapter, the position of the cell,
    and the text.
    """
    try:
        yield
    except LabreportError as error:
        start = first_line(fragment.text, 40)
        where = f"{chapter}, cell {fragment.position} ({start})"
        raise LabreportError(f"{where}: {error}") from error


def select_shown(notebook: NotebookNode) -> NotebookNode:
    """Select the cells and outputs that the report shows, in place.

    A cell of which the prose below has numbers stays, as a page's links lead to it.
    """
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        shown = visibility(cell)
        has_numbers = any(said["values"] for _, said in outputs(cell, "values"))
        if not shown.source:
            # As the templates of nbconvert read it.
            cell.metadata.transient = {"remove_source": True}
        if cell.cell_type == "code":
            kept = filter(is_shown, cell.outputs if shown.outputs else [])
            cell.outputs = list(kept)
        if any(shown) or has_numbers:
            cells.append(cell)
    notebook.cells = cells
    return notebook


def is_shown(output: NotebookNode) -> bool:
    """Return whether the report shows an output: a figure, a table, or what the
    chapter's code prints or displays.

    What libraries write to stderr is not shown.
    """
    message = output.get("data", {}).get(MIME)
    return message["kind"] in FLOATS if message else output.get("name") != "stderr"
