"""The only place that knows folders."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def project() -> Path:
    """The folder that holds notebooks/, data/, figures/ and report/.

    The checkout that this package lies in; `DLAPPS_HOME` names another one. Where neither exists (the package
    installed alone, in a notebook of one's own), the current folder.
    """
    if home := os.environ.get("DLAPPS_HOME"):
        return Path(home).expanduser().resolve()
    return CHECKOUT if (CHECKOUT / "pyproject.toml").is_file() else Path.cwd()


def mirror() -> Path | None:
    """The local mirror of data sets that `DLAPPS_DATA` names, or None; relative paths start at the project."""
    folder = os.environ.get("DLAPPS_DATA")
    return project() / Path(folder).expanduser() if folder else None


def notebooks() -> Path:
    return project() / "notebooks"


def figures() -> Path:
    return project() / "figures"


def report() -> Path:
    """Template, bibliography; `report() / "build"` is what a build writes."""
    return project() / "report"


def build() -> Path:
    return report() / "build"


def assets() -> Path:
    """Where fetched weights and data sets are kept."""
    return project() / "data" / "assets"


def cache() -> Path:
    """Results of long computations, kept by what they depend on (joblib)."""
    return project() / "data" / "cache"


def results() -> Path:
    """The small committed results: features of pictures that cannot be committed, and what the long runs measured."""
    return project() / "data" / "results"
