"""A report that runs: notebooks whose numbers are live and whose claims are checked, as
PDF, web pages and copies.
"""

from collections.abc import Collection
from numbers import Integral

__version__ = "0.2.0"
__all__ = [
    "LabreportError",
    "intervals",
    "notebook",
    "results",
    "sweeps",
]


class LabreportError(ValueError):
    """What went wrong in one sentence: what was expected, what came instead, what to
    do.
    """


def expected(what: str, got: object, remedy: str) -> LabreportError:
    """Return the error that says what was expected, what came instead, what to do."""
    return LabreportError(f"expected {what}, got {got}; {remedy}.")


def first_line(text: str, width: int = 60) -> str:
    """Return the first line of a text, shortened, as a sentence quotes it."""
    line = text.strip().partition("\n")[0].rstrip()
    if len(line) > width:
        line = line[: width - 1].rstrip() + "…"
    return line


def check_name(
    what: str,
    name: str,
    known: Collection[str],
    kind: type[Exception] = LabreportError,
) -> None:
    """Raise an error of that kind, which lists the known names, for any other name."""
    if name not in known:
        names = ", ".join(known)
        raise kind(f"expected {what} among {names}, got {name!r}; choose one of them.")


def check_counts(least: int = 1, /, **counts: int) -> None:
    """Raise LabreportError for a number of comparisons or of examples that is not a
    whole number from the least.
    """
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < least:
            raise expected(f"{name} >= {least}", repr(count), "take a whole number")
