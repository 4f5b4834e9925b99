"""A student's notebook run behind a fence, and what the checks say of it."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from dlapps import paths
from dlapps.classroom import ClassroomError, Verdict, fence
from dlapps.classroom.checks import CHAPTERS, asks_for
from dlapps.classroom.editions import INVITATION
from dlapps.classroom.notebooks import find_chapter, read
from dlapps.classroom.points import find_exercises, find_questions, group_cells
from dlapps.report.sources import Source
from dlapps.syntax import first_line

LIMITS = fence.Limits()
_RUNS = (
    "A notebook is read from top to bottom, in a kernel that has just started. What only works in the order in which "
    "it was written can be repeated by nobody else."
)
_EXERCISES = "The comment in the cell says what it has to define. Later cells read those names, and stop without them."
_INVITED = re.compile(re.escape(INVITATION).replace(r"\{\}", ".*?"))
_ANSWERS = "A number is no answer. Say what you claim, what you measured, why it is so, and where it ends."


def examine(path: Path, source: Source | None = None, limits: fence.Limits = LIMITS) -> list[Verdict]:
    """Run a notebook under the smoke profile and check what it made; the file itself is only read.

    source: the chapter, where the notebook does not say it. Where there is no report, and so no chapter, the edition
    says itself what is asked for. A cell that fails does not keep the others from running. A ClassroomError when the
    file holds no notebook of a chapter.
    """
    notebook = read(path)
    beside = [path.resolve().parent]  # perhaps with those of other students
    told = notebook.metadata.get("dlapps")
    if isinstance(told, dict) and told.get("chapter") in CHAPTERS and not paths.has_report():
        return look_at(notebook, told["chapter"], notebook.cells, limits, beside)
    source = find_chapter(notebook, path, source)
    return look_at(notebook, source.name, source.read().cells, limits, beside)


def look_at(
    notebook: NotebookNode,
    chapter: str,
    cells: Sequence[NotebookNode],
    limits: fence.Limits = LIMITS,
    hidden: Sequence[Path] = (),
) -> list[Verdict]:
    """The verdicts on a notebook as a submission of a chapter, whose own cells say what is asked for.

    hidden: what the notebook's code must not read, besides the report's folder, where the solutions are.
    """
    exercises = {exercise.cell: exercise.defines for exercise in find_exercises(cells)}
    places = {cell.get("id"): str(place) for place, cell in enumerate(notebook.cells, start=1)}
    empty = list(unwritten(notebook, cells))
    blank = [places.get(cell, f"{cell} (not there)") for cell in empty]
    without = ", ".join(unanswered(notebook, cells))
    no_answer = f"expected an answer to every question, got none to {without}" if without else None
    no_code = f"expected code in every exercise, got none in cell {', '.join(blank)}" if blank else None
    task = {
        "name": chapter,
        "chapter": chapter,
        "exercises": exercises,
        "notebook": _without_outputs(notebook),
        "own": [cell.get("id", "") for group in group_cells(notebook.cells, cells) for cell in group[1:]],
        "limits": limits.of_process(),
        "cell_seconds": limits.cell_seconds,
        "assets": [str(paths.assets().resolve()), str(paths.user_cache() / "assets")],
    }
    try:
        found = fence.run("dlapps.classroom.running", task, limits, [paths.project(), *hidden])
        fault, verdicts = _word(found["fault"]), [_verdict(said) for said in found["verdicts"]]
    except ClassroomError as error:
        fault, verdicts = str(error), []
    except (TypeError, KeyError, AttributeError):
        fault, verdicts = "expected verdicts of the checks, got something else", []
    return [
        Verdict("runs from top to bottom", fault, _RUNS),
        Verdict("every question has an answer", no_answer, _ANSWERS),
        Verdict("every exercise has code", no_code, _EXERCISES),
        *_without_empty(verdicts, chapter, {cell: exercises[cell] for cell in empty}),
    ]


def unanswered(notebook: NotebookNode, chapter: Sequence[NotebookNode]) -> Iterator[str]:
    """The numbers of the questions to which nothing was written, in their cells or in Markdown cells added below."""
    groups = {group[0].get("id"): group for group in group_cells(notebook.cells, chapter)}
    for question in find_questions(chapter):
        given = groups.get(question.cell, [])[1:]
        given += [cell for answer in question.cells for cell in groups.get(answer, [])]
        texts = (_INVITED.sub("", cell.source).strip() for cell in given if cell.cell_type == "markdown")
        if not any(texts):
            yield question.number


def unwritten(notebook: NotebookNode, chapter: Sequence[NotebookNode]) -> Iterator[str]:
    """The ids of the exercises that hold no code, in their cells or in those added below, or are not there."""
    groups = {group[0].get("id"): group for group in group_cells(notebook.cells, chapter)}
    for exercise in find_exercises(chapter):
        codes = [cell.source for cell in groups.get(exercise.cell, []) if cell.cell_type == "code"]
        lines = "\n".join(codes).split("\n")
        if all(line.startswith("#") for line in lines if line.strip()):
            yield exercise.cell


def _without_empty(verdicts: Iterable[Verdict], chapter: str, empty: Mapping[str, Sequence[str]]) -> Iterator[Verdict]:
    """Those that say more of exercises without code than that there is none."""
    names = {name for defines in empty.values() for name in defines}
    told = {asks_for(cell) for cell in empty}
    told |= {check.title for check in CHAPTERS.get(chapter, ()) if not names.isdisjoint(check.names.values())}
    return (verdict for verdict in verdicts if not verdict.fault or verdict.name not in told)


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
