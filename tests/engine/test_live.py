"""What a cell's output says of the prose below it, with a real shell of IPython and no
browser.
"""

from __future__ import annotations

import json
import re
from html import unescape
from types import SimpleNamespace

import nbformat
import pytest
from conftest import code, text
from IPython.core.interactiveshell import InteractiveShell

from labreport.notebook.live import LiveProse, make_script
from labreport.notebook.references import References


@pytest.fixture
def run(project):
    """Runs cells of a notebook by their source, as a build does, or with their id, as
    JupyterLab does.
    """
    path = project.write(
        "2_shown",
        text("Above {{a}}."),
        code("a = 1"),
        text("## First {#sec-first}\n\n{{a}} and {{wrong}}"),
        text(
            "Fine.\n\n<!-- a remark -->\n\n"
            "- Found. It is less than two. <!-- holds: a < 2 -->"
        ),
        code("b = 2 * a"),
        text("{{b}}"),
        code("a = 1"),
        text("Again {{a:.1f}}."),
    )
    shell, shown = InteractiveShell(), []
    prose = References(path, "2")

    def run_cell(source, cell_id=None):
        shown.clear()
        shell.run_cell(source, store_history=True, cell_id=cell_id)
        return shown[-1] if shown else None

    def show(content, lines, html):
        facts = unescape(re.search('data-facts="([^"]+)"', html["text/html"])[1])
        shown.append(SimpleNamespace(**content, lines=lines, page=json.loads(facts)))

    LiveProse(prose, shell, show)
    return SimpleNamespace(cell=run_cell, shell=shell, prose=prose, path=path)


def test_a_cell_evaluates_the_prose_below_it_and_no_other(run):
    message = run.cell("a = 1")
    wrong = "NameError: name 'wrong' is not defined"
    assert message.values == {"a": {"text": "1", "value": 1}, "wrong": {"error": wrong}}
    assert message.claims == [{"claim": "a < 2", "holds": True}]
    assert message.lines.splitlines() == ["a = 1", f"wrong = {wrong}", "a < 2 holds"]


def test_the_page_is_told_in_which_block_a_claim_stands(run):
    (claim,) = run.cell("a = 1").page["claims"]
    assert (claim["sign"], claim["block"], claim["holds"]) == (
        "finefounditislessthantwo",
        1,
        True,
    )


def test_the_page_is_told_which_sentence_does_not_hold_and_which_claim_is_a_mistake(
    run,
):
    message = run.cell("a = 2", "cell-4")
    (claim,) = message.page["claims"]
    assert claim["verdict"] == "In this run this does not hold: “It is less than two.”"
    assert "a < 2 does not hold" in message.lines
    message = run.cell("a = 'two'", "cell-4")
    (claim,) = message.page["claims"]
    got = "TypeError: '<' not supported between instances of 'str' and 'int'"
    assert claim["verdict"] == f"expected a claim that is true or false, got {got}"
    assert f"a < 2 is neither true nor false: {got}" in message.lines


def test_of_two_cells_with_one_source_the_next_one_ran_or_that_of_the_id(run):
    assert "a" in run.cell("a = 1").values
    run.cell("b = 2 * a")
    assert "a:.1f" in run.cell("a = 1").values
    assert "a" in run.cell("a = 1", "cell-4").values
    assert "b" in run.cell("b = 20 * a  # edited, not saved", "cell-7").values


def test_what_the_file_does_not_hold_is_not_evaluated(run):
    assert run.cell("c = 3") is None
    assert run.cell("a = 5", "unknown") is None


def test_a_cell_says_which_numbers_build_on_something_older(run):
    runs = [run.cell("a = 1", "cell-4").page, run.cell("b = 2 * a").page]
    assert runs[1]["outdated"] == []
    again = run.cell("a = 7", "cell-4").page
    assert again["outdated"] == [runs[1]["run"][1]]
    assert again["run"][1] > runs[1]["run"][1]
    assert run.cell("profile = 'quick'", "cell-1").page["outdated"] == again["outdated"]
    assert run.cell("b = 2 * a").page["outdated"] == []


def test_a_cell_that_failed_keeps_its_numbers_as_such(run, capsys):
    run.cell("b = 2")
    run.cell("b = 2 * a", "cell-7")
    assert "NameError" in capsys.readouterr().out
    run.cell("a = 1", "cell-4")
    run.cell("b = 2 * a", "cell-7")
    failed = run.cell("b = 2 * nobody", "cell-7")
    assert failed.values == {}
    assert failed.page["failed"]
    assert failed.page["values"]["b"]["text"] == "2"


def test_a_chapter_made_anew_takes_the_place_of_the_old_one(run):
    taken = []
    LiveProse(run.prose, run.shell, lambda content, *_: taken.append(content))
    assert run.cell("a = 1") is None
    assert [content["values"]["a"]["value"] for content in taken] == [1]


def test_an_edited_file_is_read_again(run, project):
    run.cell("a = 1")
    notebook = nbformat.read(run.path, as_version=4)
    notebook.cells[5].source = "Now {{a:.2f}}"
    nbformat.write(notebook, run.path)
    assert run.cell("a = 1", "cell-4").values == {"a:.2f": {"text": "1.00", "value": 1}}


def argument_of(script):
    """What the script on the page is called with."""
    argument = script[script.index("})({") + 3 : script.rindex(");\n")]
    return json.loads(argument.replace("<\\/", "</"))


def test_the_script_holds_what_the_page_needs(run):
    script = make_script(run.prose, "</script> is ended once")
    assert script.count("</script>") == 1
    chapter = argument_of(script)
    assert chapter["words"].startswith("</script>")
    assert set(chapter["placeholders"]) == {"a", "wrong", "b", "a:.1f"}
    headings = {}
    for cell in chapter["cells"]:
        if cell["headings"]:
            headings[cell["sign"]] = cell["headings"]
    assert headings == {"achapter": ["2"], "firstand": ["2.1"]}


def test_the_script_has_an_answer_to_all_that_stands_for_something_else(project):
    figures = [f"chapter.show_figure(f, '{name}', 'F.')" for name in ("a", "a-b")]
    prose = "See @fig-a, @fig-a-b and [@simonyan2015very] of $x  < 1$."
    path = project.write("2_shown", *map(code, figures), text(prose))
    script = make_script(References(path, "2"), "ready")
    chapter = argument_of(script)
    answers = {token: answer["text"] for token, answer in chapter["answers"].items()}
    assert answers == {
        "@fig-a": "Figure 2.1",
        "@fig-a-b": "Figure 2.2",
        "[@simonyan2015very]": "(Simonyan and Zisserman 2015)",
        "@simonyan2015very": "Simonyan and Zisserman (2015)",
    }
    (formula,) = chapter["formulas"].items()
    assert formula[0] == "$x < 1$"
    assert formula[1].startswith("<math")
