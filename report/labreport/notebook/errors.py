"""Show a mistake in a cell where a person works: its sentence, and below it the
traceback, folded.
"""

import traceback
from html import escape
from typing import Any

from labreport import LabreportError


def show(
    shell: Any, kind: type, error: Any, place: Any, tb_offset: int | None = None
) -> None:
    """Show an error that says what was expected as that sentence, any other as IPython
    does.

    It is a handler for the `set_custom_exc` of an IPython shell.
    """
    # Not before chapter.py has said what to install.
    from IPython.display import display

    if not isinstance(error, LabreportError) and not str(error).startswith("expected "):
        shell.showtraceback((kind, error, place), tb_offset=tb_offset)
        return
    # IPython asks an error for it.
    error._render_traceback_ = lambda: [f"{kind.__name__}: {error}"]
    shell.showtraceback((kind, error, place))
    # The first step is IPython's own.
    text = "".join(traceback.format_exception(kind, error, place.tb_next))
    folded = f"<details><summary>Traceback</summary><pre>{escape(text)}</pre></details>"
    display({"text/plain": text, "text/html": folded}, raw=True)
