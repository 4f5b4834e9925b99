"""The folder of a report: where its files lie, what its title page says, which
notebooks are its chapters, and how files are written.
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from labreport import LabreportError, check_name, expected, first_line

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
PROFILES: dict[str, dict[str, Any]] = {
    "smoke": {},
    "quick": {},
    "full": {"seeds": [0, 1, 2]},
}


class Profile:
    """The settings of a profile, as attributes.

    Every profile has a name and seeds, which are (0,) unless it says otherwise.
    """

    def __init__(self, name: str, **settings: Any) -> None:
        self.name = name
        self.seeds = tuple(settings.pop("seeds", (0,)))
        vars(self).update(settings)

    def __getattr__(self, setting: str) -> Any:
        # `copy` asks for attributes before there are any settings.
        settings = vars(self)
        what = f"a setting of the profile {settings.get('name', '')}".rstrip()
        check_name(what, setting, settings, AttributeError)


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

    def require(self, purpose: str) -> None:
        """Raise LabreportError outside a report's folder; it names the purpose."""
        is_there = (self.root / MARK).is_file()
        if os.environ.get(HOME):
            is_there = self.root.is_dir()
        if not is_there:
            remedy = f"change to one, make one with labreport new, or name one in {HOME}"
            raise expected(f"a folder with {MARK} for {purpose}", self.root, remedy)

    def title_page(self) -> TitlePage:
        """Read report/report.toml.

        Raises LabreportError if it is missing, has no title or no authors, or has a key
        or a value that is not known.
        """
        path = self.root / MARK
        optional = ", ".join(field.name for field in fields(TitlePage)[2:])
        try:
            entries = {"title": None, "authors": None, **read_toml(path)}
            for key, value in entries.items():
                if not _is_valid(key, value):
                    raise ValueError(f"{key} = {value!r}")
            return TitlePage(**entries)
        except (OSError, ValueError) as error:
            wanted = 'title = "..." and authors = ["..."], '
            wanted += f"and maybe {optional}, in {path}"
            raise expected(wanted, first_line(str(error), 120), "correct it") from error

    def profile(self, name: str) -> Profile:
        """Return the report's profile of that name.

        Raises LabreportError, which lists the profiles, for another name, and for a
        file that is not valid.
        """
        path = self.folder / "profiles.toml"
        tables = PROFILES
        try:
            if path.is_file():
                tables = read_toml(path)
            check_name("a profile", name, tables)
            return Profile(name, **tables[name])
        except LabreportError:
            raise
        except (ValueError, TypeError) as error:
            wanted = f"a table of settings for each profile in {path}"
            raise expected(wanted, error, "correct it") from error

    def sources(self) -> list[Source]:
        """Read all notebooks of the report, in the order of their numbers: chapters
        "1", "2", then appendices "A", "B".

        A chapter's number is the one that its name begins with, if the names of all
        chapters begin with one. Otherwise it is the position in the order of names. A
        notebook is an appendix if its first cell has the tag "appendix". Raises
        LabreportError if there are none, or if two share a number or a page.
        """
        chapters: dict[Path, NotebookNode] = {}
        appendices: dict[Path, NotebookNode] = {}
        for path in sorted(self.notebooks.glob("[!.]*.ipynb")):
            notebook = read_notebook(path)
            is_appendix = bool(notebook.cells) and "appendix" in tags(notebook.cells[0])
            group = appendices if is_appendix else chapters
            group[path] = notebook
        if not chapters and not appendices:
            wanted = "notebooks such as 1_first_chapter.ipynb"
            remedy = f"write one there, or name another report in {HOME}"
            raise expected(wanted, f"none in {self.notebooks}", remedy)
        are_numbered = all(re.match("[0-9]", path.stem) for path in chapters)
        found: list[Source] = []
        for index, (path, notebook) in enumerate(chapters.items(), start=1):
            number = leading_number(path.stem) if are_numbered else str(index)
            found.append(Source(path, number, notebook))
        found.sort(key=lambda source: int(source.number))
        for index, (path, notebook) in enumerate(appendices.items()):
            found.append(Source(path, chr(ord("A") + index), notebook))
        _require_different(found)
        return found


def find_report(folder: Path | None = None) -> Report:
    """Find the report at or above a folder, the current one by default, as git finds a
    repository; `LABREPORT_HOME` names another one.

    For a notebook that belongs to no report it is the folder.
    """
    home = os.environ.get(HOME)
    if home:
        return Report(Path(home).expanduser().resolve())
    here = folder or Path.cwd()
    for folder in (here, *here.parents):
        if (folder / MARK).is_file():
            return Report(folder)
    return Report(here)


def select(sources: Sequence[Source], chapters: Iterable[str]) -> list[Source]:
    """Return the chapters of these numbers or names, by default all.

    Raises LabreportError, which lists the valid ones, for any other.
    """
    by_name: dict[str, Source] = {}
    for source in sources:
        for name in (source.number, source.name, source.path.name):
            by_name[name] = source
    known = ", ".join(f"{source.number} ({source.name})" for source in sources)
    selected: list[Source] = []
    for chapter in chapters:
        if chapter not in by_name:
            raise expected(f"a chapter among {known}", repr(chapter), "choose one")
        selected.append(by_name[chapter])
    return selected or list(sources)


def page_file(name: str) -> str:
    """Return the file name of a chapter's page: 1-transfer-learning.html for
    1_transfer_learning.
    """
    return re.sub(r"[\W_]+", "-", name) + ".html"


def leading_number(name: str) -> str:
    """Return the number that a name begins with, or "1"."""
    digits = re.match("[0-9]+", name)
    return str(int(digits[0])) if digits else "1"


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags in a cell's metadata."""
    return cell.metadata.get("tags", [])


def read_notebook(path: Path) -> NotebookNode:
    """Read the notebook in that file.

    A file that is not valid may just be being saved, so it is read again, for a second.
    Raises LabreportError if it stays so.
    """
    for _ in range(5):
        try:
            return _parse_notebook(path.read_text(encoding="utf-8"))
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            got = first_line(str(error))
        except nbformat.ValidationError as error:
            got = first_line(str(error))
        time.sleep(0.2)
    raise expected(f"a notebook in {path}", got, "restore it, or move it away")


def _parse_notebook(text: str) -> NotebookNode:
    # nbformat.reads would only log what is invalid.
    notebook = nbformat.reader.reads(text)
    if notebook.nbformat != 4:
        raise ValueError(f"nbformat {notebook.nbformat} instead of 4")
    if notebook.nbformat_minor < 5:  # cells had no ids
        notebook.nbformat_minor = 5
        for position, cell in enumerate(notebook.cells, start=1):
            cell["id"] = f"cell-{position}"
    nbformat.validate(notebook)
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


def write_new(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder, by their names there; return them in order.

    Raises LabreportError if one of them exists already, as nothing is replaced, or if
    the folder cannot be written into.
    """
    for name in files:
        if (folder / name).exists():
            got = f"one with {folder / name}"
            raise expected("a new folder", got, "name another")
    try:
        return [write_atomically(folder / name, files[name]) for name in sorted(files)]
    except OSError as error:
        got = f"{folder} ({error.strerror})"
        raise expected("a folder to write into", got, "name another") from error


def write_report(folder: Path, title: str, authors: list[str]) -> list[Path]:
    """Write a new report: the first chapter, its bibliography, and report.toml.

    Returns the files. Raises LabreportError if one of these exists already.
    """
    template = Path(__file__).with_name("new")
    files: dict[str, bytes] = {}
    for path in template.rglob("*"):
        if path.is_file():
            files[path.relative_to(template).as_posix()] = path.read_bytes()
    # A string of JSON is one of TOML.
    written_title = json.dumps(title, ensure_ascii=False)
    written_authors = json.dumps(authors, ensure_ascii=False)
    front = f"title = {written_title}\nauthors = {written_authors}\n"
    files[MARK.as_posix()] = front.encode()
    return write_new(folder, files)


def _is_valid(key: str, value: Any) -> bool:
    """Return whether report.toml may have this value for this key."""
    if key in ("authors", "packages"):
        is_list = isinstance(value, list) and all(map(_is_text, value))
        return is_list and (value != [] or key == "packages")
    if key == "title":
        return _is_text(value)
    known = {field.name for field in fields(TitlePage)}
    return key in known and isinstance(value, str)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _require_different(sources: Iterable[Source]) -> None:
    owners = {"index.html": "the page of contents"}
    for source in sources:
        for key in (source.number, page_file(source.name)):
            owner = owners.setdefault(key, source.name)
            if owner != source.name:
                got = f"{owner} and {source.name}"
                raise expected("one notebook a chapter", got, "rename one of them")
