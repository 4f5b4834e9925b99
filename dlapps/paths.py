"""The only place that knows folders."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import platformdirs

from dlapps import DlappsError

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent


def project() -> Path:
    """The folder that holds notebooks/, data/, figures/ and report/.

    The checkout that this package lies in; `DLAPPS_HOME` names another one. Where neither exists (the package
    installed alone, in a notebook of one's own), the current folder.
    """
    if home := os.environ.get("DLAPPS_HOME"):
        return Path(home).expanduser().resolve()
    return CHECKOUT if (CHECKOUT / "pyproject.toml").is_file() else Path.cwd()


def has_checkout() -> bool:
    """Whether the project's folder is a checkout, or one that `DLAPPS_HOME` names in its place."""
    return bool(os.environ.get("DLAPPS_HOME")) or (project() / "report" / "references.bib").is_file()


def require_checkout(purpose: str) -> None:
    """Raise DlappsError, which names the purpose, where there is no checkout."""
    if not has_checkout():
        raise DlappsError(
            f"expected a checkout of dlapps for {purpose}, got {project()}; change to one, or name it in DLAPPS_HOME."
        )


def mirror() -> Path | None:
    """The local mirror of data sets that `DLAPPS_DATA` names, or None; relative paths start at the project.

    Raises DlappsError where it names no folder: what was meant to come from it would silently come from elsewhere.
    """
    named = os.environ.get("DLAPPS_DATA")
    if not named:
        return None
    folder = project() / Path(named).expanduser()
    if not folder.is_dir():
        raise DlappsError(f"expected a folder of data sets in DLAPPS_DATA, got {folder}; correct it or unset it.")
    return folder


def notebooks() -> Path:
    """The notebooks, one a chapter."""
    return project() / "notebooks"


def figures() -> Path:
    """Where notebooks save their figures, and a build reads them."""
    return project() / "figures"


def report() -> Path:
    """The bibliography; `report() / "build"` is what a build writes."""
    return project() / "report"


def build() -> Path:
    """What a build writes; `make clean` empties it."""
    return report() / "build"


def user_cache() -> Path:
    """The user's folder for what can be fetched again, by the custom of the system."""
    return Path(platformdirs.user_cache_dir("dlapps", appauthor=False))


def assets() -> Path:
    """Where fetched weights and data sets are kept: in a checkout data/assets, else the user's cache."""
    return project() / "data" / "assets" if has_checkout() else user_cache() / "assets"


def cache() -> Path:
    """Results of long computations, kept by what they depend on (joblib): in a checkout data/cache."""
    return project() / "data" / "cache" if has_checkout() else user_cache() / "computed"


def results() -> Path:
    """The small committed results: networks, features of pictures that cannot be committed, what long runs measured.

    data/results of the checkout; without one, the copy that the installed package carries.
    """
    committed, carried = project() / "data" / "results", PACKAGE / "data" / "results"
    return committed if committed.is_dir() or not carried.is_dir() else carried


def require_result(filename: str, what: str, remedy: str) -> Path:
    """A file among the results; DlappsError, with what it should be and a remedy, where there is none."""
    path = results() / filename
    if not path.is_file():
        raise DlappsError(f"expected {what} in {path}, got no such file; {remedy}.")
    return path


def write_atomically(path: str | Path, content: bytes) -> Path:
    """Write a file under a temporary name and rename it: whatever fails, it is there whole, or as it was before."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_bytes(content)
        return temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
