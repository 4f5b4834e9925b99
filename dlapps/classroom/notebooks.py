"""Notebooks of a class on disk: read without a traceback, written without a loss."""

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

from dlapps.classroom import ClassroomError
from dlapps.paths import write_atomically
from dlapps.report.sources import Source, find_sources
from dlapps.syntax import first_line

LARGEST = 100_000_000  # bytes of a notebook, its pictures among them


def read(path: Path) -> NotebookNode:
    """The notebook in a student's file; a ClassroomError when there is none or it is damaged."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"more than {LARGEST:,} bytes")
        return _with_ids(_parse(content))
    # A folder, a file of another kind, JSON that is no notebook: nbformat raises a different kind for each.
    except Exception as error:
        # The file's name alone, and no folder of the teacher's: students read the sentence too.
        got = f"{type(error).__name__}: {first_line(getattr(error, 'strerror', None) or str(error))}"
        raise ClassroomError(f"expected a notebook in {path.name}, got {got}; name another file.") from error


def write(path: Path, notebook: NotebookNode) -> None:
    """Replace a file by a notebook that was read back first; what fails leaves it as it was."""
    content = (nbformat.writes(notebook) + "\n").encode()
    if _parse(content) != notebook:
        raise ClassroomError(f"expected {path} as it was to be written, got another; keep to what JSON can hold.")
    write_atomically(path, content)


def _with_ids(notebook: NotebookNode) -> NotebookNode:
    """The notebook, its blanks with the ids of the edition where a tool that knows no ids has dropped them."""
    blanks = {str(cell.metadata.get("nbgrader", {}).get("grade_id", "")): cell for cell in reversed(notebook.cells)}
    if blanks.keys() & {cell.get("id") for cell in notebook.cells}:
        return notebook
    for name, cell in blanks.items():
        if re.fullmatch(r"[\w-]{1,64}", name):
            cell.id = name
    return notebook


def _parse(content: bytes) -> NotebookNode:
    notebook = nbformat.reads(content.decode(), as_version=4)
    nbformat.validate(notebook)
    upgraded = v4.upgrade(notebook)  # with an id for each cell
    upgraded.metadata.pop("orig_nbformat_minor", None)  # which is not written
    return upgraded


def find_chapter(notebook: NotebookNode, path: Path, default: Source | None = None) -> Source:
    """The project's chapter that a student's notebook belongs to, as written into it, else as the file is named.

    default: where nothing is written into it, whatever the file's name.
    """
    told = notebook.metadata.get("dlapps")
    if default and not told:
        return default
    name = told.get("chapter") if isinstance(told, dict) else path.stem
    if not re.match(r"\d+_\w", str(name)):
        raise ClassroomError(
            f"expected a notebook of a chapter, got {path.name}; take one that dlapps class student wrote, or give it "
            "its chapter's name, such as 1_transfer_learning.ipynb."
        )
    source = next((source for source in find_sources() if source.name == name), None)
    if source is None:
        raise ClassroomError(f"expected a chapter among the project's notebooks, got {name}; name another file.")
    return source
