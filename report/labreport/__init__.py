"""A report that runs: notebooks whose numbers are live and whose claims are checked, as
PDF, web pages and copies.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

# First, while the stack is short: from within nested imports a kernel of Python 3.11
# takes five times as long for it.
import nbformat  # noqa: F401

__version__ = "0.2.0"
__all__ = ["LabreportError", "chapter", "intervals", "results"]


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


@contextmanager
def located(where: str) -> Iterator[None]:
    """Have a LabreportError of the block begin with its place."""
    try:
        yield
    except LabreportError as error:
        raise LabreportError(f"{where}: {error}") from error
