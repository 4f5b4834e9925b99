"""A course for nbgrader, made from a report's chapters: exercises, a test behind each,
questions to answer.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from labreport import paths
from labreport.editions import ReportError
from labreport.editions.sources import Source, code_cells, find_sources, tags
from labreport.editions.staleness import find_named_results
from labreport.notebook.outline import used_names
from labreport.notebook.prose import Prose

_FILES = [
    Path(__file__).with_name(name) for name in ("README.md", "nbgrader_config.py")
]
_BEGIN, _END = "### BEGIN SOLUTION", "### END SOLUTION"
# A grader passes no parameters; and where it runs, nobody says which notebook the
# kernel belongs to.
PARAMETERS = """import os

os.environ.setdefault("JPY_SESSION_NAME", "{name}.ipynb")  # whose prose shows numbers
profile = os.environ.get("LABREPORT_PROFILE", "quick")
seed = 0"""
WORDS = """Write what is missing where a cell says `YOUR CODE HERE` or `YOUR ANSWER HERE`, from top to bottom: later
cells need what earlier ones define, and until it is there they stop with an error. The cell below an exercise tests it,
and where something is wrong says what was expected, what came, and why it matters."""
TEST = """from checks import {module}, run

run({module}.{exercise}, globals())"""


def write_course(folder: Path) -> list[Path]:
    """Write the course's notebooks, nbgrader's settings and the teachers' page; returns
    the files.

    Beside a notebook lies what tests it and what it reads, so that grading needs no
    report. Raises ReportError where one of these files is there already: nothing is
    replaced.
    """
    paths.require("class", "nbgrader")
    made = {source: make_notebook(source) for source in find_sources()}
    files = {path.name: path.read_bytes() for path in _FILES}
    for source, notebook in made.items():
        if any("nbgrader" in cell.metadata for cell in notebook.cells):
            assignment = f"source/{source.name}"
            files[f"{assignment}/{source.name}.ipynb"] = nbformat.writes(
                notebook
            ).encode()
            for name, path in find_files_beside(source).items():
                files[f"{assignment}/{name}"] = path.read_bytes()
    if there := [name for name in files if (folder / name).exists()]:
        raise ReportError(
            f"expected a new folder, got one with {there[0]}; name another one."
        )
    return [
        paths.write_atomically(folder / name, content)
        for name, content in files.items()
    ]


def find_checks(source: Source) -> Path:
    """The module that tests a chapter's exercises: of 2_name.ipynb checks/name.py,
    beside the notebooks.
    """
    return paths.notebooks() / "checks" / f"{source.name.lstrip('0123456789_ ')}.py"


def find_files_beside(source: Source) -> dict[str, Path]:
    """What a chapter's notebook needs beside it, by its place there: its checks, the
    results that it names, profiles and bibliography.
    """
    checks, modules = find_checks(source), paths.notebooks() / "checks"
    others = {find_checks(other) for other in find_sources()} - {checks}
    found = {
        f"checks/{path.name}": path
        for path in modules.glob("*.py")
        if path not in others
    }
    for path in find_named_results(cell.source for cell in code_cells(source.read())):
        if path.is_relative_to(paths.results()):
            found[f"data/results/{path.name}"] = path
    for path in (paths.report() / "profiles.toml", paths.report() / "references.bib"):
        if path.is_file():
            found[f"report/{path.name}"] = path
    return found


def make_notebook(source: Source) -> NotebookNode:
    """The chapter as nbgrader's source of an assignment; its answers and solutions are
    not in what students get.
    """
    notebook, prose = source.read(), Prose(source.path, source.number)
    tasks = read_tasks(find_checks(source))
    asked: list[
        list[NotebookNode]
    ] = []  # each question with the chapter's answers to it
    for cell in notebook.cells:
        if "question" in tags(cell):
            asked.append([cell])
        elif "answer" in tags(cell) and asked:
            asked[-1].append(cell)
    # Students answer where the chapter's last words on a question are, below what is
    # measured for it.
    answered = {cells[-1].id: cells for cells in asked}
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        kinds = {*tags(cell)}
        if "exercise" in kinds:
            cells += _write_exercise(cell, find_checks(source), tasks)
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
    return new_markdown_cell(
        text, id=cell.id, metadata=_marks(f"question-{question['number']}")
    )


def _write_answer(question: NotebookNode, *answers: NotebookNode) -> NotebookNode:
    facts = question.metadata.question
    name, points = (
        f"answer-{facts['number']}",
        0 if facts.get("bonus") else facts.get("points", 1),
    )
    solution = "\n\n".join(answer.source for answer in answers)
    text = f"**Answer to question {facts['number']}**\n\n{_BEGIN}\n{solution}\n{_END}"
    return new_markdown_cell(
        text, id=name, metadata=_marks(name, points, solution=True)
    )


def read_tasks(checks: Path) -> dict[str, str]:
    """What each exercise asks for, by its name: the docstrings of its chapter's checks,
    which are not imported.
    """
    if not checks.is_file():
        return {}
    statements = ast.parse(checks.read_text(encoding="utf-8")).body
    functions = [
        each
        for each in statements
        if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")
    ]
    return {function.name: ast.get_docstring(function) or "" for function in functions}


def _write_exercise(
    cell: NotebookNode, checks: Path, tasks: Mapping[str, str]
) -> Iterator[NotebookNode]:
    """What is asked for, the cell with its solution marked, and the test."""
    exercise, points = (
        cell.id.replace("-", "_"),
        cell.metadata.exercise.get("points", 1),
    )
    names = {*cell.metadata.exercise["defines"]}
    if exercise not in tasks or not names <= used_names(cell.source)[1]:
        wanted = f"a check of the exercise {cell.id} in {checks}, and code that defines {', '.join(names)}"
        raise ReportError(f"expected {wanted}, got none; write it.")
    task = f"**Exercise** (points: {points}). {tasks[exercise]}"
    yield new_markdown_cell(task, id=f"{cell.id}-task")
    code = mark_solution(cell.source, names)
    yield new_code_cell(code, id=cell.id, metadata=_marks(cell.id, solution=True))
    test = TEST.format(module=checks.stem, exercise=exercise)
    yield new_code_cell(
        test, id=f"{cell.id}-test", metadata=_marks(f"{cell.id}-test", points)
    )


def _marks(
    name: str, points: float | None = None, solution: bool = False
) -> dict[str, Any]:
    """nbgrader's metadata: of a cell that is restored before grading, unless it is a
    solution.
    """
    marks = {
        "schema_version": 3,
        "grade_id": name,
        "grade": points is not None,
        "task": False,
    }
    marks |= {"solution": solution, "locked": not solution}
    return {"nbgrader": marks | ({} if points is None else {"points": points})}


def mark_solution(code: str, names: set[str]) -> str:
    """The code, with its statements from the first to the last that define one of the
    names as what students write.
    """
    lines, defining = code.split("\n"), []
    for statement in ast.parse(code).body:
        loaded, stored = used_names(ast.unparse(statement))
        # A loop may fill what was empty.
        if not names.isdisjoint(
            stored | loaded if isinstance(statement, ast.For) else stored
        ):
            defining.append(statement)
    first, last = defining[0].lineno - 1, defining[-1].end_lineno
    return "\n".join([*lines[:first], _BEGIN, *lines[first:last], _END, *lines[last:]])
