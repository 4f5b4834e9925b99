"""What executed notebooks told: numbers, claims, labels, prose and the facts of each run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from dlapps.notebook import MIME
from dlapps.report import ReportError
from dlapps.report.numbering import Numbering
from dlapps.report.sources import Source, first_line, tags
from dlapps.report.syntax import INLINE, Tree, parse

FLOATS = {"figure": "fig", "animation": "fig", "table": "tab"}  # kinds of messages, and what their labels begin with


@dataclass(frozen=True)
class ExecutedChapter:
    """An executed notebook and the facts of its run."""

    name: str
    number: int
    notebook: NotebookNode
    run: dict[str, Any]
    claims: list[dict[str, Any]]
    seconds: float


@dataclass(frozen=True)
class Label:
    """What a label is called, as Figure 2.1, and the chapter that it is in."""

    words: str
    chapter: str


@dataclass
class Contents:
    """What prose may use, numbers by name (value, chapter, profile, commit, seed, data) and labels; and the prose.

    A name that several chapters record has its chapter in front, as in chapter2_accuracy: see `numbers_in`. prose: of
    each chapter by its name, a tree for each of its `fragments`, headings and equations numbered.
    """

    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    chapters: list[ExecutedChapter] = field(default_factory=list)
    prose: dict[str, list[Tree]] = field(default_factory=dict)

    def numbers_in(self, chapter: int) -> dict[str, dict[str, Any]]:
        """The numbers by the names that a chapter's prose may use: its own are plain there."""
        own = qualified("", chapter)
        return self.numbers | {name[len(own) :]: kept for name, kept in self.numbers.items() if name.startswith(own)}


def qualified(name: str, chapter: int) -> str:
    """What a number of a chapter is called where another chapter has one of the same name."""
    return f"chapter{chapter}_{name}"


def outputs(cell: NotebookNode, kind: str) -> Iterator[tuple[NotebookNode, Any]]:
    """The outputs of a cell that carry a message of one kind to the report, each with its message."""
    for output in cell.get("outputs", []):
        message = output.get("data", {}).get(MIME)
        if message and message["kind"] == kind:
            yield output, message


def messages(notebook: NotebookNode, kind: str) -> Iterator[tuple[NotebookNode, Any]]:
    """The messages of one kind in a notebook, each with its cell."""
    yield from ((cell, message) for cell in notebook.cells for _, message in outputs(cell, kind))


def fragments(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, Any, Any]]:
    """Where the report has Markdown, in reading order, as (cell, container, key): cells, captions, cells of tables."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell, cell, "source"
        if {"remove-cell", "remove-output"}.intersection(tags(cell)):
            continue
        for message in (message for kind in FLOATS for _, message in outputs(cell, kind)):
            yield cell, message, "caption"
            for row in [message.get("columns", []), *message.get("rows", [])]:
                yield from ((cell, row, place) for place in range(len(row)))


def fragment_text(container: Any, key: Any) -> str:
    """The Markdown of such a place as `syntax.parse` takes it."""
    return container[key] if key == "source" else INLINE + container[key]


def collect(notebooks: Iterable[tuple[Source, NotebookNode]]) -> Contents:
    """All that the chapters told; a ReportError when two cells of a chapter use one name, or two cells one label."""
    contents, numbering = Contents(), Numbering()
    owners: dict[str, str] = {}
    recorded: list[tuple[ExecutedChapter, str, dict[str, Any]]] = []
    for source, notebook in notebooks:
        numbering.begin(source.number)
        chapter = _read_chapter(source, notebook)
        for cell, record in messages(notebook, "record"):
            origin = {key: record[key] for key in ("seed", "data")}
            origin |= {key: chapter.run[key] for key in ("profile", "commit")}
            for name, value in record["values"].items():
                _claim(owners, qualified(name, chapter.number), chapter, cell)
                recorded.append((chapter, name, {**origin, "value": value, "chapter": chapter.name}))
        places, trees = list(fragments(notebook)), contents.prose.setdefault(chapter.name, [])
        for (cell, box, key), tree in zip(places, parse([fragment_text(*place[1:]) for place in places]), strict=True):
            with near(chapter.name, box[key]):
                trees.append(numbering.number(tree))
            if key == "caption":
                box["label"], box["number"] = numbering.count_float(FLOATS[box["kind"]], box["name"])
            for label, words in numbering.take_names():
                _claim(owners, label, chapter, cell)
                contents.labels[label] = Label(words, chapter.name)
        contents.chapters.append(chapter)
    uses = Counter(name for _, name, _ in recorded)
    for chapter, name, kept in recorded:
        contents.numbers[name if uses[name] == 1 else qualified(name, chapter.number)] = kept
    return contents


@contextmanager
def near(chapter: str, text: str) -> Iterator[None]:
    """A ReportError from within says in which chapter it was, and near which text."""
    try:
        yield
    except ReportError as error:
        raise ReportError(f"{error} [{chapter}, near {first_line(text)!r}]") from error


def _read_chapter(source: Source, notebook: NotebookNode) -> ExecutedChapter:
    runs = [message for _, message in messages(notebook, "chapter")]
    if [run["name"] for run in runs] != [source.name]:
        got = ", ".join(f"Chapter({run['name']!r})" for run in runs) or "none"
        raise ReportError(
            f"expected Chapter({source.name!r}, profile) once in {source.path.name}, got {got}; name it after the file."
        )
    claims = [message for _, message in messages(notebook, "check")]
    seconds = notebook.metadata.papermill["duration"]
    return ExecutedChapter(source.name, source.number, notebook, runs[0], claims, seconds)


def _claim(owners: dict[str, str], name: str, chapter: ExecutedChapter, cell: NotebookNode) -> None:
    number = chapter.notebook.cells.index(cell) + 1
    owner = f"cell {number} of {chapter.name} ({first_line(cell.source, 40)})"
    if name in owners:
        raise ReportError(f"expected one use of the name {name}, got {owners[name]} and {owner}; rename one of them.")
    owners[name] = owner
