"""A course for nbgrader, made from a report's chapters: exercises, a test behind each, questions to answer."""

import ast
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from dlapps.classroom import checks
from dlapps.core import paths
from dlapps.notebook.outline import used_names
from dlapps.notebook.prose import Prose
from dlapps.report import ReportError
from dlapps.report.sources import Source, find_sources, tags

_FILES = [Path(__file__).with_name(name) for name in ("README.md", "nbgrader_config.py")]
_BEGIN, _END = "### BEGIN SOLUTION", "### END SOLUTION"
# A grader passes no parameters; and where it runs, nobody says which notebook the kernel belongs to.
PARAMETERS = """import os

os.environ.setdefault("JPY_SESSION_NAME", "{name}.ipynb")  # whose prose shows numbers
profile = os.environ.get("DLAPPS_PROFILE", "quick")"""
WORDS = """Write what is missing where a cell says `YOUR CODE HERE` or `YOUR ANSWER HERE`, from top to bottom: later
cells need what earlier ones define, and until it is there they stop with an error. The cell below an exercise tests it,
and where something is wrong says what was expected, what came, and why it matters."""
TEST = """from dlapps.classroom import checks

checks.run(checks.{module}.{exercise}, globals())"""


def write_course(folder: Path) -> list[Path]:
    """Write the course's notebooks, nbgrader's settings and the teachers' page; returns the files.

    Raises ReportError where one of these is there already: nothing is replaced.
    """
    paths.require("class", "nbgrader")
    made = {source: make_notebook(source) for source in find_sources()}
    files = {path.name: path.read_text(encoding="utf-8") for path in _FILES}
    for source, notebook in made.items():
        if any("nbgrader" in cell.metadata for cell in notebook.cells):
            files[f"source/{source.name}/{source.name}.ipynb"] = nbformat.writes(notebook)
    if there := [name for name in files if (folder / name).exists()]:
        raise ReportError(f"expected a new folder, got one with {there[0]}; name another one.")
    return [paths.write_atomically(folder / name, text.encode()) for name, text in files.items()]


def make_notebook(source: Source) -> NotebookNode:
    """The chapter as nbgrader's source of an assignment; its answers and solutions are not in what students get."""
    notebook, prose = source.read(), Prose(source.path, source.number)
    asked: list[list[NotebookNode]] = []  # each question with the chapter's answers to it
    for cell in notebook.cells:
        if "question" in tags(cell):
            asked.append([cell])
        elif "answer" in tags(cell) and asked:
            asked[-1].append(cell)
    # Students answer where the chapter's last words on a question are, below what is measured for it.
    answered = {cells[-1].id: cells for cells in asked}
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        kinds = {*tags(cell)}
        if "exercise" in kinds:
            cells += _write_exercise(cell, checks.CHAPTERS.get(source.name))
        elif "parameters" in kinds:
            cells.append(new_code_cell(PARAMETERS.format(name=source.name), id=cell.id))
        elif "question" in kinds:
            cells.append(_write_question(cell))
        elif "answer" not in kinds:
            if cell.cell_type == "markdown":
                cell.source = prose.resolve(cell.source)
            cells.append(cell)
        if "title" in kinds:
            cells.append(new_markdown_cell(WORDS, id="how-to-work"))
        if cell.id in answered:
            cells.append(_write_answer(*answered[cell.id]))
    notebook.cells = cells
    return notebook


def _write_question(cell: NotebookNode) -> NotebookNode:
    """The question, its rubric to be seen by who marks it; a bonus is extra credit."""
    question = cell.metadata.question
    bonus = ", a bonus" * bool(question.get("bonus"))
    text = f"**Question {question['number']}** (points: {question.get('points', 1)}{bonus})\n\n{cell.source}\n\n"
    text += f"=== BEGIN MARK SCHEME ===\n\n{question.get('rubric', '')}\n\n=== END MARK SCHEME ==="
    return new_markdown_cell(text, id=cell.id, metadata=_marks(f"question-{question['number']}"))


def _write_answer(question: NotebookNode, *answers: NotebookNode) -> NotebookNode:
    facts = question.metadata.question
    name, points = f"answer-{facts['number']}", 0 if facts.get("bonus") else facts.get("points", 1)
    solution = "\n\n".join(answer.source for answer in answers)
    text = f"**Answer to question {facts['number']}**\n\n{_BEGIN}\n{solution}\n{_END}"
    return new_markdown_cell(text, id=name, metadata=_marks(name, points, solution=True))


def _write_exercise(cell: NotebookNode, module: ModuleType | None) -> Iterator[NotebookNode]:
    """What is asked for, the cell with its solution marked, and the test."""
    exercise, points = cell.id.replace("-", "_"), cell.metadata.exercise.get("points", 1)
    names, check = {*cell.metadata.exercise["defines"]}, getattr(module, exercise, None)
    if not check or not names <= used_names(cell.source)[1]:
        wanted = f"a check of the exercise {cell.id} in {checks.__name__}, and code that defines {', '.join(names)}"
        raise ReportError(f"expected {wanted}, got none; write it.")
    task = f"**Exercise** (points: {points}). {getdoc(check)}"
    yield new_markdown_cell(task, id=f"{cell.id}-task")
    code = mark_solution(cell.source, names)
    yield new_code_cell(code, id=cell.id, metadata=_marks(cell.id, solution=True))
    test = TEST.format(module=check.__module__.rpartition(".")[2], exercise=exercise)
    yield new_code_cell(test, id=f"{cell.id}-test", metadata=_marks(f"{cell.id}-test", points))


def _marks(name: str, points: float | None = None, solution: bool = False) -> dict[str, Any]:
    """nbgrader's metadata: of a cell that is restored before grading, unless it is a solution."""
    marks = {"schema_version": 3, "grade_id": name, "grade": points is not None, "task": False}
    marks |= {"solution": solution, "locked": not solution}
    return {"nbgrader": marks | ({} if points is None else {"points": points})}


def mark_solution(code: str, names: set[str]) -> str:
    """The code, with its statements from the first to the last that define one of the names as what students write."""
    lines, defining = code.split("\n"), []
    for statement in ast.parse(code).body:
        loaded, stored = used_names(ast.unparse(statement))
        # A loop may fill what was empty.
        if not names.isdisjoint(stored | loaded if isinstance(statement, ast.For) else stored):
            defining.append(statement)
    first, last = defining[0].lineno - 1, defining[-1].end_lineno
    return "\n".join([*lines[:first], _BEGIN, *lines[first:last], _END, *lines[last:]])
