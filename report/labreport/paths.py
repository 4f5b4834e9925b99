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
# Title and authors of a report: a folder that has this file is a report's.
MARK = Path("report", "report.toml")


def project() -> Path:
    """The folder of a report: of notebooks/, figures/, data/ and report/, which holds
    report.toml.

    It is the nearest such folder at or above the current one, as git finds a
    repository; `LABREPORT_HOME` names another one. Without one (a notebook that belongs
    to no report), it is the current folder.
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
    """Raise LabreportError, which names the purpose, outside a report's folder."""
    if not os.environ.get("LABREPORT_HOME") and not (project() / MARK).is_file():
        raise LabreportError(
            f"expected a folder with {MARK} for {purpose}, got {project()}; change to "
            "one, make one with labreport new, or name one in LABREPORT_HOME."
        )


def read_toml(path: Path) -> dict[str, Any]:
    """What a file of TOML says. Raises ValueError if it is not valid."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def notebooks() -> Path:
    """The folder of the notebooks, one a chapter."""
    return project() / "notebooks"


def chapters() -> dict[str, str]:
    """The notebooks' stems with their numbers, in the order of both: chapters "1", "2",
    then appendices "A", "B".

    A chapter's number is what its name begins with, where all chapters' names begin
    with one; else it is the position in the order of names. A notebook is an appendix if
    its first cell has the tag "appendix".
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
    """The number of the notebook with that stem; of one that is not the report's, what
    its name begins with, or 1.
    """
    digits = re.match("[0-9]+", name)
    leading = str(int(digits[0])) if digits else "1"
    return chapters().get(name, leading)


def chapter_words(number: str) -> str:
    """What the notebook of that number is called: "Chapter 2" or "Appendix A"."""
    kind = "Appendix" if number.isalpha() else "Chapter"
    return f"{kind} {number}"


def seed() -> int:
    """The seed from which chapters run: 0, or what `LABREPORT_SEED` says, which
    `--seed` of a command sets.

    Raises LabreportError for anything but a whole number from 0.
    """
    value = os.environ.get("LABREPORT_SEED") or "0"
    if not value.isdigit():
        raise LabreportError(
            f"expected a seed in LABREPORT_SEED, got {value!r}; set 0 or more."
        )
    return int(value)


def figures() -> Path:
    """The folder in which notebooks save their figures, and a build reads them."""
    return build() / "figures" if seed() else project() / "figures"


def report() -> Path:
    """The folder of the bibliography, report.toml and what is published."""
    return project() / "report"


def build() -> Path:
    """The folder that a build writes, one for each seed; `make clean` empties it."""
    folder = report() / "build"
    return folder / f"seed-{seed()}" if seed() else folder


def cache() -> Path:
    """The folder of the checkpoints of long computations, and of what joblib stores."""
    return project() / "data" / "cache"


def results() -> Path:
    """The folder in which long runs write what they measured, to be committed."""
    return project() / "data" / "results"


def networks() -> Path:
    """The folder in which studies write the networks that they trained, to be
    committed.
    """
    return project() / "data" / "networks"


def find_results() -> dict[str, Path]:
    """The committed results by file name: what long runs measured, and the networks
    that they trained.
    """
    files = {}
    for folder in (results(), networks()):
        for path in folder.glob("*"):
            files[path.name] = path
    return files


def write_atomically(path: str | Path, content: bytes) -> Path:
    """Write a file under a temporary name and rename it.

    Whatever fails, the file is there whole, or as it was before.
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
        noun = "package" if len(missing) == 1 else "packages"
        wanted = f'"labreport[{extra}]"' if extra else "labreport"
        raise MissingPackageError(
            f"expected the {noun} {', '.join(missing)}, got none; run pip install "
            f"{wanted}."
        )
