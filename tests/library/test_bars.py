"""Bars are shown after five seconds and erased at the end, here and in a notebook."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from conftest import code
from nbclient import NotebookClient
from nbformat.v4 import new_notebook

from dlapps.core.runtime import Bar
from labreport.run import OwnKernelManager

LOOPS = """
from dlapps.core import assets
from dlapps.core.runtime import Bar

def at_once(*arguments):
    bar = Bar(*arguments, {options})
    bar.delay = bar.mininterval = 0
    return bar

print("before")
for epoch in at_once(range(2), "epochs"):
    for batch in at_once(range(3), "batches"):
        if (epoch, batch) == (1, 2):
            shown = sorted(Bar.output.lines.items()) if Bar.output else []
print("after")
print(*[line.split("|")[0] for _, line in shown], sep=";")
"""


class Manager(OwnKernelManager):
    def __init__(self, **_):
        super().__init__(Path("bars.ipynb"), Path.cwd())


def run(options=""):
    notebook = new_notebook(cells=[code(LOOPS.format(options=options))])
    NotebookClient(notebook, kernel_manager_class=Manager).execute()
    return notebook.cells[0].outputs


def test_a_notebook_has_one_output_for_all_bars_which_is_empty_at_the_end():
    before, bars, after = run("disable=False")
    assert (before.text, bars.data) == ("before\n", {})
    assert after.text == "after\nepochs:  50%;batches:  67%\n"


def test_a_build_has_none():
    (said,) = run()
    assert said.text == "before\nafter\n\n"


@pytest.mark.parametrize(("delay", "seen"), [(5, False), (0, True)])
def test_a_terminal_shows_what_takes_long_and_erases_it(delay, seen):
    written = io.StringIO()
    bar = Bar(range(3), "epochs", file=written, disable=False, mininterval=0)
    bar.delay = delay
    assert list(bar) == [0, 1, 2]
    assert ("epochs:  67%" in written.getvalue()) == seen
    assert written.getvalue().rpartition("\r")[0].rpartition("\r")[2].strip() == ""
