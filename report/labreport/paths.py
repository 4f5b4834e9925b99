"""The folders of a report, and how files are written."""

import os
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


def write_relative(target: Path, folder: Path) -> str:
    """Write how a file of that folder names the target."""
    return Path(os.path.relpath(target, folder)).as_posix()


def find_results() -> dict[str, Path]:
    """Map file names to the committed results: the measurements of long runs, and the
    networks that they trained.
    """
    files = {}
    for folder in (results(), networks()):
        for path in folder.glob("*"):
            if path.is_file():
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
