"""What stands in the place of references and citations, and what is known of a notebook
without running it.
"""

from __future__ import annotations

import json

import pytest
from conftest import code, text

from labreport import LabreportError
from labreport.notebook.code import shown_floats, used_names
from labreport.notebook.outline import read_outline
from labreport.notebook.references import References, find_tokens, read_keys


@pytest.fixture
def prose(project):
    project.write(
        "2_shown",
        text(
            "## First {#sec-first}\n\n"
            '`@code` and <!-- @nobody --> {{a["@b"]:.1%}}, [@simonyan2015very]'
        ),
        text(
            "### Deeper {#sec-deeper}\n\n$x$ and\n\n"
            "\\begin{equation}\nx\n\\label{eq-x}\n\\end{equation}\n\n## Next"
        ),
        code(
            'chapter.show_figure(one, "one", "1")\n'
            'chapter.show_table([], name="t", caption="2")'
        ),
        code('chapter.show_figure(two, "two", "3")', "remove-input"),
    )
    project.write("3_other", code('chapter.show_figure(one, "far", "1")'))
    return References(project.home / "notebooks" / "2_shown.ipynb", "2")


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("@sec-first", "Section 2.1"),
        ("@sec-deeper", "Section 2.1.1"),
        ("@eq-x", "Equation (2.1)"),
        ("@fig-two", "Figure 2.2"),
        ("@fig-2-one", "Figure 2.1"),
        ("@tab-t", "Table 2.1"),
        ("@fig-3-far", "Figure 3.1"),
        ("[@simonyan2015very]", "(Simonyan and Zisserman 2015)"),
        (
            "[see @simonyan2015very, eq. 1; @simonyan2015very]",
            "(see Simonyan and Zisserman 2015, eq. 1; Simonyan and Zisserman 2015)",
        ),
        ("@simonyan2015very", "Simonyan and Zisserman (2015)"),
        ("[-@simonyan2015very]", "(2015)"),
    ],
)
def test_a_reference_becomes_words(prose, token, shown):
    answer = prose.answer([token])[token]
    assert answer["text"] == shown
    assert answer.get("kind") != "error"
    assert prose.resolve(f"See {token}.") == f"See {shown}."


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (
            "@fig-nowhere",
            "expected a reference to something shown, got @fig-2-nowhere;",
        ),
        ("@fig-4-one", "got @fig-4-one; correct it."),
        (
            "@nobody2020",
            "expected a work in report/references.bib, got @nobody2020; add it or",
        ),
        ("[@nobody2020]", "expected a work in report/references.bib, got @nobody2020"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_notebook(prose, token, sentence):
    answer = prose.answer([token])[token]
    assert answer["kind"] == "error"
    assert answer["text"].startswith("2_shown.ipynb")
    assert sentence in answer["text"]


def test_code_and_comments_are_not_prose(prose):
    assert prose.outline.tokens.keys() == {"[@simonyan2015very]", "@simonyan2015very"}


def test_figures_have_numbers_while_a_block_is_left_open(project):
    shown = code('chapter.show_figure(f, "one", "A caption.")')
    path = project.write("2_shown", text("```python\nx = 1"), shown)
    answer = References(path, "2").answer(["@fig-one"])["@fig-one"]
    assert answer["text"] == "Figure 2.1"


def test_of_formulas_equations_have_numbers(project):
    formulas = "$p$ $q$", "\\begin{align*}q\\end{align*}", "\\begin{align}q\\end{align}"
    path = project.write("2_shown", text("\n\n".join(formulas)))
    assert References(path, "2").outline.prose[1].equations == ["", "", "", "(2.1)"]


def test_a_question_has_its_heading(project):
    question = text("Why?", "question", number="5", starred=True)
    path = project.write("2_shown", question, text("So.", "answer"))
    headings = [cell.question for cell in References(path, "2").outline.prose]
    assert headings == ["", "Question 5 ★", ""]


def test_a_file_is_read_anew(project):
    prose = References(project.write("2_shown"), "2")
    assert prose.answer(["@sec-new"])["@sec-new"]["kind"] == "error"
    project.write("2_shown", text("## New {#sec-new}"))
    assert prose.answer(["@sec-new"])["@sec-new"]["text"] == "Section 2.1"


def test_figures_and_tables_are_found_in_the_order_of_the_code():
    source = 'c.show_table(r, "b", "x"); c.show_figure(f, name="a", caption=f"{y}")'
    assert list(shown_floats(source)) == [("tab", "b", ["x"]), ("fig", "a", [""])]
    for table in ("study.table(a, b)", "table", "[{}]"):
        call = f'chapter.show_table({table}, "scores", caption="A caption.")'
        assert [said[0] for _, _, said in shown_floats(call)] == ["A caption."]
    assert not list(shown_floats("%matplotlib inline"))
    assert list(shown_floats(f"%matplotlib inline\n{source}")) == list(
        shown_floats(source)
    )


def test_each_figure_of_a_cell_has_its_own_caption():
    source = 'caption = "One."\nc.show_figure(f, "a", caption)\n'
    source += 'caption = "Two."; c.show_figure(f, "b", caption)'
    captions = [texts[0] for _, _, texts in shown_floats(source)]
    assert captions == ["One.", "Two."]


def test_what_code_shows_is_no_reference(project):
    references = References(project.write("2_shown", text("## A {#sec-a}")), "2")
    written = references.resolve("`@property` of @sec-a, @sec-b")
    assert written.startswith("`@property` of Section 2.1, 2_shown.ipynb: expected a")
    assert find_tokens("`@property` and\n\n```\n@sec-a\n```\n@fig-a") == ["@fig-a"]


def test_cells_of_any_script_have_signs_of_their_own(project):
    path = project.write("1_first", text("Привет, мир"), text("Друзья 1"), text("中文"))
    signs = [cell.sign for cell in read_outline(path, "1").prose]
    assert signs == ["achapter", "приветмир", "друзья", "中文"]


def test_a_bibliography_that_cannot_be_read_is_named(tmp_path):
    file = tmp_path / "references.bib"
    file.write_text("@misc{one, author={Two}, title={No}")
    said = r"references.bib: expected a text that pandoc can read, got .*line 3"
    with pytest.raises(LabreportError, match=said):
        read_keys(file)


@pytest.mark.parametrize(
    ("ran", "outdated"),
    [
        ("set make show", ""),
        ("set make show set", "make show"),
        ("set make show set make", "show"),
        ("set make show set make show", ""),
        ("set make show other", ""),
        ("show", ""),
    ],
)
def test_what_builds_on_a_cell_that_ran_later_is_outdated(project, ran, outdated):
    cells = {"set": "a = 1", "make": "b = f(a)", "show": "print(1)", "other": "c = a"}
    path = project.write("2_shown", *map(code, cells.values()))
    notebook = json.loads(path.read_text())
    for name, cell in zip(cells, notebook["cells"][3:], strict=True):
        cell["id"] = name
    notebook["cells"].insert(6, text("{{b}}", id="prose"))
    path.write_text(json.dumps(notebook))
    last = {name: number for number, name in enumerate(ran.split(), start=1)}
    assert References(path, "2").outline.find_outdated(last) == set(outdated.split())


@pytest.mark.parametrize("source", ["a = 2 * a", "a += 1", "%time a = f(a)"])
def test_a_cell_that_replaces_what_it_reads_is_outdated(project, source):
    path = project.write("2_shown", code("a = 1"), code(source))
    outline = References(path, "2").outline
    above, below = (cell.cell for cell in outline.code[-2:])
    assert outline.find_outdated({above: 1, below: 2}) == set()
    assert outline.find_outdated({above: 3, below: 2}) == {below}


@pytest.mark.parametrize(
    ("source", "loaded", "stored"),
    [
        ("b = f(a)", {"a", "f"}, {"b"}),
        ("[x * k for x in xs]", {"k", "xs"}, set()),
        ("import os\nprint(os.name, os)", {"print"}, set()),
        ("def g(x): return x + y", {"y"}, {"g"}),
        ("for name in names: print(name)", {"names", "print"}, {"name"}),
        ("x = 2 * x", {"x"}, {"x"}),
        ("x += y", {"x", "y"}, {"x"}),
        ("x[0] += y", {"x", "y"}, set()),
        ("x = [x[i] for i in y]", {"x", "y"}, {"x"}),
        ("x = 1\nx = 2 * x\nx += x", set(), {"x"}),
        ("def f(): return x\nx = 1", set(), {"f", "x"}),
        ("[x for x in y]\nx = 1", {"y"}, {"x"}),
        ("for i in y:\n    x = f(x, i)", {"f", "x", "y"}, {"i", "x"}),
        ("%timeit -n 3 f(x)", {"f", "x"}, set()),
        ("%time a = f(x)\nb = a", {"f", "x"}, {"a", "b"}),
        ("%%time\na = f(x)", {"f", "x"}, {"a"}),
        ("files = !ls\nb = a", {"a", "get_ipython"}, {"files", "b"}),
        ("def f(): return 1\ny = [f for f in z]", {"z"}, {"f", "y"}),
        ("y = [[f(k) for f in g] for g in z if k]\ng = 1", {"k", "z"}, {"g", "y"}),
        ("x = {i: x for i in y}", {"x", "y"}, {"x"}),
        ("import a.b as c, d\nfrom e import f as g, h\nk = c, d, g, h", set(), {"k"}),
        ("from os import *\na = 1", set(), {"a"}),
        ("class A(B):\n    c: int = d\n    e = c", {"B", "d", "int"}, {"A"}),
        ("class A:\n    def f(self): return A, x", {"x"}, {"A"}),
        ("a: int = 1\n[b := c for c in d]", {"d", "int"}, {"a", "b"}),
        ("a = await b", {"b"}, {"a"}),
        ("it does not parse", set(), set()),
    ],
)
def test_the_names_that_a_cell_takes_and_gives(source, loaded, stored):
    assert used_names(source) == (loaded, stored)
