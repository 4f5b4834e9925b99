"""The folders in which files lie; no other module knows them."""

import os
from pathlib import Path

import platformdirs

from dlapps.core.checks import DlappsError

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent


def mirror() -> Path | None:
    """Return the local mirror of data sets that `DLAPPS_DATA` names, or None.

    A relative path starts at the current folder, or else at the nearest folder above
    from which it leads to one. Raises DlappsError if it names no folder: otherwise data
    would silently come from elsewhere.
    """
    name = os.environ.get("DLAPPS_DATA")
    if not name:
        return None
    here = Path.cwd()
    for start in (here, *here.parents):
        folder = start / Path(name).expanduser()
        if folder.is_dir():
            return folder
    raise DlappsError(
        f"expected a folder in DLAPPS_DATA, got {here / name}; correct it or unset it."
    )


def assets() -> Path:
    """Return the folder in which fetched weights and data sets are stored.

    It is `assets` in the folder that `DLAPPS_HOME` names. Without this variable it is
    data/assets in a clone, and in a user's cache for an installed library. The first
    fetch makes the folder.
    """
    home = os.environ.get("DLAPPS_HOME")
    if home:
        return Path(home).expanduser().resolve() / "assets"
    if _is_clone():
        return CHECKOUT / "data" / "assets"
    return Path(platformdirs.user_cache_dir("dlapps", appauthor=False)) / "assets"


def networks() -> Path:
    """Return the folder of the files that come with the code.

    They are trained networks, and features of pictures that cannot be committed.
    """
    root = CHECKOUT if _is_clone() else PACKAGE
    return root / "data" / "networks"


def require_network(filename: str, what: str) -> Path:
    """Return the path of a file that comes with the code.

    what: the content of the file. DlappsError, which names it, is raised if the file is
        missing.
    """
    path = networks() / filename
    if not path.is_file():
        raise DlappsError(
            f"expected {what} in {path}, got no such file; "
            "restore it, or install dlapps again."
        )
    return path


def _is_clone() -> bool:
    # An installed package has the networks in it, a clone beside it.
    return not (PACKAGE / "data").is_dir()
