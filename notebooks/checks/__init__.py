"""The automatic checks of the exercises: a function an exercise, in its chapter's module, by the id of its cell.

Its docstring is what the exercise asks for. It looks at a notebook's variables, and raises an AssertionError of one
sentence: what was expected, what came, and why it matters.
"""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from dlapps.classroom.checks import dann, gan, transfer, visualizing
from dlapps.classroom.checks.expect import Variables

WRONG = "expected variables as the exercise asks for them"
# By the name of the notebook: another report's chapters have none.
CHAPTERS = {
    "1_transfer_learning": transfer,
    "2_visualizing_networks": visualizing,
    "3_domain_adaptation": dann,
    "4_generative_adversarial_networks": gan,
}


def run(check: Callable[[Variables], None], variables: Mapping[str, Any]) -> None:
    """Check a notebook's `globals()`; AssertionError also where they are of a kind that cannot be looked at."""
    try:
        check(Variables(variables))
    except Exception as error:
        kind = "" if isinstance(error, AssertionError) else f"{WRONG}, got {type(error).__name__}: "
        # nbgrader cuts long lines off, or has them scrolled.
        raise AssertionError(textwrap.fill(f"{kind}{error}", 70)) from error
