"""Find and read what a report is made from: its notebooks, title page and bibliography;
write a new one.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from labreport import expected, first_line, paths
from labreport.chapters import find_chapters, read_notebook
from labreport.editions import TEMPLATES
from labreport.notebook.references import read_keys


@dataclass(frozen=True)
class Source:
    """A committed notebook, one chapter or appendix; `number` is "2" or "A"."""

    path: Path
    number: str

    @property
    def name(self) -> str:
        """Return the stem of the file, such as 1_transfer_learning."""
        return self.path.stem

    def read(self) -> NotebookNode:
        """Read the notebook. Raises LabreportError if it is not valid."""
        return read_notebook(self.path)


@dataclass(frozen=True)
class TitlePage:
    """The content of report/report.toml; lines of the subtitle stay lines.

    rights: a sentence about the printed pictures. how_to_read: paragraphs before the
    first chapter, with a blank line between them. packages: those whose versions the
    last page names. cover: TeX above the title. glance: what a reader should know of
    the results at a glance. practical: the head of their column of
    `Chapter.headline(practical=...)`. precomputed: what the last page says of results
    that no notebook computes, a clause without a full stop.
    """

    title: str
    authors: list[str]
    subtitle: str = ""
    rights: str = ""
    how_to_read: str = ""
    packages: Sequence[str] = ()
    cover: str = ""
    glance: str = ""
    practical: str = "Other settings"
    precomputed: str = ""


def read_title_page() -> TitlePage:
    """Read report/report.toml.

    Raises LabreportError if it is missing, has no title or no authors, or has a key or
    a value that is not known.
    """
    path = paths.project() / paths.MARK
    optional = ", ".join(list(TitlePage.__dataclass_fields__)[2:])
    try:
        entries = {"title": None, "authors": None, **paths.read_toml(path)}
        wrong = [
            f"{key} = {value!r}"
            for key, value in entries.items()
            if not _is_valid(key, value)
        ]
        if wrong:
            raise ValueError(", ".join(wrong))
        return TitlePage(**entries)
    except (OSError, ValueError) as error:
        raise expected(
            f'title = "..." and authors = ["..."], and maybe {optional}, in {path}',
            first_line(str(error), 120),
            "correct it",
        ) from error


def _is_valid(key: str, value: Any) -> bool:
    """Return whether report.toml may have this value for this key."""
    if key == "title":
        return _is_text(value)
    if key == "authors":
        return isinstance(value, list) and value != [] and all(map(_is_text, value))
    if key == "packages":
        return isinstance(value, list) and all(map(_is_text, value))
    return key in TitlePage.__dataclass_fields__ and isinstance(value, str)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def find_sources() -> list[Source]:
    """Find all notebooks of the folder, by number.

    Raises LabreportError if there are none, or if two share a number or a page.
    """
    folder = paths.notebooks()
    sources = [
        Source(folder / f"{name}.ipynb", number)
        for name, number in find_chapters().items()
    ]
    if not sources:
        raise expected(
            "notebooks such as 1_first_chapter.ipynb",
            f"none in {folder}",
            "write one there, or name another report in LABREPORT_HOME",
        )
    owners = {"index.html": "the page of contents"}
    for source in sources:
        for key in (source.number, page_file(source.name)):
            owner = owners.setdefault(key, source.name)
            if owner != source.name:
                raise expected(
                    "one notebook a chapter",
                    f"{owner} and {source.name}",
                    "rename one of them",
                )
    return sources


def page_file(name: str) -> str:
    """Return the file name of a chapter's page: 1-transfer-learning.html for
    1_transfer_learning.
    """
    return re.sub(r"[\W_]+", "-", name) + ".html"


def select_sources(chapters: Iterable[str]) -> list[Source]:
    """Return the chapters of these numbers or names, by default all.

    Raises LabreportError, which lists the valid ones, for any other.
    """
    sources = find_sources()
    by_name = {}
    for source in sources:
        for name in (source.number, source.name, source.path.name):
            by_name[name] = source
    selected = []
    for chapter in chapters:
        if chapter not in by_name:
            known = ", ".join(f"{source.number} ({source.name})" for source in sources)
            raise expected(f"a chapter among {known}", repr(chapter), "choose one")
        selected.append(by_name[chapter])
    return selected or sources


def read_citation_keys() -> set[str]:
    """Return the keys in report/references.bib; none without the file."""
    bibliography = paths.report() / "references.bib"
    return read_keys(bibliography) if bibliography.exists() else set()


def write_report(folder: Path, title: str, authors: list[str]) -> list[Path]:
    """Write a new report: the first chapter, its bibliography, and report.toml with
    title and authors.

    Returns the files. The folder may have others. Raises LabreportError if one of these
    exists already: nothing is replaced.
    """
    template = TEMPLATES / "new"
    files: dict[str, bytes] = {}
    for path in template.rglob("*"):
        if path.is_file():
            files[path.relative_to(template).as_posix()] = path.read_bytes()
    # A string of JSON is one of TOML.
    written_title = json.dumps(title, ensure_ascii=False)
    written_authors = json.dumps(authors, ensure_ascii=False)
    front = f"title = {written_title}\nauthors = {written_authors}\n"
    files[paths.MARK.as_posix()] = front.encode()
    return paths.write_new(folder, files)
