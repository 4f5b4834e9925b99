"""The committed notebooks and the bibliography: what a report is made from."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from dlapps import paths
from dlapps.report import ReportError


@dataclass(frozen=True)
class Source:
    """A committed notebook, one chapter."""

    path: Path

    @property
    def name(self) -> str:
        """The file's stem, as 1_transfer_learning."""
        return self.path.stem

    @property
    def number(self) -> int:
        """The chapter's number, which the name begins with."""
        return int(self.name.split("_")[0])

    def read(self) -> NotebookNode:
        """The notebook as it is committed; a ReportError for a file that is none."""
        return read_notebook(self.path)


def find_sources() -> list[Source]:
    """The chapters that exist, by number; a ReportError when there is none or two share a number."""
    sources = [Source(path) for path in sorted(paths.notebooks().glob("[0-9]*_*.ipynb"))]
    sources = sorted(sources, key=lambda source: source.number)
    if not sources:
        raise ReportError(
            f"expected notebooks such as 1_transfer_learning.ipynb, got none in {paths.notebooks()}; "
            "run the command in a checkout or name one in DLAPPS_HOME."
        )
    for one, other in pairwise(sources):
        if one.number == other.number:
            raise ReportError(f"expected one notebook a chapter, got {one.name} and {other.name}; rename one of them.")
    return sources


def select_sources(chapters: Iterable[str]) -> list[Source]:
    """The chapters of these numbers or names, all of them for none; a ReportError lists the valid ones."""
    sources = find_sources()
    known = {key: source for source in sources for key in (str(source.number), source.name, source.path.name)}
    for chapter in chapters:
        if chapter not in known:
            valid = ", ".join(f"{source.number} ({source.name})" for source in sources)
            raise ReportError(f"expected a chapter among {valid}, got {chapter!r}; choose one of them.")
    return [known[chapter] for chapter in chapters] or sources


def read_notebook(path: Path) -> NotebookNode:
    """The notebook in that file, or a ReportError when it is none."""
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        raise ReportError(
            f"expected a notebook in {path}, got {first_line(str(error))}; restore the file from git."
        ) from error


def read_citation_keys() -> set[str]:
    """The keys of report/references.bib; none without the file."""
    bibliography = paths.report() / "references.bib"
    text = bibliography.read_text(encoding="utf-8") if bibliography.exists() else ""
    return set(re.findall(r"^@\w+\{([^,\s]+),", text, re.MULTILINE))


def tags(cell: NotebookNode) -> list[str]:
    """The tags in a cell's metadata."""
    return cell.metadata.get("tags", [])


def walk_code(source: str) -> list[ast.AST]:
    """All nodes of a cell's code; none where it is no plain Python, as with a magic."""
    try:
        return list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return []


def first_line(text: str, width: int = 60) -> str:
    """What a sentence quotes of a text: its first line, shortened."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
