"""Packages that one part of the library needs and a plain installation lacks."""

from importlib.util import find_spec

from dlapps import DlappsError


class MissingPackageError(DlappsError, ImportError):
    """A package that has to be installed first, in one sentence with the command."""


def require(extra: str, *packages: str) -> None:
    """Raise MissingPackageError unless all of these can be imported; nothing is imported here.

    extra: the list of packages in pyproject.toml that brings them.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        names = f"package{'s'[: len(missing) > 1]} {', '.join(missing)}"
        raise MissingPackageError(f'expected the {names}, got none; run pip install "dlapps[{extra}]".')
