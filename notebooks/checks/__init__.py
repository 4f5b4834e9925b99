"""The automatic checks of the exercises: a module a chapter, named as the notebook
without its number, and in it a function an exercise, by the id of its cell.

Its docstring is what the exercise asks for. It looks at a notebook's variables, and
raises an AssertionError of one
sentence: what was expected, what came, and why it matters. `labreport class` copies a
chapter's into its assignment.
"""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from checks.expect import Variables

WRONG = "expected variables as the exercise asks for them"


def run(check: Callable[[Variables], None], variables: Mapping[str, Any]) -> None:
    """Check a notebook's `globals()`; AssertionError also where they are of a kind that
    cannot be looked at.
    """
    try:
        check(Variables(variables))
    except Exception as error:
        kind = (
            ""
            if isinstance(error, AssertionError)
            else f"{WRONG}, got {type(error).__name__}: "
        )
        # nbgrader cuts long lines off, or has them scrolled.
        raise AssertionError(textwrap.fill(f"{kind}{error}", 70)) from error
