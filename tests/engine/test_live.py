"""Prose in a kernel: after each cell its outputs have what the prose can know."""

from types import SimpleNamespace

import pytest
from conftest import code, text

from labreport.live import LiveProse, Notebook, make_script

ABOVE = "In all {{total:.1f}}, of {{parts}}. <!-- holds: total > 5 -->"


class Shell:
    """A kernel's variables, and the function that it calls after each cell."""

    def __init__(self):
        self.user_ns = {}
        self.events = SimpleNamespace(
            callbacks={"post_run_cell": []},
            register=lambda name, call: self.events.callbacks[name].append(call),
            unregister=lambda name, call: self.events.callbacks[name].remove(call),
        )

    def run(self, cell, success=True, **variables):
        self.user_ns.update(variables)
        info = SimpleNamespace(cell_id=cell, raw_cell="", store_history=True)
        result = SimpleNamespace(info=info, success=success, execution_count=1)
        for callback in self.events.callbacks["post_run_cell"]:
            callback(result)


@pytest.fixture
def path(project):
    return project.write(
        "1_first",
        text(ABOVE),
        code("parts = 2"),
        text("Again {{parts}}, and @fig-none."),
        code("total = 3.25"),
        text("{{total:.2f}}"),
    )


@pytest.fixture
def said(project, path):
    """The messages of a kernel in which the cells run."""
    shell = Shell()
    said = []
    notebook = Notebook(project.report, path, "1_first")
    LiveProse(notebook, shell, lambda *shown: said.append(shown))
    said.append(shell)
    return said


def test_a_number_above_its_cell_waits_for_what_it_names(said):
    shell = said.pop()
    shell.run("cell-2")
    message, lines, _ = said.pop()
    assert message["values"] == {}
    assert "total:.1f = NameError: name 'total' is not defined" in lines
    shell.run("cell-4", parts=2)
    message, _, _ = said.pop()
    assert message["values"].keys() == {"parts"}
    shell.run("cell-6", total=3.25, parts=9)
    message, lines, shown = said.pop()
    # The first number keeps the value that it had: of 2 parts, not of 9.
    assert message["values"].keys() == {"total"}
    assert message["values"]["total"]["texts"] == {".1f": "3.2", ".2f": "3.25"}
    assert message["claims"] == {"total > 5": {"holds": False}}
    assert "In this run this does not hold: “In all 3.2, of …." in lines
    assert "labreport-false" in shown["text/html"]
    # Whether these are out of date then is for the page to say.
    shell.run("cell-4", parts=4)
    message, _, _ = said.pop()
    assert message["values"].keys() == {"parts"}


def test_a_cell_that_failed_says_nothing_and_one_that_runs_again_says_it_again(said):
    shell = said.pop()
    shell.run("cell-6", success=False, total=1.0)
    assert said == []
    shell.run("cell-6", total=1.0)
    shell.run("cell-6", total=7.0)
    assert said[-1][0]["values"]["total"]["value"] == 7.0
    assert said[-1][0]["claims"] == {"total > 5": {"holds": True}}


def test_a_sentence_that_was_written_meanwhile_is_known(said, project):
    shell = said.pop()
    shell.run("cell-4", parts=2)
    project.write("1_first", text(ABOVE), code("parts = 2"), text("New: {{parts:.1f}}"))
    shell.run("cell-4", parts=2)
    assert said[-1][0]["values"]["parts"]["texts"][".1f"] == "2.0"


def test_the_page_s_script_has_the_words_of_references_and_works(project):
    path = project.write(
        "2_second", text("## One {#sec-a}\n\n@sec-a [@simonyan2015very]")
    )
    project.write("1_first")
    script = make_script(Notebook(project.report, path, "2_second"))
    script = script.replace("\u00a0", " ")
    assert '"@sec-a": "Section 2.1"' in script
    assert '"[@simonyan2015very]": "(Simonyan and Zisserman 2015)"' in script
    assert "Very Deep Networks" in script
