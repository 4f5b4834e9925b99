"""The folder of a report: where its files lie, what its title page says, which
notebooks are its chapters, and how files are written.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
from nbformat import NotebookNode

from labreport import check_name, expected, first_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# A folder that has this file is a report's.
MARK = Path("report", "report.toml")
HOME = "LABREPORT_HOME"
TEMPLATES = Path(__file__).with_name("template")
# Of a report that has no report/profiles.toml: smoke looks for mistakes only, quick is
# the default, full is published.
PROFILES: dict[str, dict[str, Any]] = {"smoke": {}, "quick": {}, "full": {}}


@dataclass(frozen=True)
class TitlePage:
    """The content of report/report.toml; lines of the subtitle stay lines.

    rights: a sentence about the printed pictures. how_to_read: paragraphs before the
    first chapter, with a blank line between them. packages: those whose versions the
    last page names. cover: TeX above the title. glance: what a reader should know of
    the results at a glance. precomputed: what the last page says of results that no
    notebook computes, a clause without a full stop.
    """

    title: str
    authors: list[str]
    subtitle: str = ""
    rights: str = ""
    how_to_read: str = ""
    packages: Sequence[str] = ()
    cover: str = ""
    glance: str = ""
    precomputed: str = ""


@dataclass(frozen=True)
class Source:
    """A notebook of the report as it was read, one chapter or appendix; `number` is "2"
    or "A".
    """

    path: Path
    number: str
    notebook: NotebookNode

    @property
    def name(self) -> str:
        """Return the stem of the file, such as 1_transfer_learning."""
        return self.path.stem


@dataclass(frozen=True)
class Report:
    """A report by its folder, which has notebooks/, figures/, data/ and report/."""

    root: Path

    @property
    def notebooks(self) -> Path:
        """Return the folder of the notebooks, one for each chapter."""
        return self.root / "notebooks"

    @property
    def folder(self) -> Path:
        """Return the folder of report.toml, the bibliography and what is published."""
        return self.root / "report"

    @property
    def bibliography(self) -> Path:
        """Return the file of the works, which may not be there."""
        return self.folder / "references.bib"

    @property
    def results(self) -> Path:
        """Return the folder for the measurements of long runs, which are committed."""
        return self.root / "data" / "results"

    @property
    def networks(self) -> Path:
        """Return the folder for the networks that studies trained."""
        return self.root / "data" / "networks"

    @property
    def cache(self) -> Path:
        """Return the folder for what long computations keep."""
        return self.root / "data" / "cache"

    def title_page(self) -> TitlePage:
        """Read report/report.toml.

        Raises LabreportError if it is missing or not valid.
        """
        path = self.root / MARK
        try:
            written = read_toml(path)
            page = TitlePage(**written)
            for key, value in written.items():
                texts = value if key in ("authors", "packages") else [value]
                is_list = isinstance(texts, list)
                if not is_list or not all(isinstance(text, str) for text in texts):
                    raise ValueError(f"{key} {value!r}")
            if not page.title or not page.authors:
                raise ValueError(f"title {page.title!r} and authors {page.authors!r}")
        except (OSError, ValueError, TypeError) as error:
            wanted = f'title = "..." and authors = ["..."] in {path}, '
            wanted += "a list of packages, and other keys as text"
            remedy = "correct it, or make a report with labreport new"
            raise expected(wanted, first_line(str(error), 120), remedy) from error
        return page

    def profile(self, name: str) -> SimpleNamespace:
        """Return the settings of a profile, as attributes, and its name.

        Raises LabreportError, which lists the profiles, for another name, and for a
        file that is not valid.
        """
        path = self.folder / "profiles.toml"
        wanted = f"a table of settings for each profile in {path}"
        tables = PROFILES
        try:
            if path.is_file():
                tables = read_toml(path)
        except ValueError as error:
            raise expected(wanted, error, "correct it") from error
        check_name("a profile", name, tables)
        if not isinstance(tables[name], dict):
            raise expected(wanted, f"{name} = {tables[name]!r}", "correct it")
        return SimpleNamespace(**tables[name], name=name)

    def sources(self) -> list[Source]:
        """Read all notebooks of the report: chapters "1", "2", then appendices "A",
        "B", each in the order of names.

        A notebook is an appendix if its first cell has the tag "appendix". Raises
        LabreportError if there are none.
        """
        chapters: list[Source] = []
        appendices: list[Source] = []
        for path in sorted(self.notebooks.glob("[!.]*.ipynb")):
            notebook = read_notebook(path)
            if notebook.cells and "appendix" in tags(notebook.cells[0]):
                letter = chr(ord("A") + len(appendices))
                appendices.append(Source(path, letter, notebook))
            else:
                chapters.append(Source(path, str(len(chapters) + 1), notebook))
        if not chapters and not appendices:
            wanted = "notebooks such as 1_first_chapter.ipynb"
            remedy = f"write one there, or name another report in {HOME}"
            raise expected(wanted, f"none in {self.notebooks}", remedy)
        return chapters + appendices


def find_report(folder: Path | None = None) -> Report:
    """Find the report at or above a folder, the current one by default, as git finds a
    repository; `LABREPORT_HOME` names another one.

    For a notebook that belongs to no report it is the folder.
    """
    home = os.environ.get(HOME)
    if home:
        return Report(Path(home).expanduser().resolve())
    here = folder or Path.cwd()
    for place in (here, *here.parents):
        if (place / MARK).is_file():
            return Report(place)
    return Report(here)


def select(sources: Sequence[Source], chapters: Iterable[str]) -> list[Source]:
    """Return the chapters of these numbers or names, by default all.

    Raises LabreportError, which lists the valid ones, for any other.
    """
    by_name = {source.number: source for source in sources}
    by_name |= {source.name: source for source in sources}
    selected: list[Source] = []
    for chapter in chapters:
        check_name("a chapter", chapter, by_name)
        selected.append(by_name[chapter])
    return selected or list(sources)


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags in a cell's metadata."""
    return cell.metadata.get("tags", [])


def read_notebook(path: Path) -> NotebookNode:
    """Read the notebook in that file.

    A file that is not valid may just be being saved, so it is read again, for a second.
    Raises LabreportError if it stays so.
    """
    mistakes = (ValueError, TypeError, AttributeError, KeyError)
    for _ in range(5):
        try:
            return _parse_notebook(path.read_text(encoding="utf-8"))
        except (*mistakes, nbformat.ValidationError) as error:
            got = first_line(str(error))
        time.sleep(0.2)
    raise expected(f"a notebook in {path}", got, "restore it, or move it away")


def _parse_notebook(text: str) -> NotebookNode:
    # nbformat.reads would only log what is invalid.
    notebook = nbformat.reader.reads(text)
    if notebook.nbformat_minor < 5:  # cells had no ids
        notebook.nbformat_minor = 5
        for position, cell in enumerate(notebook.cells, start=1):
            cell["id"] = f"cell-{position}"
    nbformat.validate(notebook, version=4)
    return notebook


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of TOML. Raises ValueError if it is not valid."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def write_atomically(path: str | Path, content: bytes) -> Path:
    """Write a file under a temporary name and rename it.

    If anything fails, the file is as it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_bytes(content)
        return temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def require_new(folder: Path, names: Iterable[str]) -> None:
    """Raise LabreportError if a folder has a file of one of these names already."""
    for name in names:
        if (folder / name).exists():
            got = f"one with {folder / name}"
            raise expected("a new folder", got, "name another")


def write_new(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder, by their names there; return them in order.

    Raises LabreportError if one of them exists already, as nothing is replaced.
    """
    require_new(folder, files)
    return [write_atomically(folder / name, files[name]) for name in sorted(files)]


def write_report(folder: Path, title: str, authors: list[str]) -> list[Path]:
    """Write a new report: the first chapter, its bibliography, and report.toml.

    Returns the files. Raises LabreportError if one of these exists already.
    """
    template = Path(__file__).with_name("new")
    files: dict[str, bytes] = {}
    for path in template.rglob("*.*"):
        if path.is_file():
            files[path.relative_to(template).as_posix()] = path.read_bytes()
    # A string of JSON is one of TOML.
    written_title = json.dumps(title, ensure_ascii=False)
    written_authors = json.dumps(authors, ensure_ascii=False)
    front = f"title = {written_title}\nauthors = {written_authors}\n"
    files[MARK.as_posix()] = front.encode()
    return write_new(folder, files)
