"""The automatic checks of the exercises: a module for each chapter.

A module is named as the notebook without its number. It has a function for each
exercise, named as its cell's id; the docstring is what the exercise asks for. The
function looks at a notebook's variables and raises an AssertionError of one sentence:
what was expected, what came, and why it matters. `labreport class` copies a chapter's
module into its assignment.
"""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from checks.expect import Variables

WRONG = "expected variables as the exercise asks for them"


def run(check: Callable[[Variables], None], variables: Mapping[str, Any]) -> None:
    """Check a notebook's `globals()`.

    Raises AssertionError if the check does, and if the check fails otherwise.
    """
    try:
        check(Variables(variables))
    except AssertionError as error:
        raise AssertionError(_wrap(str(error))) from None
    except Exception as error:
        sentence = f"{WRONG}, got {type(error).__name__}: {error}"
        raise AssertionError(_wrap(sentence)) from error


def _wrap(sentence: str) -> str:
    # nbgrader cuts long lines off, or scrolls them.
    return textwrap.fill(sentence, 70)
