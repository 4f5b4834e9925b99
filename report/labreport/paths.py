"""The folders of a report, which only this module knows."""

import functools
import json
import os
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labreport import expected

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = Path(__file__).resolve().parent
# Title and authors of a report: a folder that has this file is a report's.
MARK = Path("report", "report.toml")


def project() -> Path:
    """Return the folder of the report, with notebooks/, figures/, data/ and report/ in
    it.

    It is the nearest folder at or above the current one that has report/report.toml, as
    git finds a repository; `LABREPORT_HOME` names another one. For a notebook that
    belongs to no report it is the current folder.
    """
    home = os.environ.get("LABREPORT_HOME")
    if home:
        return Path(home).expanduser().resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / MARK).is_file():
            return folder
    return here


def require_report(purpose: str) -> None:
    """Raise LabreportError outside a report's folder; the message names the purpose."""
    if os.environ.get("LABREPORT_HOME"):
        is_there = project().is_dir()
    else:
        is_there = (project() / MARK).is_file()
    if not is_there:
        raise expected(
            f"a folder with {MARK} for {purpose}",
            project(),
            (
                "change to one, make one with labreport new, or name one in "
                "LABREPORT_HOME"
            ),
        )


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of TOML. Raises ValueError if it is not valid."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def notebooks() -> Path:
    """Return the folder of the notebooks, one for each chapter."""
    return project() / "notebooks"


def chapters() -> dict[str, str]:
    """Map the stems of the notebooks to their numbers, in the order of the numbers:
    chapters "1", "2", then appendices "A", "B".

    A chapter's number is the one that its name begins with, if the names of all
    chapters begin with one. Otherwise it is the position in the order of names. A
    notebook is an appendix if its first cell has the tag "appendix".
    """
    names = []
    appendices = []
    for path in sorted(notebooks().glob("[!.]*.ipynb")):
        if _is_appendix(path, path.stat().st_mtime_ns):
            appendices.append(path.stem)
        else:
            names.append(path.stem)
    positions: dict[str, int] = {}
    for name in names:
        digits = re.match("[0-9]+", name)
        if digits:
            positions[name] = int(digits[0])
    if len(positions) < len(names):
        positions = {name: index for index, name in enumerate(names, start=1)}
    numbers = {}
    for name in sorted(positions, key=positions.__getitem__):
        numbers[name] = str(positions[name])
    for index, name in enumerate(appendices):
        numbers[name] = chr(ord("A") + index)
    return numbers


@functools.lru_cache
def _is_appendix(path: Path, _changed: int) -> bool:
    try:
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
        return "appendix" in first["metadata"]["tags"]
    except (ValueError, LookupError, TypeError):
        return False  # it has no tags, or is no notebook, which a build says


def chapter_number(name: str) -> str:
    """Return the number of the notebook with that stem.

    For a notebook that does not belong to the report it is the number that its name
    begins with, or 1.
    """
    digits = re.match("[0-9]+", name)
    leading = str(int(digits[0])) if digits else "1"
    return chapters().get(name, leading)


def chapter_words(number: str) -> str:
    """Return the words for the notebook of that number: "Chapter 2" or "Appendix A"."""
    kind = "Appendix" if number.isalpha() else "Chapter"
    return f"{kind} {number}"


def report() -> Path:
    """Return the folder of the bibliography, report.toml and what is published."""
    return project() / "report"


def cache() -> Path:
    """Return the folder for checkpoints of long computations and for what joblib
    stores.
    """
    return project() / "data" / "cache"


def results() -> Path:
    """Return the folder for the measurements of long runs, which are committed."""
    return project() / "data" / "results"


def networks() -> Path:
    """Return the folder for the networks that studies trained, which are committed."""
    return project() / "data" / "networks"


def find_results() -> dict[str, Path]:
    """Map file names to the committed results: the measurements of long runs, and the
    networks that they trained.
    """
    files = {}
    for folder in (results(), networks()):
        for path in folder.glob("*"):
            files[path.name] = path
    return files


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
