"""The library's error, and checks of names, counts and lengths that a caller passes."""

from collections.abc import Collection
from numbers import Integral, Real


class DlappsError(Exception):
    """What went wrong in one sentence: what was expected, what came instead, what to
    do.

    It is raised for what lies outside a program: files, folders, downloads, variables.
    A wrong argument is a ValueError, in the same form. `PictureError` is both, since a
    picture may come from either.
    """


def check_name(
    what: str, name: str, names: Collection[str], kind: type[Exception] = ValueError
) -> None:
    """Raise an error of that kind, which lists the valid names, for another name."""
    if name not in names:
        raise kind(
            f"expected {what} among {', '.join(names)}, got {name!r}; "
            "choose one of them."
        )


def check_counts(least: int = 1, /, **counts: int) -> None:
    """Raise ValueError for a number of epochs, steps, draws or pixels that is not a
    whole number or is below the least.
    """
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < least:
            raise ValueError(
                f"expected {name} >= {least}, got {count!r}; take a whole number."
            )


def as_seed(seed: int) -> int:
    """Return a seed as an int; raise ValueError unless it is whole and >= 0."""
    check_counts(0, seed=seed)
    return int(seed)


def check_between(low: float, high: float, /, **values: float) -> None:
    """Raise ValueError for a rate, a share or a length that is not from low to high."""
    for name, value in values.items():
        if not (isinstance(value, Real) and low <= value <= high):
            raise ValueError(
                f"expected {name} from {low:g} to {high:g}, got {value!r}; "
                "take a number of that range."
            )
