"""What a report is made from: its notebooks, title page and bibliography; a new one."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from labreport import check_name, paths
from labreport.editions import TEMPLATES, ReportError
from labreport.notebook.prose import read_keys
from labreport.notebook.syntax import first_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Source:
    """A committed notebook, one chapter or appendix; `number` is "2" or "A"."""

    path: Path
    number: str

    @property
    def name(self) -> str:
        """The file's stem, as 1_transfer_learning."""
        return self.path.stem

    def read(self) -> NotebookNode:
        """The notebook as it is committed; a ReportError if the file is not valid."""
        return read_notebook(self.path)


@dataclass(frozen=True)
class TitlePage:
    """What report/report.toml says of a report; lines of the subtitle stay lines.

    rights: of the printed pictures. how_to_read: paragraphs before the first chapter, a
    blank line between them.
    packages: whose versions the last page names.
    """

    title: str
    authors: list[str]
    subtitle: str = ""
    rights: str = ""
    how_to_read: str = ""
    packages: Sequence[str] = ()


def read_title_page() -> TitlePage:
    """What report/report.toml says; a ReportError if it is missing, lacks title or
    authors, or says something else.
    """
    path = paths.project() / paths.MARK
    try:
        told = {"title": None, "authors": None} | tomllib.loads(
            path.read_text(encoding="utf-8")
        )
        if wrong := [
            f"{key} = {value!r}" for key, value in told.items() if not _fits(key, value)
        ]:
            raise ValueError(", ".join(wrong))
        return TitlePage(**told)
    except (OSError, ValueError) as error:
        raise ReportError(
            'expected title = "..." and authors = ["..."], and maybe subtitle, rights, how_to_read and packages, in '
            f"{path}, got {first_line(str(error), 120)}; correct it."
        ) from error


def _fits(key: str, value: Any) -> bool:
    """Whether report.toml may say so; what has a default may be empty."""
    is_list = key in ("authors", "packages")
    texts = value if is_list and isinstance(value, list) else [value] * (not is_list)
    known = key in TitlePage.__dataclass_fields__ and texts != []
    may_be_empty = hasattr(TitlePage, key)
    return known and all(
        isinstance(text, str) and (text.strip() or may_be_empty) for text in texts
    )


def find_sources() -> list[Source]:
    """All notebooks of the folder, by number; a ReportError if there are none, or two
    share a number or a page.
    """
    folder, chapters = paths.notebooks(), paths.chapters()
    sources = [
        Source(folder / f"{name}.ipynb", number) for name, number in chapters.items()
    ]
    if not sources:
        remedy = "write one there, or name another report in LABREPORT_HOME"
        raise ReportError(
            f"expected notebooks such as 1_first_chapter.ipynb, got none in {folder}; {remedy}."
        )
    owners: dict[str, str] = {"index.html": "the page of contents"}
    for source in sources:
        for key in (source.number, page_file(source.name)):
            if (owner := owners.setdefault(key, source.name)) != source.name:
                got = f"{owner} and {source.name}"
                raise ReportError(
                    f"expected one notebook a chapter, got {got}; rename one of them."
                )
    return sources


def page_file(name: str) -> str:
    """The file name of a chapter's page: 1-transfer-learning.html of
    1_transfer_learning.
    """
    return re.sub(r"[\W_]+", "-", name) + ".html"


def select_sources(chapters: Iterable[str]) -> list[Source]:
    """The chapters of these numbers or names, by default all; a ReportError lists the
    valid ones.
    """
    sources = find_sources()
    known: dict[str, Source] = {}
    for source in sources:
        known |= dict.fromkeys((source.number, source.name, source.path.name), source)
    for chapter in chapters:
        if chapter not in known:
            valid = [f"{source.number} ({source.name})" for source in sources]
            check_name("a chapter", chapter, valid, ReportError)
    return [known[chapter] for chapter in chapters] or sources


def read_notebook(path: Path) -> NotebookNode:
    """The notebook in that file; a ReportError if it is not valid."""
    try:
        # nbformat.reads would do the same, and only log what is invalid.
        notebook = nbformat.convert(
            nbformat.reader.reads(path.read_text(encoding="utf-8")), 4
        )
        nbformat.validate(notebook)
    except (
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        nbformat.ValidationError,
    ) as error:
        got = first_line(str(error))
        raise ReportError(
            f"expected a notebook in {path}, got {got}; restore it, or move it away."
        ) from error
    return notebook


def read_citation_keys() -> set[str]:
    """The keys in report/references.bib, an empty set without the file."""
    bibliography = paths.report() / "references.bib"
    return read_keys(bibliography) if bibliography.exists() else set()


def tags(cell: NotebookNode) -> list[str]:
    """The tags in a cell's metadata."""
    return cell.metadata.get("tags", [])


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def write_report(folder: Path, title: str, authors: list[str]) -> list[Path]:
    """Write the first chapter, its bibliography, and report.toml with title and
    authors; returns the files.

    The folder may have others. A ReportError where one of these is there already:
    nothing is replaced.
    """
    template = TEMPLATES / "new"
    found = filter(Path.is_file, template.rglob("*"))
    files = {path.relative_to(template): path.read_bytes() for path in found}
    # A string of JSON is one of TOML.
    facts = {"title": title, "authors": authors}
    lines = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in facts.items()
    ]
    files[paths.MARK] = "".join(lines).encode()
    if there := sorted(folder / name for name in files if (folder / name).exists()):
        raise ReportError(
            f"expected a folder for a new report, got one with {there[0]}; name another."
        )
    try:
        return [
            paths.write_atomically(folder / name, files[name]) for name in sorted(files)
        ]
    except OSError as error:
        got = f"{folder} ({error.strerror})"
        raise ReportError(
            f"expected a folder to write into, got {got}; name another."
        ) from error
