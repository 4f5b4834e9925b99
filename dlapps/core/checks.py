"""The library's error, and checks of names, counts and lengths that a caller passes."""

import math
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


def check_positive(**values: float) -> None:
    """Raise ValueError for a learning rate or a length that is not above 0; a descent
    with a negative one would climb.
    """
    for name, value in values.items():
        if not (isinstance(value, Real) and value > 0):
            raise ValueError(
                f"expected {name} > 0, got {value!r}; take a positive number."
            )


def check_shares(**shares: float) -> None:
    """Raise ValueError for a share, a decay or a probability that is not in [0, 1]."""
    for name, share in shares.items():
        if not (isinstance(share, Real) and 0 <= share <= 1):
            raise ValueError(
                f"expected {name} from 0 to 1, got {share!r}; take a share."
            )


def check_length(name: str, length: float, most: float = math.inf) -> None:
    """Raise ValueError for a step, a distance or a deviation that is not a finite
    number from 0 to `most`.
    """
    is_number = isinstance(length, Real) and math.isfinite(length)
    if not (is_number and 0 <= length <= most):
        limit = ", at most 1 (pixels lie in [0, 1])" if most == 1 else ""
        raise ValueError(
            f"expected {name} >= 0, finite{limit}, a number, got {length!r}; "
            f"take {name} from that range."
        )
