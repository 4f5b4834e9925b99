"""A course for nbgrader, made from a report's chapters: exercises, a test below each,
and questions to answer.
"""

import ast
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from labreport import expected, located
from labreport.build import find_stale, read_report
from labreport.document import Document, Part, Question
from labreport.filled import Filler
from labreport.report import Report, read_notebook, require_new, tags, write_new
from labreport.run import Run, Say, run_notebooks

FILES = ("README.md", "nbgrader_config.py")
BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
# A grader passes no parameters, and nothing there says which notebook a kernel runs.
SESSION = """import os

os.environ.setdefault("JPY_SESSION_NAME", "{name}.ipynb")  # whose prose shows numbers
profile = os.environ.get("LABREPORT_PROFILE", "quick")
seed = 0"""
HOW_TO_WORK = """\
Write what is missing where a cell says `YOUR CODE HERE` or `YOUR ANSWER HERE`, from top
to bottom: later cells need what earlier ones define, and until it is there they stop
with an error. The cell below an exercise tests it, and where something is wrong says
what was expected, what came, and why it matters."""
QUESTION = """{text}

*Points: {points}*

=== BEGIN MARK SCHEME ===

{rubric}

=== END MARK SCHEME ==="""
TEST = """from checks import {module}, run

run({module}.{exercise}, globals())"""


def write_course(run: Run, folder: Path, say: Say) -> list[Path]:
    """Write the assignments, nbgrader's settings and a page for teachers.

    The tests of a notebook, and the modules and results that it needs, are copied
    beside it, so that grading needs no report; pictures and other files that it reads
    are not. What it needs is what the run read, so that chapters run first where they
    have to. Returns the files. Raises LabreportError if one of
    them exists already: nothing is replaced.
    """
    if find_spec("nbgrader") is None:
        remedy = 'run pip install "labreport[class]"'
        raise expected("the package nbgrader", "none", remedy)
    require_new(folder, FILES)  # before a chapter runs
    documents, _ = read_report(run.report.sources(), run)
    asking = [document for document in documents if _asks(document)]
    run_notebooks(find_stale(asking, run), run, say)
    files: dict[str, bytes] = {}
    for name in FILES:
        files[name] = Path(__file__).with_name(name).read_bytes()
    for document in asking:
        name = document.source.name
        content = nbformat.writes(make_notebook(document, run.report)).encode()
        files[f"source/{name}/{name}.ipynb"] = content
        for beside, path in find_files_beside(run, name).items():
            files[f"source/{name}/{beside}"] = path.read_bytes()
    return write_new(folder, files)


def _asks(document: Document) -> bool:
    """Return whether a chapter has questions or exercises."""
    for part in document.parts:
        if part.question or "exercise" in tags(part.cell):
            return True
    return False


def find_files_beside(run: Run, name: str) -> dict[str, Path]:
    """Find the files that an assignment's notebook needs, by the path that they have
    beside it.
    """
    report = run.report
    read = read_notebook(run.executed(name)).metadata.labreport["files"]
    files: dict[str, Path] = {}
    for file in read:
        if file.startswith(("notebooks/", "data/results/")):
            files[file.removeprefix("notebooks/")] = report.root / file
    for path in (report.notebooks / "checks").glob("*.py"):
        files[f"checks/{path.name}"] = path
    for path in (report.folder / "profiles.toml", report.bibliography):
        if path.is_file():
            files[f"report/{path.name}"] = path
    return {beside: path for beside, path in files.items() if path.is_file()}


def make_notebook(document: Document, report: Report) -> NotebookNode:
    """Write a chapter as nbgrader's source of an assignment.

    It contains answers and solutions; nbgrader removes them from what students get.
    """
    source = document.source
    # As its file has it: 1_first_chapter is checked by checks/first_chapter.py.
    module = source.name.lstrip("0123456789_ ")
    tasks = read_tasks(report.notebooks / "checks" / f"{module}.py")
    values: dict[str, str] = {}
    for part in document.parts:
        for placeholder in part.placeholders:  # the student's run fills it in
            values[f"{part.cell.id} {placeholder}"] = f"{{{{{placeholder}}}}}"
    filler = Filler(document, values)
    for part in document.parts:
        if part.text:
            part.cell.source = filler.fill(part.cell.source, part.cell.id)
    # Students answer where the chapter has its last words on a question, below what is
    # measured for it.
    ends = {group[-1].position: group for group in _group_answers(document.parts)}
    cells: list[NotebookNode] = []
    for part in document.parts:
        cell = part.cell
        kinds = tags(cell)
        if "exercise" in kinds:
            with located(part.where):
                cells += _write_exercise(cell, module, tasks)
        elif "parameters" in kinds:
            code = SESSION.format(name=source.name)
            cells.append(new_code_cell(code, id=cell.id))
        elif part.question:
            cells.append(_write_question(part, part.question))
        elif "answer" not in kinds:
            cells.append(cell)
        if "title" in kinds:
            cells.append(new_markdown_cell(HOW_TO_WORK, id="how-to-work"))
        if part.position in ends:
            question, *answered = ends[part.position]
            if question.question:
                cells.append(_write_answer(question, question.question, answered))
    notebook = source.notebook
    notebook.cells = cells
    return notebook


def _group_answers(parts: Iterable[Part]) -> list[list[Part]]:
    """Return each question, followed by the chapter's answers to it."""
    groups: list[list[Part]] = []
    for part in parts:
        if part.question:
            groups.append([part])
        elif "answer" in tags(part.cell) and groups:
            groups[-1].append(part)
    return groups


def _write_question(part: Part, asked: Question) -> NotebookNode:
    """Write the question with its rubric for graders; a bonus is extra credit."""
    settings = part.cell.metadata.get("question", {})
    points = str(settings.get("points", 1))
    if asked.bonus:
        points += ", a bonus"
    text = QUESTION.format(
        points=points, text=part.cell.source, rubric=settings.get("rubric", "")
    )
    marks = _marks(f"question-{asked.number}")
    return new_markdown_cell(text, id=part.cell.id, metadata=marks)


def _write_answer(part: Part, asked: Question, answers: Iterable[Part]) -> NotebookNode:
    number = asked.number
    points = part.cell.metadata.get("question", {}).get("points", 1)
    if asked.bonus:
        points = 0
    solution = "\n\n".join(answer.cell.source for answer in answers)
    text = f"**Answer to question {number}**\n\n{BEGIN}\n{solution}\n{END}"
    name = f"answer-{number}"
    marks = _marks(name, points, solution=True)
    return new_markdown_cell(text, id=name, metadata=marks)


def read_tasks(checks: Path) -> dict[str, str]:
    """Read what each exercise asks for, by its name.

    These are the docstrings of the chapter's checks, which are not imported.
    """
    tasks: dict[str, str] = {}
    if checks.is_file():
        for statement in ast.parse(checks.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.FunctionDef) and statement.name[0] != "_":
                tasks[statement.name] = ast.get_docstring(statement) or ""
    return tasks


def _write_exercise(
    cell: NotebookNode, module: str, tasks: Mapping[str, str]
) -> list[NotebookNode]:
    """Write the task, the cell with its solution marked, and the test."""
    exercise = cell.id.replace("-", "_")
    metadata = cell.metadata.get("exercise", {})
    if exercise not in tasks:
        wanted = f"a check {exercise} in checks/{module}.py"
        raise expected(wanted, "none", "write it")
    code = mark_solution(cell.source, set(metadata.get("defines", ())))
    points = metadata.get("points", 1)
    task = f"**Exercise** (points: {points}). {tasks[exercise]}"
    test = TEST.format(module=module, exercise=exercise)
    test_id = f"{cell.id}_test"
    return [
        new_markdown_cell(task, id=f"{cell.id}_task"),
        new_code_cell(code, id=cell.id, metadata=_marks(cell.id, solution=True)),
        new_code_cell(test, id=test_id, metadata=_marks(test_id, points)),
    ]


def _marks(
    name: str, points: float | None = None, solution: bool = False
) -> dict[str, Any]:
    """Return nbgrader's metadata of a cell, which it restores before grading.

    A solution is not restored.
    """
    marks: dict[str, Any] = {
        "schema_version": 3,
        "grade_id": name,
        "grade": points is not None,
        "task": False,
        "solution": solution,
        "locked": not solution,
    }
    if points is not None:
        marks["points"] = points
    return {"nbgrader": marks}


def mark_solution(code: str, names: set[str]) -> str:
    """Mark in the code what students are to write as the solution: from the first to
    the last statement that defines one of the names.

    A loop defines what it names, since it may fill it. Raises LabreportError where
    nothing defines one of them.
    """
    defining: list[ast.stmt] = []
    missing = set(names)
    for statement in ast.parse(code).body:
        defined = _defined_names(statement) & names
        missing -= defined
        if defined:
            defining.append(statement)
    if missing or not names:
        wanted = 'the metadata "exercise": {"defines": ["NAME"]}, names that it defines'
        got = ", ".join(sorted(missing)) or "none"
        raise expected(wanted, got, "correct them")
    # A decorator stands above the line of its function.
    above = getattr(defining[0], "decorator_list", [])
    first = min(node.lineno for node in [defining[0], *above]) - 1
    last = defining[-1].end_lineno
    lines = code.split("\n")
    lines[first:last] = [BEGIN, *lines[first:last], END]
    return "\n".join(lines)


def _defined_names(statement: ast.stmt) -> set[str]:
    is_loop = isinstance(statement, ast.For | ast.While)
    names: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and (
            is_loop or isinstance(node.ctx, ast.Store)
        ):
            names.add(node.id)
    return names
