"""A student's notebook run behind a fence, and what the checks say of it."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from dlapps import paths
from dlapps.classroom import ClassroomError, Verdict, fence
from dlapps.classroom.editions import INVITATION
from dlapps.classroom.notebooks import find_chapter, read
from dlapps.classroom.points import Exercise, Question, find_exercises, find_questions
from dlapps.report.sources import Source
from dlapps.syntax import first_line

LIMITS = fence.Limits()
_RUNS = (
    "A notebook is read from top to bottom, in a kernel that has just started. What only works in the order in which "
    "it was written can be repeated by nobody else."
)
_EXERCISES = "The comment in the cell says what it has to define. Later cells read those names, and stop without them."
_ANSWERS = "A number is no answer. Say what you claim, what you measured, why it is so, and where it ends."


def examine(path: Path, source: Source | None = None, limits: fence.Limits = LIMITS) -> list[Verdict]:
    """Run a notebook under the smoke profile and check what it made; the file itself is only read.

    source: the chapter, where the notebook does not say it. A cell that fails does not keep the others from running. A
    ClassroomError when the file holds no notebook of a chapter.
    """
    notebook = read(path)
    beside = sorted(path.parent.glob("*.ipynb"))  # perhaps of other students
    return look_at(notebook, find_chapter(notebook, path, source), limits, beside)


def look_at(
    notebook: NotebookNode, source: Source, limits: fence.Limits = LIMITS, hidden: Sequence[Path] = ()
) -> list[Verdict]:
    """The verdicts on a notebook as a submission of a chapter, whose own cells say what is asked for.

    hidden: what the notebook's code must not read, besides the solutions.
    """
    cells = source.read().cells
    exercises = find_exercises(cells)
    places = {cell.get("id"): str(place) for place, cell in enumerate(notebook.cells, start=1)}
    blank = [places.get(cell, f"{cell} (not there)") for cell in unwritten(notebook, exercises)]
    without = ", ".join(unanswered(notebook, find_questions(cells)))
    no_answer = f"expected an answer to every question, got none to {without}" if without else None
    no_code = f"expected code in every exercise, got none in cell {', '.join(blank)}" if blank else None
    task = {
        "name": source.name,
        "chapter": source.name,
        "exercises": {exercise.cell: exercise.defines for exercise in exercises},
        "notebook": _without_outputs(notebook),
        "limits": limits.of_process(),
        "cell_seconds": limits.cell_seconds,
        "assets": [str(paths.assets()), str(paths.user_cache() / "assets")],
    }
    solutions = [paths.notebooks(), paths.report(), paths.project() / ".git"]
    try:
        found = fence.run("dlapps.classroom.running", task, limits, [*solutions, *hidden])
        fault, verdicts = _word(found["fault"]), [_verdict(said) for said in found["verdicts"]]
    except ClassroomError as error:
        fault, verdicts = str(error), []
    except (TypeError, KeyError, AttributeError):
        fault, verdicts = "expected verdicts of the checks, got something else", []
    return [
        Verdict("runs from top to bottom", fault, _RUNS),
        Verdict("every question has an answer", no_answer, _ANSWERS),
        Verdict("every exercise has code", no_code, _EXERCISES),
        *verdicts,
    ]


def unanswered(notebook: NotebookNode, questions: Sequence[Question]) -> Iterator[str]:
    """The numbers of the questions to which nothing was written."""
    texts = {cell.get("id"): cell.source.strip() for cell in notebook.cells}
    for question in questions:
        given = [texts.get(cell, "") for cell in question.cells]
        if all(not text or text.startswith(INVITATION.split("{")[0]) for text in given):
            yield question.number


def unwritten(notebook: NotebookNode, exercises: Sequence[Exercise]) -> Iterator[str]:
    """The ids of the exercises that hold no code, or are not there."""
    codes = {cell.get("id"): cell.source for cell in notebook.cells if cell.cell_type == "code"}
    for exercise in exercises:
        lines = codes.get(exercise.cell, "").split("\n")
        if all(line.startswith("#") for line in lines if line.strip()):
            yield exercise.cell


def _without_outputs(notebook: NotebookNode) -> NotebookNode:
    bare = copy.deepcopy(notebook)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    bare.metadata = NotebookNode()  # a kernel, a widget's state: the student's
    return bare


def _verdict(said: dict[str, Any]) -> Verdict:
    return Verdict(str(said["name"]), _word(said["fault"]), str(said["why"]))


def _word(fault: Any) -> str | None:
    return None if fault is None else first_line(str(fault), 400)
