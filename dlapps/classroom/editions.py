"""Two directions: the student's edition of a chapter, with blanks, and the solution put back into it."""

import ast
import copy
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_raw_cell

from dlapps.classroom import ClassroomError
from dlapps.classroom.notebooks import find_chapter, read, write
from dlapps.classroom.points import find_exercises, find_questions
from dlapps.outline import walk_code
from dlapps.report.sources import Source, find_sources, tags

HOW_TO_CHECK = "# In a terminal, dlapps class check and the name of this file say what passes."
INVITATION = "*Your answer{}: what you claim, what you measured, why it is so, and where it ends.*"


def write_students(folder: Path, student: str = "") -> list[Path]:
    """The student's edition of every chapter in a folder; ClassroomError where it would replace what somebody wrote, or
    for a student whose name is no name of a folder."""
    if student in (".", "..") or re.search(r"[/\\]", student):
        raise ClassroomError(f"expected a student's name that can be a folder's, got {student!r}; leave out slashes.")
    editions = {folder / source.path.name: make_student(source, student) for source in find_sources()}
    for path, edition in editions.items():
        if path.exists() and read(path) != edition:
            raise ClassroomError(
                f"expected no {path}, or one that nobody wrote in, got another; move it away or name another --folder."
            )
    for path, edition in editions.items():
        write(path, edition)
    return list(editions)


def make_student(source: Source, student: str = "") -> NotebookNode:
    """A chapter without its answers (cells tagged "answer") and its exercises' code (code cells tagged "exercise").

    Blanks carry nbgrader's metadata, with their points, and those for code the names that they have to define. student:
    whose data a chapter draws where it has a line `student = ""` among its parameters.
    """
    notebook = source.read()
    edition, points = copy.deepcopy(notebook), _points(notebook.cells)
    exercises = {exercise.cell: exercise for exercise in find_exercises(notebook.cells)}
    for cell, blank in zip(edition.cells, _blanks(notebook.cells), strict=True):
        if blank is not None:
            cell.source = blank
            cell.metadata = NotebookNode(tags=tags(cell), nbgrader=_nbgrader(cell.id, points))
            if cell.id in exercises:
                made = exercises[cell.id]
                cell.metadata["exercise"] = {"defines": list(made.defines), "points": made.points}
            cell.pop("attachments", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "parameters" in tags(cell):
            cell.source = re.sub(
                '^student = ""$', lambda _: f"student = {json.dumps(student)}", cell.source, flags=re.M
            )
        cell.metadata.get("question", {}).pop("rubric", None)
    named = {"student": student} if student else {}
    edition.metadata["dlapps"] = {"chapter": source.name, "blanks": _identity(notebook), **named}
    return edition


def _points(cells: list[NotebookNode]) -> dict[str, float]:
    """By the ids of cells; of a question with several answers, the first has them."""
    answers = {question.cells[0]: question.points for question in find_questions(cells)}
    return answers | {exercise.cell: exercise.points for exercise in find_exercises(cells)}


def _nbgrader(cell: str, points: dict[str, float]) -> dict[str, Any]:
    """Metadata of a cell that is written by the student and graded by hand, in nbgrader's schema 3."""
    kind = {"grade": True, "solution": True, "locked": False, "task": False, "schema_version": 3}
    return {**kind, "grade_id": cell, "points": points.get(cell, 0)}


def put_back(path: Path) -> int:
    """Fill the blanks of a student's file from its chapter; returns how many cells changed. See `add_solution`."""
    student = read(path)
    solved, changed = add_solution(student, find_chapter(student, path).read())
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
    exercises = {exercise.cell: exercise for exercise in find_exercises(cells)}
    library = _library([cell.source for cell in cells if cell.cell_type == "code"])
    for cell in cells:
        blank = None
        if "question" in tags(cell):
            number = f" to question {cell.metadata.get('question', {}).get('number', '')}".rstrip()
        elif "answer" in tags(cell):
            blank = INVITATION.format(number)
        elif "exercise" in tags(cell) and cell.cell_type == "code":
            blank = _exercise(exercises[cell.id].defines, _used(cell.source, library))
            if cell.id == next(iter(exercises)):
                blank += f"\n{HOW_TO_CHECK}"
        blanks.append(blank)
    return blanks


def _exercise(names: Sequence[str], used: Sequence[str]) -> str:
    """A comment that says what the cell has to define, and what of the library the solution does it with."""
    listed = " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    what = f"define {listed}, as the text says" if names else "write what the text describes"
    return "\n".join([f"# Exercise: {what}.", *([f"# Of use: {', '.join(used)}."] if used else [])])


def _library(codes: Iterable[str]) -> set[str]:
    """The names that a chapter imports from dlapps, and `chapter`, whose profile says how long a training is."""
    imports = (node for code in codes for node in walk_code(code) if isinstance(node, ast.ImportFrom))
    own = (node.names for node in imports if (node.module or "").partition(".")[0] == "dlapps")
    return {"chapter", *(alias.asname or alias.name for names in own for alias in names)}


def _used(source: str, library: Collection[str]) -> list[str]:
    """What of the library some code uses, in its order, as dann.fit_dann and chapter.profile.num_samples."""
    found = re.findall(r"(?<![\w.\"'])[A-Za-z_]\w*(?:\.[a-z]\w*|\.[A-Z_]+\b)*", source)
    names = [name for name in found if name.partition(".")[0] in library]
    return list(dict.fromkeys(name for name in names if not re.match(r"chapter\.(?!profile)", name)))


def _identity(chapter: NotebookNode) -> str:
    """Which cells are blanks: changes when ids move to other cells, not when an answer is improved."""
    places = [(cell.id, "answer" if "answer" in tags(cell) else "exercise") for cell, _ in _with_blanks(chapter)]
    return hashlib.sha256(json.dumps([len(chapter.cells), places]).encode()).hexdigest()[:16]
