"""What executed notebooks told: numbers, claims, labels and the facts of each run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from dlapps.notebook import MIME
from dlapps.report import ReportError
from dlapps.report.markdown import label_definitions
from dlapps.report.sources import Source, first_line, tags

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


@dataclass
class Contents:
    """What prose may use: numbers by name (value, chapter, profile, commit, seed, data) and labels."""

    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    chapters: list[ExecutedChapter] = field(default_factory=list)


def outputs(cell: NotebookNode, kind: str) -> Iterator[tuple[NotebookNode, Any]]:
    """The outputs of a cell that carry a message of one kind to the report, each with its message."""
    for output in cell.get("outputs", []):
        message = output.get("data", {}).get(MIME)
        if message and message["kind"] == kind:
            yield output, message


def messages(notebook: NotebookNode, kind: str) -> Iterator[tuple[NotebookNode, Any]]:
    """The messages of one kind in a notebook, each with its cell."""
    yield from ((cell, message) for cell in notebook.cells for _, message in outputs(cell, kind))


def collect(notebooks: Iterable[tuple[Source, NotebookNode]]) -> Contents:
    """All that the chapters told; a ReportError when two cells use one name."""
    contents = Contents()
    owners: dict[str, str] = {}
    for source, notebook in notebooks:
        chapter = _read_chapter(source, notebook)
        contents.chapters.append(chapter)
        for cell, record in messages(notebook, "record"):
            _claim(owners, record["name"], chapter, cell)
            kept = {key: record[key] for key in ("value", "seed", "data")}
            kept |= {key: chapter.run[key] for key in ("profile", "commit")}
            contents.numbers[record["name"]] = {**kept, "chapter": chapter.name}
        for label, cell in _labels(chapter):
            _claim(owners, label, chapter, cell)
            contents.labels.add(label)
    return contents


def _read_chapter(source: Source, notebook: NotebookNode) -> ExecutedChapter:
    runs = [message for _, message in messages(notebook, "chapter")]
    if [run["name"] for run in runs] != [source.name]:
        got = ", ".join(f"Chapter({run['name']!r})" for run in runs) or "none"
        raise ReportError(
            f"expected Chapter({source.name!r}, profile) once in {source.path.name}, got {got}; name it after the file."
        )
    claims = [message for _, message in messages(notebook, "check")]
    return ExecutedChapter(
        source.name, source.number, notebook, runs[0], claims, notebook.metadata.papermill["duration"]
    )


def _labels(chapter: ExecutedChapter) -> Iterator[tuple[str, NotebookNode]]:
    """Labels of figures, tables, sections and equations; what a tag removes from the report has none."""
    for kind, prefix in FLOATS.items():
        for cell, message in messages(chapter.notebook, kind):
            if not {"remove-cell", "remove-output"}.intersection(tags(cell)):
                yield f"{prefix}-{chapter.number}-{message['name']}", cell
    for cell in chapter.notebook.cells:
        if cell.cell_type == "markdown":
            for kind, name in label_definitions(cell.source):
                yield f"{kind}-{chapter.number}-{name}", cell


def _claim(owners: dict[str, str], name: str, chapter: ExecutedChapter, cell: NotebookNode) -> None:
    number = chapter.notebook.cells.index(cell) + 1
    owner = f"cell {number} of {chapter.name} ({first_line(cell.source, 40)})"
    if name in owners:
        raise ReportError(f"expected one use of the name {name}, got {owners[name]} and {owner}; rename one of them.")
    owners[name] = owner
