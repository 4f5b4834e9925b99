"""The widget that fills in a notebook's prose, without a browser: what it sends after a cell has run."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import nbformat
import pytest
from conftest import code, text
from IPython.core.events import EventManager

from dlapps.cli import main
from dlapps.core import paths
from dlapps.notebook import chapter as notebook
from dlapps.notebook import live
from dlapps.notebook.live import VIEW, LiveProse
from dlapps.notebook.prose import Prose


@pytest.fixture
def shell():
    shell = SimpleNamespace(user_ns={"In": [""]})
    shell.events = EventManager(shell, ["post_run_cell"])
    return shell


@pytest.fixture
def prose(project):
    path = project.write("2_shown", text("## A {#sec-a}\n\n{{x:.0%}}\n\n$y = {{x}}$"), code("chapter.record(x=0.5)"))
    return Prose(path, "2")


def texts(widget):
    return {token: "".join(part["text"] for part in parts) for token, parts in widget.answers.items()}


def test_a_number_is_sent_once_its_cell_has_run(prose, shell):
    widget = LiveProse(prose, shell, "words", "elsewhere")
    assert texts(widget) == {"{#sec-a}": "", "{{x:.0%}}": "–"}
    assert widget.cells["cell-3"] == {"headings": ["2.1"], "formulas": [r"$y = \text{–}$"], "question": ""}
    prose.record({"x": 0.5})
    shell.events.trigger("post_run_cell", None)
    assert texts(widget)["{{x:.0%}}"] == "50%"
    assert widget.cells["cell-3"]["formulas"] == [r"$y = \text{0.5}$"]


def test_what_the_page_asks_for_is_answered(prose, shell):
    widget = LiveProse(prose, shell, "words", "elsewhere")
    widget._handle_custom_msg({"ask": ["{{x:.3f}}", "@sec-a"]}, [])
    prose.record({"x": 0.5})
    shell.events.trigger("post_run_cell", None)
    assert texts(widget)["{{x:.3f}}"] == "0.500"
    assert texts(widget)["@sec-a"] == "Section 2.1"


def test_a_widget_ends_with_its_chapter(project, shell):
    prose = Prose(project.write("2_shown"), "2")
    LiveProse(prose, shell, "words", "elsewhere")
    assert len(shell.events.callbacks["post_run_cell"]) == 1
    del prose
    gc.collect()
    shell.events.trigger("post_run_cell", None)
    assert shell.events.callbacks["post_run_cell"] == []


@pytest.mark.parametrize("in_jupyter", [True, False])
def test_only_jupyter_gets_a_widget_and_all_others_a_line(project, shell, monkeypatch, in_jupyter):
    bundles = []
    monkeypatch.setattr(notebook, "display", lambda bundle, raw, metadata: bundles.append(bundle))
    monkeypatch.setattr(live, "get_ipython", lambda: shell)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    path = project.write("2_shown", code("chapter.show_figure(one, 'one', 'A caption.')"))
    copy = project.home / "report" / "notebooks" / "2_shown.ipynb"
    copy.parent.mkdir()
    copy.write_text("{}")
    if in_jupyter:
        monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    notebook.Chapter("2_shown", "smoke")
    (bundle,) = bundles
    assert (VIEW in bundle) == in_jupyter
    assert "(../report/notebooks/2_shown.ipynb)" in bundle["text/markdown"]
    assert len(shell.events.callbacks["post_run_cell"]) == in_jupyter


@pytest.mark.parametrize("path", sorted((paths.CHECKOUT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_what_the_report_hides_is_folded_in_jupyter(path):
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells, start=1):
        hidden = bool({"remove-cell", "remove-input"}.intersection(cell.metadata.get("tags", [])))
        folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        assert folded == (hidden and cell.cell_type == "code"), f"{path.stem}, cell {number}: jupyter.source_hidden"


@pytest.mark.report
def test_a_run_that_a_notebook_starts_keeps_no_widget(project, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", str(project.write("2_shown")))
    assert main(["run", "--profile", "smoke"]) == 0
    assert "widget" not in (project.build / "smoke" / "2_shown.ipynb").read_text()
