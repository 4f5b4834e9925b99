"""The prose of a notebook filled in while it is worked in, in JupyterLab and Notebook: a widget that draws nothing."""

import weakref
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython import get_ipython

from dlapps.notebook.prose import Prose

VIEW = "application/vnd.jupyter.widget-view+json"


class LiveProse(anywidget.AnyWidget):
    """Answers, after each cell that runs, what the placeholders in the notebook's Markdown stand for.

    The script beside this file looks for them in the rendered page. It asks for those that the saved file does not
    have yet; `answers` has the parts of each one (see `Prose.answer`), `cells` the numbers of headings and the LaTeX
    of formulas by the cell's id.
    """

    _esm = Path(__file__).with_name("live.js")
    _css = Path(__file__).with_name("live.css")
    answers = traitlets.Dict().tag(sync=True)
    cells = traitlets.Dict().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)
    elsewhere = traitlets.Unicode().tag(sync=True)  # the words where the page around it is out of reach

    def __init__(self, prose: Prose, shell: Any, words: str, elsewhere: str) -> None:
        super().__init__(words=words, elsewhere=elsewhere)
        # A chapter that is made anew takes its prose along: this widget then has nothing to say.
        self._prose = weakref.ref(prose)
        self._asked: set[str] = set()
        self._shell = shell
        self.on_msg(lambda _, message, __: self._ask(message["ask"]))
        shell.events.register("post_run_cell", self.refresh)
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Answer anew; what did not change is not sent."""
        prose = self._prose()
        if prose is None:
            self._shell.events.unregister("post_run_cell", self.refresh)
            self.close()
            return
        prose.note_runs(self._shell.user_ns.get("In", ()))
        outline = prose.outline
        self.answers = {token: prose.answer(token) for token in self._asked.union(outline.tokens)}
        self.cells = {
            cell: {**found, "formulas": [prose.formula(formula) for formula in found["formulas"]]}
            for cell, found in outline.cells.items()
        }

    def _ask(self, tokens: list[str]) -> None:
        self._asked.update(tokens)
        self.refresh()


def show_live(prose: Prose, words: str, elsewhere: str) -> dict[str, Any]:
    """The part of an output that shows the widget; empty outside IPython. words, elsewhere: see `LiveProse`."""
    shell = get_ipython()
    if shell is None:
        return {}
    widget = LiveProse(prose, shell, words, elsewhere)
    return {VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}
