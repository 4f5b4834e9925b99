"""Two directions: the student's edition of a chapter, with blanks, and the solution put back into it."""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import re
import symtable
from collections.abc import Iterable
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_raw_cell

from dlapps.classroom import ClassroomError
from dlapps.classroom.notebooks import chapter_name, read, write
from dlapps.report.sources import Source, find_sources, tags, walk_code

INVITATION = "*Your answer{}: what you claim, what you measured, why it is so, and where it ends.*"


def write_students(folder: Path) -> list[Path]:
    """The student's edition of every chapter in a folder; ClassroomError where it would replace what somebody wrote."""
    editions = {folder / source.path.name: make_student(source) for source in find_sources()}
    for path, edition in editions.items():
        if path.exists() and read(path) != edition:
            raise ClassroomError(
                f"expected no {path}, or one that nobody wrote in, got another; move it away or name another --folder."
            )
    for path, edition in editions.items():
        write(path, edition)
    return list(editions)


def make_student(source: Source) -> NotebookNode:
    """A chapter without its answers (cells tagged "answer") and its exercises' code (code cells tagged "exercise")."""
    notebook = source.read()
    student = copy.deepcopy(notebook)
    for cell, blank in zip(student.cells, _blanks(notebook.cells), strict=True):
        if blank is not None:
            cell.source, cell.metadata = blank, NotebookNode(tags=tags(cell))
            cell.pop("attachments", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    student.metadata["dlapps"] = {"chapter": source.name, "blanks": _identity(notebook)}
    return student


def put_back(path: Path) -> int:
    """Fill the blanks of a student's file from its chapter; returns how many cells changed. See `add_solution`."""
    student = read(path)
    name = chapter_name(student, path)
    source = next((source for source in find_sources() if source.name == name), None)
    if source is None:
        raise ClassroomError(f"expected a chapter among the project's notebooks, got {name}; name another file.")
    solved, changed = add_solution(student, source.read())
    if changed:
        write(path, solved)
    return changed


def add_solution(student: NotebookNode, chapter: NotebookNode) -> tuple[NotebookNode, int]:
    """The student's notebook with the chapter's answers and code, matched by cell id, and how many were put back.

    What the student wrote in a blank stays below the solution, in a cell tagged "student": text as it was, code as a
    raw cell, which does not run (its outputs go). A blank that was deleted comes back. Cells of the student's own and
    changes to other cells stay. Raises ClassroomError when the chapter has other blanks than the edition was made with.
    """
    if student.metadata.get("dlapps", {}).get("blanks") != _identity(chapter):
        raise ClassroomError(
            "expected a student's edition of the chapter as it is now, got one with other blanks; take the version of "
            "the project that the edition was made with, or make it anew."
        )
    blanks = {cell.id: (cell, blank) for cell, blank in _with_blanks(chapter)}
    if not blanks.keys() & {cell.get("id") for cell in student.cells}:
        raise ClassroomError("expected cells with the ids of the edition, got others; save the notebook with Jupyter.")
    solved, changed = copy.deepcopy(student), 0
    solved.cells = []
    for cell in student.cells:
        solution, blank = blanks.pop(cell.get("id"), (cell, None))
        solved.cells.append(copy.deepcopy(solution))
        if solution.source != cell.source:
            changed += 1
            if cell.source.strip() not in ("", blank):
                solved.cells.append(_own(cell))
    for solution, _ in blanks.values():
        solved.cells.insert(_place(solved.cells, chapter.cells, solution), copy.deepcopy(solution))
    return solved, changed + len(blanks)


def _own(cell: NotebookNode) -> NotebookNode:
    """What a student wrote, in a cell that does not run."""
    if cell.cell_type == "code":
        return new_raw_cell(cell.source, metadata={"tags": ["student"]})
    kept = new_markdown_cell(cell.source, metadata={"tags": ["student"]})
    if "attachments" in cell:
        kept.attachments = cell.attachments
    return kept


def _place(cells: list[NotebookNode], order: list[NotebookNode], deleted: NotebookNode) -> int:
    """Behind the nearest cell that comes before it in the chapter, and what a student wrote there."""
    before = [cell.id for cell in order[: order.index(deleted)]]
    place = max((i + 1 for i, cell in enumerate(cells) if cell.get("id") in before), default=0)
    while place < len(cells) and "student" in tags(cells[place]):
        place += 1
    return place


def _with_blanks(chapter: NotebookNode) -> Iterable[tuple[NotebookNode, str]]:
    pairs = zip(chapter.cells, _blanks(chapter.cells), strict=True)
    return ((cell, blank) for cell, blank in pairs if blank)


def _blanks(cells: list[NotebookNode]) -> list[str | None]:
    """What stands in place of each cell in the student's edition; None where the cell stays."""
    blanks, number = [], ""
    for place, cell in enumerate(cells):
        blank = None
        if "question" in tags(cell):
            number = f" to question {cell.metadata.get('question', {}).get('number', '')}".rstrip()
        elif "answer" in tags(cell):
            blank = INVITATION.format(number)
        elif "exercise" in tags(cell) and cell.cell_type == "code":
            later = [other.source for other in cells[place + 1 :] if other.cell_type == "code"]
            blank = _exercise(cell.source, later)
        blanks.append(blank)
    return blanks


def _exercise(source: str, later: list[str]) -> str:
    """A comment that says what the cell has to define: the names that later cells read."""
    defined = _defined(source)
    nodes = [node for code in later for node in walk_code(code) if isinstance(node, ast.Name)]
    read = {node.id for node in nodes if isinstance(node.ctx, ast.Load)}
    names = [name for name in defined if name in read] or defined
    listed = " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    what = f"define {listed}, as the text says" if names else "write what the text describes"
    return f"# Exercise: {what}."


def _defined(source: str) -> list[str]:
    try:
        symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    except SyntaxError:  # a magic
        return []
    bound = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    return [word for word in dict.fromkeys(re.findall(r"\w+", source)) if word in bound]


def _identity(chapter: NotebookNode) -> str:
    """Which cells are blanks: changes when ids move to other cells, not when an answer is improved."""
    places = [(cell.id, "answer" if "answer" in tags(cell) else "exercise") for cell, _ in _with_blanks(chapter)]
    return hashlib.sha256(json.dumps([len(chapter.cells), places]).encode()).hexdigest()[:16]
