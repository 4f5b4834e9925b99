"""A mistake in a cell: its sentence and a folded traceback where a person works,
Python's own in a build.
"""

from __future__ import annotations

import pytest
from conftest import code
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from nbformat.v4 import new_notebook

from labreport.editions.execute import OwnKernelManager
from labreport.notebook import errors

START = """import os
os.environ['JPY_SESSION_NAME'] = {session!r}
from labreport.notebook import Chapter
Chapter('1_own')"""
LOAD = "from labreport import check_name\ncheck_name('a network', 'vgg61', ['vgg16'])"
SENTENCE = "expected a network among vgg16, "


def run(project, session, source):
    """The outputs of a cell that fails, and those of a cell below it, which does not
    run.
    """
    notebook = new_notebook(
        cells=[
            code(START.format(session=session)),
            code(source),
            code("print('below')"),
        ]
    )
    client = NotebookClient(notebook, kernel_manager_class=OwnKernelManager)
    with pytest.raises(Exception, match="vgg61"):
        client.execute()
    return notebook.cells[1].outputs, notebook.cells[2].outputs


def test_where_a_person_works_the_traceback_is_folded_below_the_sentence(project):
    (error, folded), below = run(project, "1_own.ipynb", LOAD)
    assert (error.ename, below) == ("ValueError", [])
    (said,) = error.traceback
    assert said.startswith(f"ValueError: {SENTENCE}")
    assert folded.data["text/html"].startswith(
        "<details><summary>Traceback</summary><pre>Traceback"
    )
    assert (
        "check_name(&#x27;a network&#x27;, &#x27;vgg61&#x27;"
        in folded.data["text/html"]
    )
    assert "interactiveshell.py" not in folded.data["text/plain"]


@pytest.mark.parametrize(
    ("session", "source"), [("", LOAD), ("1_own.ipynb", "raise ValueError('vgg61')")]
)
def test_in_a_build_and_of_other_errors_the_traceback_is_pythons(
    project, session, source
):
    (error,), below = run(project, session, source)
    assert (error.ename, below) == ("ValueError", [])
    assert len(error.traceback) > 1


def test_in_a_terminal_both_are_printed(capsys):
    shell = InteractiveShell()
    shell.set_custom_exc((Exception,), errors.show)
    result = shell.run_cell(LOAD)
    assert str(result.error_in_exec).startswith(SENTENCE)
    printed = capsys.readouterr().out
    assert printed.startswith(f"ValueError: {SENTENCE}")
    assert "Traceback (most recent call last)" in printed
