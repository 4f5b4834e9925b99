"""What a chapter gives points for, as its own cells' metadata say."""

import ast
import re
import symtable
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nbformat import NotebookNode

from dlapps.classroom import Verdict
from dlapps.outline import walk_code
from dlapps.report.sources import tags


@dataclass(frozen=True)
class Exercise:
    """A code cell to be written, by its id: the names that it has to define, and its points."""

    cell: str
    defines: tuple[str, ...]
    points: float


@dataclass(frozen=True)
class Question:
    """What is asked in a cell and answered in words in `cells`, by their ids; a teacher gives points by the rubric."""

    cell: str
    number: str
    cells: tuple[str, ...]
    points: float
    rubric: str


@dataclass(frozen=True)
class Scheme:
    """What a chapter gives points for. worth: by exercise, the share of each check."""

    chapter: str
    worth: dict[str, dict[str, float]]
    questions: Sequence[Question]

    @property
    def answers(self) -> float:
        """The points of all answers in words."""
        return sum(question.points for question in self.questions)


@dataclass(frozen=True)
class Marked:
    """One submission: points by exercise and check, and the numbers of the questions that somebody has to read."""

    student: str
    edition: str  # whose data it says that it has
    verdicts: list[Verdict]
    points: dict[str, dict[str, float]]
    to_be_read: list[str]


def group_cells(cells: Iterable[NotebookNode], chapter: Sequence[NotebookNode]) -> list[list[NotebookNode]]:
    """A student's cells in their order: each that is the chapter's, and those that were added below it.

    A cell is the chapter's by its id, or by its text where a tool that knows no ids has given it another.
    """
    known = {cell.id for cell in chapter}
    given = {cell.source for cell in chapter if not {"answer", "exercise"} & set(tags(cell))}
    groups: list[list[NotebookNode]] = [[]]
    for cell in cells:
        if cell.get("id") in known or cell.source in given:
            groups.append([])
        groups[-1].append(cell)
    return [group for group in groups if group]


def total(points: Mapping[str, Mapping[str, float]]) -> float:
    """The sum of points by exercise and check."""
    return sum(sum(shares.values()) for shares in points.values())


def find_exercises(cells: Sequence[NotebookNode]) -> list[Exercise]:
    """The exercises of a chapter, from `{"exercise": {"defines": [...], "points": N}}`; where a cell has none, 1 point.

    The names are then those that later cells read.
    """
    exercises = []
    for place, cell in enumerate(cells):
        if "exercise" in tags(cell) and cell.cell_type == "code":
            told = cell.metadata.get("exercise", {})
            later = (other.source for other in cells[place + 1 :] if other.cell_type == "code")
            defines = tuple(told.get("defines") or _read_later(cell.source, later))
            exercises.append(Exercise(cell.id, defines, told.get("points", 1)))
    return exercises


def find_questions(cells: Sequence[NotebookNode]) -> list[Question]:
    """The questions that a chapter answers, from `{"question": {"number", "points", "rubric"}}`; 1 point for none."""
    questions: list[Question] = []
    for cell in cells:
        if "question" in tags(cell):
            told = cell.metadata.get("question", {})
            number = str(told.get("number", len(questions) + 1))
            questions.append(Question(cell.id, number, (), told.get("points", 1), told.get("rubric", "")))
        elif "answer" in tags(cell) and questions:
            questions[-1] = replace(questions[-1], cells=(*questions[-1].cells, cell.id))
    return [question for question in questions if question.cells]


def _read_later(source: str, later: Iterable[str]) -> list[str]:
    defined = _defined(source)
    nodes = [node for code in later for node in walk_code(code) if isinstance(node, ast.Name)]
    read = {node.id for node in nodes if isinstance(node.ctx, ast.Load)}
    return [name for name in defined if name in read] or defined


def _defined(source: str) -> list[str]:
    try:
        symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    except SyntaxError:  # a magic
        return []
    bound = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    return [word for word in dict.fromkeys(re.findall(r"\w+", source)) if word in bound]
