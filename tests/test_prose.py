"""What stands in the place of a notebook's placeholders, without a kernel or a browser."""

from __future__ import annotations

import pytest
from conftest import code, text

from dlapps import DlappsError
from dlapps.notebook.outline import shown_floats, used_names
from dlapps.notebook.prose import Prose, Work, read_works


def words(parts):
    return "".join(part["text"] for part in parts)


def make_prose(path, values):
    prose = Prose(path, 2)
    prose.record(values)
    return prose


@pytest.fixture
def prose(project):
    project.write(
        "2_shown",
        text(
            "## First {#sec-first}\n\n`{{code}}` and <!-- @nobody --> {{a:.1%}}, {{b}}, {{later}}, [@simonyan2015very]"
        ),
        text("### Deeper {#sec-deeper}\n\n$x$ and\n\n\\begin{equation}\nx\n\\label{eq-x}\n\\end{equation}\n\n## Next"),
        code('chapter.show_figure(one, "one", "1"); chapter.show_table([], [], name="t", caption="2")'),
        code('chapter.show_figure(two, "two", "3")', "remove-input"),
        text("## Twice {#sec-twice}"),
        text("## Twice {#sec-twice}"),
    )
    project.write("3_other", code('chapter.show_figure(one, "far", "1")'))
    return make_prose(
        project.home / "notebooks" / "2_shown.ipynb", {"a": 0.958, "b": 1500, "word": "VGG16", "tiny": -5e-7}
    )


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("{{a:.1%}}", "95.8%"),
        ("{{b}}", "1,500"),
        ("{{word}}", "VGG16"),
        ("{{tiny:.0e}}", "−5 × 10⁻⁷"),
        ("{{tiny:.1%}}", "0.0%"),
        ("{{tiny:+.2f}}", "0.00"),
        ("{{a:+.0f}}", "+1"),
        ("{{later}}", "–"),
        ("{#sec-first}", ""),
        ("@sec-first", "Section 2.1"),
        ("@sec-deeper", "Section 2.1.1"),
        ("@eq-x", "Equation (2.1)"),
        ("@fig-two", "Figure 2.2"),
        ("@fig-2-one", "Figure 2.1"),
        ("@tab-t", "Table 2.1"),
        ("@fig-3-far", "Figure 3.1"),
        ("[@simonyan2015very]", "(Simonyan and Zisserman, 2015)"),
        (
            "[see @simonyan2015very, eq. 1; @simonyan2015very]",
            "(see Simonyan and Zisserman, 2015, eq. 1; Simonyan and Zisserman, 2015)",
        ),
        ("@simonyan2015very", "Simonyan and Zisserman (2015)"),
        ("[-@simonyan2015very]", "(2015)"),
    ],
)
def test_a_placeholder_becomes_words(prose, token, shown):
    parts = prose.answer(token)
    assert words(parts) == shown
    assert not any(part.get("kind") == "error" for part in parts)
    assert [part.get("kind") for part in parts] == ["pending"] or token != "{{later}}"


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("{{word:.1%}}", "expected a format that fits 'VGG16', got '.1%' for word; correct it."),
        ("{{a b}}", "expected a number's name and format, as in name:.1%, got a b; correct it."),
        ("@fig-nowhere", "expected a reference to something shown, got fig-2-nowhere; correct it."),
        ("@fig-4-one", "got fig-4-one; correct it."),
        ("{#sec-twice}", "expected one use of the label sec-2-twice, got several"),
        ("@sec-twice", "expected one use of the label sec-2-twice, got several"),
        ("@nobody2020", "expected a work in report/references.bib, got nobody2020; add it or correct the key."),
        ("[@nobody2020]", "expected a work in report/references.bib, got nobody2020"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_notebook(prose, token, sentence):
    (part,) = prose.answer(token)
    assert part["kind"] == "error"
    assert part["text"].startswith("2_shown.ipynb")
    assert sentence in part["text"]
    assert "{{" not in part["text"]


def test_a_number_that_no_cell_recorded_is_a_mistake_once_all_have_run(prose):
    sources = [source for _, source in prose.outline.code]
    prose.note_runs(["", *sources])
    (part,) = prose.answer("{{later}}")
    assert part["kind"] == "error"
    assert part["text"].startswith("2_shown.ipynb, cell 4: expected a recorded number, got later;")
    prose.note_runs(sources[1:])
    assert prose.answer("{{later}}")[0]["kind"] == "pending"


def test_code_and_comments_are_not_prose(prose):
    assert prose.outline.tokens.keys() == {
        "{#sec-first}", "{{a:.1%}}", "{{b}}", "{{later}}", "[@simonyan2015very]", "{#sec-deeper}", "{#sec-twice}",
    }  # fmt: skip


def test_figures_have_numbers_while_a_block_is_left_open(project):
    path = project.write("2_shown", text("```python\nx = 1"), code('chapter.show_figure(f, "one", "A caption.")'))
    assert words(make_prose(path, {}).answer("@fig-one")) == "Figure 2.1"


def test_an_equation_gets_its_number_and_its_values(project):
    path = project.write(
        "2_shown", text("$p = {{p:.2f}}$ $q$\n\n\\begin{align*}q\\end{align*}\n\n\\begin{align}q\\end{align}")
    )
    prose = make_prose(path, {"p": 0.25})
    formulas = [prose.formula(formula) for formula in prose.outline.cells["cell-3"]["formulas"]]
    assert formulas == [r"$p = \text{0.25}$", None, None, r"\begin{align}q \tag{2.1} \end{align}"]


def test_a_question_has_its_heading(project):
    path = project.write("2_shown", text("Why?", "question", number="5", starred=True), text("So.", "answer"))
    cells = make_prose(path, {}).outline.cells
    assert [cells[cell]["question"] for cell in ("cell-3", "cell-4")] == ["Question 5 ★", ""]


def test_a_value_a_file_and_other_chapters_are_read_anew(project):
    (project.home / "report" / "results.json").write_text(
        '{"far": {"value": 0.5, "chapter": "3_other", "profile": "full"}, "own": {"value": 1, "chapter": "2_shown"}}'
    )
    path = project.write("2_shown", text("{{x}}"))
    prose = make_prose(path, {"x": 1})
    assert [words(prose.answer(token)) for token in ("{{x}}", "{{far}}", "{{own}}")] == ["1", "0.5", "–"]
    prose.record({"x": 2})
    assert words(prose.answer("{{x}}")) == "2"
    assert prose.answer("@sec-new")[0]["kind"] == "error"
    project.write("2_shown", text("{{x}}"), text("## New {#sec-new}"))
    assert words(prose.answer("@sec-new")) == "Section 2.1"


def test_figures_and_tables_are_found_in_the_order_of_the_code():
    source = 'f(show_table(r, c, "b", "x"))\nc.show_table(r, c, "b", "x"); c.show_figure(f, name="a", caption=f"{y}")'
    assert list(shown_floats(source)) == [("tab", "b", "x"), ("fig", "a", "")]
    for table in ("*study.compare(a, b)", "table", "[{}]"):
        shown = shown_floats(f'chapter.show_table({table}, "scores", caption="A caption.")')
        assert list(shown) == [("tab", "scores", "A caption.")]
    assert not list(shown_floats("%matplotlib inline"))


def test_a_bibliography_is_read_whatever_its_form(tmp_path):
    file = tmp_path / "references.bib"
    file.write_text(
        '@book{one,\n author = "Ada B. Lovelace", title = {The {G}reat \\& {\\"O}}, year = 1843, doi = {10.1/x}}\n'
        "@misc{two, author={M{\\\"u}ller, Eva and Bj{\\'o}rn, A. and others}, title={Two, of many}, year={2001},\n"
        "url = {https://example.org/a}}\n"
    )
    one, two = read_works(file).values()
    assert one == Work("Lovelace", "1843", "The Great & Ö", "https://doi.org/10.1/x")
    assert two == Work("Müller et al.", "2001", "Two, of many", "https://example.org/a")
    file.write_text("@misc{one, author={Two}, title={No}")
    with pytest.raises(DlappsError, match=r"references.bib: expected a text that pandoc can read, got .*line 3"):
        read_works(file)


def test_a_number_older_than_what_it_was_computed_from_says_so(project):
    setting, made, recording = "a = 1", "b = f(a)", "chapter.record(x=b)"
    path = project.write("2_shown", text("{{x}}"), code(setting), code(made), code(recording), code("c = a"))
    prose = Prose(path, 2)
    ran = ["", "profile = 'smoke'", setting, made]
    prose.note_runs(ran)
    ran.append(recording)
    prose.record({"x": 0.5})
    for then, note in [
        (["c = a"], ""),
        ([setting], " (2_shown.ipynb, cell 7: cell 5 ran after it; run it again)"),
        ([made], " (2_shown.ipynb, cell 7: cell 6 ran after it; run it again)"),
        ([recording], ""),
    ]:
        ran += then
        prose.note_runs(ran)
        assert words(prose.answer("{{x}}")) == "0.5" + note


@pytest.mark.parametrize(
    ("source", "loaded", "stored"),
    [
        ("b = f(a)", {"a", "f"}, {"b"}),
        ("[x * k for x in xs]", {"k", "xs"}, set()),
        ("import os\nprint(os.name, os)", {"print"}, set()),
        ("def g(x): return x + y", {"y"}, {"g"}),
        ("for name in names: print(name)", {"names", "print"}, {"name"}),
        ("%timeit f(x)", set(), set()),
    ],
)
def test_the_names_that_a_cell_takes_and_gives(source, loaded, stored):
    assert used_names(source) == (loaded, stored)


@pytest.mark.parametrize("address", ["https://example.org/a", "javascript:alert(1)", "data:text/html,x", "file:///x"])
def test_only_a_page_of_the_web_becomes_a_link(project, address):
    bibliography = project.home / "report" / "references.bib"
    bibliography.write_text(f"@misc{{one, author={{One}}, title={{T}}, year={{2020}}, url={{{address}}}}}")
    (part,) = Prose(project.write("1_shown"), 1).answer("@one")
    assert part["text"] == "One (2020)"
    assert part.get("href") == (address if address.startswith("https:") else None)
