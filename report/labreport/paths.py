"""The only place that knows folders; and what is not installed."""

import functools
import json
import os
import re
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from labreport import LabreportError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = Path(__file__).resolve().parent
MARK = Path(
    "report", "report.toml"
)  # title and authors of a report; what has this file is a report's folder


def project() -> Path:
    """The folder of a report: of notebooks/, figures/, data/ and report/, which holds
    report.toml.

    The nearest such folder at or above the current one, as git finds a repository;
    `LABREPORT_HOME` names another one. Without one (a notebook that belongs to no
    report), the current folder.
    """
    if home := os.environ.get("LABREPORT_HOME"):
        return Path(home).expanduser().resolve()
    here = Path.cwd()
    return next(
        (folder for folder in (here, *here.parents) if (folder / MARK).is_file()), here
    )


def has_report() -> bool:
    """Whether the project's folder is that of a report, or one that `LABREPORT_HOME`
    names as such.
    """
    return bool(os.environ.get("LABREPORT_HOME")) or (project() / MARK).is_file()


def read_mark() -> dict[str, Any]:
    """What report.toml says; nothing where there is no such file, or an invalid one,
    which a build names.
    """
    try:
        return tomllib.loads((project() / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def require_report(purpose: str) -> None:
    """Raise LabreportError, which names the purpose, where there is no report's folder."""
    if not has_report():
        raise LabreportError(
            f"expected a folder with {MARK} for {purpose}, got {project()}; change to one, make one with "
            "labreport new, or name one in LABREPORT_HOME."
        )


def notebooks() -> Path:
    """The notebooks, one a chapter."""
    return project() / "notebooks"


def chapters() -> dict[str, str]:
    """The notebooks' stems with their numbers, in the order of both: chapters, "1",
    "2", then appendices, "A", "B".

    A chapter's number is what its name begins with, where all chapters' names begin
    with one; else the place in the order of names. A notebook is an appendix if its
    first cell has the tag "appendix".
    """
    files = sorted(notebooks().glob("[!.]*.ipynb"))
    appendices = [
        path.stem for path in files if _is_appendix(path, path.stat().st_mtime_ns)
    ]
    names = [path.stem for path in files if path.stem not in appendices]
    leading = {
        name: int(found[0]) for name in names if (found := re.match("[0-9]+", name))
    }
    if len(leading) < len(names):
        leading = {name: place for place, name in enumerate(names, start=1)}
    numbers = {
        name: str(leading[name]) for name in sorted(leading, key=leading.__getitem__)
    }
    return numbers | {
        name: chr(ord("A") + place) for place, name in enumerate(appendices)
    }


@functools.lru_cache
def _is_appendix(path: Path, _changed: int) -> bool:
    try:
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
        return "appendix" in first["metadata"]["tags"]
    except (
        ValueError,
        LookupError,
        TypeError,
    ):  # no such tag, or no notebook: a build says it
        return False


def chapter_number(name: str) -> str:
    """The number of the notebook with that stem; where it is not the report's, what it
    begins with, or 1.
    """
    leading = re.match("[0-9]+", name)
    return chapters().get(name, str(int(leading[0])) if leading else "1")


def chapter_words(number: str) -> str:
    """What the notebook of that number is called: "Chapter 2" or "Appendix A"."""
    return f"{'Appendix' if number.isalpha() else 'Chapter'} {number}"


def seed() -> int:
    """The seed from which chapters run: 0, or what `LABREPORT_SEED` says, which
    `--seed` of a command sets.

    Raises LabreportError for anything but a whole number from 0.
    """
    said = os.environ.get("LABREPORT_SEED") or "0"
    if not said.isdigit():
        raise LabreportError(
            f"expected a seed in LABREPORT_SEED, got {said!r}; set 0 or more."
        )
    return int(said)


def figures() -> Path:
    """Where notebooks save their figures, and a build reads them."""
    return build() / "figures" if seed() else project() / "figures"


def report() -> Path:
    """The bibliography; `report() / "build"` is what a build writes."""
    return project() / "report"


def build() -> Path:
    """What a build writes, of each seed but 0 in a folder of its own; `make clean`
    empties it.
    """
    folder = report() / "build"
    return folder / f"seed-{seed()}" if seed() else folder


def cache() -> Path:
    """Checkpoints of long computations, and what they stored by what it depends on
    (joblib).
    """
    return project() / "data" / "cache"


def results() -> Path:
    """Where what long runs measured is written, to be committed: the report's
    data/results.
    """
    return project() / "data" / "results"


def networks() -> Path:
    """Where the networks that studies trained are written, to be committed: the
    report's data/networks.
    """
    return project() / "data" / "networks"


def find_results() -> dict[str, Path]:
    """The small committed results by file name: what long runs measured, and the
    networks that they trained.
    """
    return {
        path.name: path
        for folder in (results(), networks())
        for path in folder.glob("*")
    }


def write_atomically(path: str | Path, content: bytes) -> Path:
    """Write a file under a temporary name and rename it: whatever fails, it is there
    whole, or as it was before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_bytes(content)
        return temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class MissingPackageError(LabreportError, ImportError):
    """A package that has to be installed first, in one sentence with the command."""


def require(extra: str, *packages: str) -> None:
    """Raise MissingPackageError unless all of these can be imported; nothing is
    imported here.

    extra: the list of optional packages in pyproject.toml that brings them, "" for
    those that are always installed.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        names = f"the package{'s'[: len(missing) > 1]} {', '.join(missing)}"
        wanted = f'"labreport[{extra}]"' if extra else "labreport"
        raise MissingPackageError(
            f"expected {names}, got none; run pip install {wanted}."
        )
