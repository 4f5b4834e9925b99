"""The notebooks of a report: how one is read, and the numbers of the chapters."""

import re
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

from labreport import LabreportError, expected, first_line, paths


def read_notebook(path: Path) -> NotebookNode:
    """Read the notebook in that file. Raises LabreportError if it is not valid."""
    try:
        # nbformat.reads would only log what is invalid.
        notebook = nbformat.reader.reads(path.read_text(encoding="utf-8"))
        if notebook.nbformat != 4:
            raise ValueError(f"nbformat {notebook.nbformat} instead of 4")
        _name_cells(notebook)
        nbformat.validate(notebook)
    except (
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        nbformat.ValidationError,
    ) as error:
        got = first_line(str(error))
        raise expected(
            f"a notebook in {path}", got, "restore it, or move it away"
        ) from error
    return notebook


def _name_cells(notebook: NotebookNode) -> None:
    """Give cells their positions for ids, as formats before 4.5 have none."""
    if notebook.nbformat_minor >= 5:
        return
    notebook.nbformat_minor = 5
    for position, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"cell-{position}"


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags in a cell's metadata."""
    return cell.metadata.get("tags", [])


class Visibility(NamedTuple):
    """Whether the report shows a cell's source, and what it prints or displays."""

    source: bool
    outputs: bool


def visibility(cell: NotebookNode) -> Visibility:
    """Return what of a cell the report shows, by its tags."""
    hiding = set(tags(cell))
    if cell.cell_type == "raw" or hiding & {"remove-cell", "parameters"}:
        return Visibility(source=False, outputs=False)
    return Visibility("remove-input" not in hiding, "remove-output" not in hiding)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def find_chapters() -> dict[str, str]:
    """Map the stems of the notebooks to their numbers, in the order of the numbers:
    chapters "1", "2", then appendices "A", "B".

    A chapter's number is the one that its name begins with, if the names of all
    chapters begin with one. Otherwise it is the position in the order of names. A
    notebook is an appendix if its first cell has the tag "appendix".
    """
    names = []
    appendices = []
    for path in sorted(paths.notebooks().glob("[!.]*.ipynb")):
        if _is_appendix(path):
            appendices.append(path.stem)
        else:
            names.append(path.stem)
    are_numbered = all(re.match("[0-9]", name) for name in names)
    positions = {}
    for index, name in enumerate(names, start=1):
        positions[name] = _leading_number(name) if are_numbered else index
    numbers = {}
    for name in sorted(positions, key=positions.__getitem__):
        numbers[name] = str(positions[name])
    for index, name in enumerate(appendices):
        numbers[name] = chr(ord("A") + index)
    return numbers


def _is_appendix(path: Path) -> bool:
    try:
        cells = read_notebook(path).cells
    except LabreportError:
        return False  # it is no notebook, which a build says
    return cells != [] and "appendix" in tags(cells[0])


def chapter_number(name: str) -> str:
    """Return the number of the notebook with that stem.

    For a notebook that does not belong to the report it is the number that its name
    begins with, or 1.
    """
    return find_chapters().get(name, str(_leading_number(name)))


def _leading_number(name: str) -> int:
    digits = re.match("[0-9]+", name)
    return int(digits[0]) if digits else 1


def chapter_words(number: str) -> str:
    """Return the words for the notebook of that number: "Chapter 2" or "Appendix A"."""
    kind = "Appendix" if number.isalpha() else "Chapter"
    return f"{kind} {number}"
