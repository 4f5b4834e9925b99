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

from labreport import LabreportError, expected, paths
from labreport.chapters import code_cells, tags
from labreport.editions.sources import Source, find_sources
from labreport.editions.staleness import find_named_results, read_modules_beside
from labreport.imports import find_imported
from labreport.magics import as_python
from labreport.notebook.code import used_names
from labreport.notebook.parameters import assign
from labreport.notebook.references import References, find_tokens

FILES = ("README.md", "nbgrader_config.py")
PART = ast.Attribute | ast.Subscript
BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
# A grader passes no parameters, and nothing there says which notebook a kernel runs.
PROFILE = 'os.environ.get("LABREPORT_PROFILE", "quick")'
SESSION = """import os

os.environ.setdefault("JPY_SESSION_NAME", "{name}.ipynb")  # whose prose shows numbers
{parameters}"""
HOW_TO_WORK = """\
Write what is missing where a cell says `YOUR CODE HERE` or `YOUR ANSWER HERE`, from top
to bottom: later cells need what earlier ones define, and until it is there they stop
with an error. The cell below an exercise tests it, and where something is wrong says
what was expected, what came, and why it matters."""
QUESTION = """**Question {number}** (points: {points})

{text}

=== BEGIN MARK SCHEME ===

{rubric}

=== END MARK SCHEME ==="""
TEST = """from checks import {module}, run

run({module}.{exercise}, globals())"""


def write_course(folder: Path) -> list[Path]:
    """Write the assignments, nbgrader's settings and a page for teachers.

    The tests of a notebook, and the modules and results that it needs, are copied
    beside it, so that grading needs no report; pictures and other files that it names
    are not. Returns the files. Raises LabreportError if one of them exists already:
    nothing is replaced.
    """
    if find_spec("nbgrader") is None:
        remedy = 'run pip install "labreport[class]"'
        raise expected("the package nbgrader", "none", remedy)
    files: dict[str, bytes] = {}
    for name in FILES:
        files[name] = Path(__file__).with_name(name).read_bytes()
    for source in find_sources():
        notebook = make_notebook(source)
        if not any("nbgrader" in cell.metadata for cell in notebook.cells):
            continue
        assignment = f"source/{source.name}"
        content = nbformat.writes(notebook).encode()
        files[f"{assignment}/{source.name}.ipynb"] = content
        for name, path in find_files_beside(notebook).items():
            files[f"{assignment}/{name}"] = path.read_bytes()
    return paths.write_new(folder, files)


def find_checks(source: Source) -> Path:
    """Return the module with a chapter's tests: checks/name.py for 2_name.ipynb."""
    name = source.name.lstrip("0123456789_ ")
    return paths.notebooks() / "checks" / f"{name}.py"


def find_files_beside(notebook: NotebookNode) -> dict[str, Path]:
    """Find the files that an assignment's notebook needs, by the path that they have
    beside it.

    These are the modules beside the chapters that its cells import, directly or through
    others, its checks among them; the results that it or these modules name; the
    profiles and the bibliography.
    """
    files: dict[str, Path] = {}
    code = [cell.source for cell in code_cells(notebook)]
    imported = find_imported(code)
    for path, name in imported.files.items():
        if path.is_relative_to(paths.notebooks()):
            files[name] = path
    for path in find_named_results(code, read_modules_beside(imported)):
        if path.is_relative_to(paths.results()):
            files[f"data/results/{path.name}"] = path
    for name in ("profiles.toml", "references.bib"):
        path = paths.report() / name
        if path.is_file():
            files[f"report/{name}"] = path
    return files


def make_notebook(source: Source) -> NotebookNode:
    """Write a chapter as nbgrader's source of an assignment.

    It contains answers and solutions; nbgrader removes them from what students get.
    """
    notebook = source.read()
    references = References(source.path, source.number)
    for mistake in references.outline.mistakes:
        raise LabreportError(mistake)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            require_answers(cell.source, references)
            cell.source = references.resolve(cell.source)
    checks = find_checks(source)
    tasks = read_tasks(checks)
    questions = _group_answers(notebook.cells)
    # Students answer where the chapter has its last words on a question, below what is
    # measured for it.
    ends = {group[-1].id: group for group in questions}
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        kinds = tags(cell)
        if "exercise" in kinds:
            cells += _write_exercise(cell, checks, tasks)
        elif "parameters" in kinds:
            parameters = assign(cell.source, profile=PROFILE, seed="0")
            code = SESSION.format(name=source.name, parameters=parameters)
            cells.append(new_code_cell(code, id=cell.id))
        elif "question" in kinds:
            cells.append(_write_question(cell))
        elif "answer" not in kinds:
            cells.append(cell)
        if "title" in kinds:
            cells.append(new_markdown_cell(HOW_TO_WORK, id="how-to-work"))
        if cell.id in ends:
            question, *answers = ends[cell.id]
            cells.append(_write_answer(question, answers))
    notebook.cells = cells
    return notebook


def require_answers(markdown: str, references: References) -> None:
    """Raise LabreportError for a reference or a citation that is not known."""
    for answer in references.answer(find_tokens(markdown)).values():
        if answer.get("kind") == "error":
            raise LabreportError(answer["text"])


def _group_answers(cells: Iterable[NotebookNode]) -> list[list[NotebookNode]]:
    """Return each question, followed by the chapter's answers to it."""
    groups: list[list[NotebookNode]] = []
    for cell in cells:
        if "question" in tags(cell):
            groups.append([cell])
        elif "answer" in tags(cell) and groups:
            groups[-1].append(cell)
    return groups


def _write_question(cell: NotebookNode) -> NotebookNode:
    """Write the question with its rubric for graders; a bonus is extra credit."""
    question = cell.metadata.question
    points = str(question.get("points", 1))
    if question.get("bonus"):
        points += ", a bonus"
    text = QUESTION.format(
        number=question["number"],
        points=points,
        text=cell.source,
        rubric=question.get("rubric", ""),
    )
    marks = _marks(f"question-{question['number']}")
    return new_markdown_cell(text, id=cell.id, metadata=marks)


def _write_answer(
    question: NotebookNode, answers: Iterable[NotebookNode]
) -> NotebookNode:
    asked = question.metadata.question
    number = asked["number"]
    points = 0 if asked.get("bonus") else asked.get("points", 1)
    solution = "\n\n".join(answer.source for answer in answers)
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
            if not isinstance(statement, ast.FunctionDef):
                continue
            if not statement.name.startswith("_"):
                tasks[statement.name] = ast.get_docstring(statement) or ""
    return tasks


def _write_exercise(
    cell: NotebookNode, checks: Path, tasks: Mapping[str, str]
) -> list[NotebookNode]:
    """Write the task, the cell with its solution marked, and the test."""
    exercise = cell.id.replace("-", "_")
    metadata = cell.metadata.get("exercise", {})
    names = set(metadata.get("defines", ()))
    if not names:
        wanted = f'the metadata "exercise": {{"defines": ["NAME"]}} of {cell.id}'
        raise expected(wanted, "no name", "write which names students define")
    points = metadata.get("points", 1)
    if as_python(cell.source) != cell.source:
        wanted = f"code of {cell.id} that is plain Python"
        raise expected(wanted, "a magic", "write the magic into a cell of its own")
    _, defined = used_names(cell.source)
    if exercise not in tasks:
        raise expected(f"a check {exercise} in {checks}", "none", "write it")
    for name in sorted(names - defined):
        raise expected(f"code of {cell.id} that defines {name}", "none", "write it")
    task = f"**Exercise** (points: {points}). {tasks[exercise]}"
    code = mark_solution(cell.source, names)
    test = TEST.format(module=checks.stem, exercise=exercise)
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
    """Mark in the code what students are to write as the solution.

    It reaches from the first to the last statement that defines one of the names. A
    loop that fills what was empty defines it.
    """
    defining = []
    for statement in ast.parse(code).body:
        _, defined = used_names(ast.unparse(statement))
        if isinstance(statement, ast.For | ast.While):
            defined |= _changed_names(statement)
        if names & defined:
            defining.append(statement)
    # A decorator stands above the line of its function.
    above = getattr(defining[0], "decorator_list", [])
    first = min(node.lineno for node in [defining[0], *above]) - 1
    last = defining[-1].end_lineno
    lines = code.split("\n")
    lines[first:last] = [BEGIN, *lines[first:last], END]
    return "\n".join(lines)


def _changed_names(loop: ast.stmt) -> set[str]:
    """Return the names of what a loop may change: it stores into it, b[x] = 1, or names
    it in a call for its effect, b.append(1) or train(b). A loop that prints only reads.
    """
    changed = set()
    for node in ast.walk(loop):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if ast.unparse(node.value.func) != "print":
                changed |= _names_in(node)
        elif isinstance(node, PART) and isinstance(node.ctx, ast.Store):
            changed |= _names_in(node.value)
    return changed


def _names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
