"""A chapter is read once and numbered once, and all its mistakes are found then."""

import pytest
from conftest import code, text

from labreport.cli import main
from labreport.document import read_documents
from labreport.filled import Filler, fill_notebook
from labreport.latex import LEAST, find_breaks

SHOW = 'chapter.show_figure(figure, "{}", "It says {{{{x}}}}, as @tab-1-t does.")'
SECOND = """## The second {#sec-two}

$$ E = mc^2 \\label{eq-energy} $$

\\begin{equation}
x = 1
\\label{eq-one}
\\end{equation}

$$ y = 2 $$

See @eq-one, @sec-1-one, @fig-1-hidden [left], [see @sec-two],
[@simonyan2015very, p. 3], [@sec-two; @eq-one].
"""


@pytest.fixture
def documents(project):
    project.write(
        "1_first",
        text(
            "## The first {#sec-one}\n\n### Below\n\n### Beside\n\n## Next\n\n### In it"
        ),
        code(f"if False:\n    {SHOW.format('hidden')}"),
        code(SHOW.format("seen") + '\nchapter.show_table(rows, "t", f"{x} rows")'),
    )
    project.write("2_second", text(SECOND))
    project.write("0_appendix", tags=["appendix"])
    sources = project.report.sources()
    return read_documents(sources, project.report.bibliography)[0]


def test_parts_are_numbered_in_their_order(documents):
    first, second, appendix = documents
    assert [heading.number for heading in first.headings] == [
        "1",
        "1.1",
        "1.1.1",
        "1.1.2",
        "1.2",
        "1.2.1",
    ]
    assert first.labels["fig-1-hidden"].words == "Figure 1.1"
    assert first.labels["fig-1-seen"].words == "Figure 1.2"
    assert first.labels["tab-1-t"].words == "Table 1.1"
    assert second.labels["eq-2-energy"].words == "Equation (2.1)"
    assert second.labels["eq-2-one"].words == "Equation (2.2)"
    assert appendix.source.number == "A"
    assert [document.mistakes for document in documents] == [[], [], []]


def test_what_was_typed_has_its_words(documents):
    answers = {}
    for typed, answer in documents[1].answers.items():
        answers[typed] = answer.replace("\u00a0", " ")
    assert answers == {
        "@fig-1-hidden": "[Figure 1.1](1_first.ipynb#fig-1-hidden)",
        "@eq-one": "[Equation (2.2)](#eq-2-one)",
        "@sec-1-one": "[Section 1.1](1_first.ipynb#sec-1-one)",
        "[see @sec-two]": "(see [Section 2.1](#sec-2-two))",
        "[@sec-two; @eq-one]": (
            "([Section 2.1](#sec-2-two); [Equation (2.2)](#eq-2-one))"
        ),
        "[@simonyan2015very, p. 3]": (
            "([Simonyan and Zisserman 2015, 3](#ref-simonyan2015very))"
        ),
    }


def test_editions_in_markdown_number_the_headings_that_are_counted(project):
    listing = "~~~\n## A comment\n~~~\n"
    project.write("1_first", text(f"{listing}\nA line\n## Second {{#sec-second}}"))
    (document,), _ = read_documents(
        project.report.sources(), project.report.bibliography
    )
    assert document.mistakes == []
    assert document.labels["sec-1-second"].words == "Section 1.1"
    notebook = document.source.notebook
    fill_notebook(notebook, Filler(document, {}), {})
    filled = notebook.cells[3].source
    assert filled == f'{listing}\nA line\n## <a id="sec-1-second"></a>1.1 Second'


MISTAKES = {
    "@fig-nothing": "a reference to something shown, got @fig-nothing",
    "[@nobody1999]": "a work in report/references.bib, got @nobody1999",
    "{{max(1, 2)}}": "names, attributes and literal keys",
    "${{x}}$": "a placeholder in a sentence",
    "<!-- holds: x.pop() -->": "a claim, a name or a comparison",
    "<!-- open": "a comment that is closed",
    "::: {.note}\nopen": "Markdown that pandoc can read",
    "```python\nopen = 1": "Markdown that pandoc can read",
    "# Another top": "one top heading",
    "## Bad {#sec-Bad_Name}": "a name such as sec-first-part, got Bad_Name",
    "\\begin{align}x\\end{align}": "a formula between $$",
    "Underlined\n----------": "got headings: 1, such lines: 0",
    "> ## Quoted": "got headings: 1, such lines: 0",
}
CODE_MISTAKES = {
    'chapter.show_figure(f, f"a-{i}", "Many.")': "a name as it is",
    'chapter.show_figure(f, "no caption")': "a name as it is, such as 'cat', and a",
    'chapter.show_table(t, "twice", "A."); chapter.show_table(t, "twice", "B.")': (
        "one use of the label tab-1-twice"
    ),
    'chapter.show_figure(f, "odd", f"{x} by @nobody2000")': "got @nobody2000",
}


def test_all_mistakes_are_told_at_once_with_their_cells_and_nothing_runs(
    project, capsys
):
    cells = [text(markdown) for markdown in MISTAKES]
    cells += [code(source) for source in CODE_MISTAKES]
    cells += [text("Untold.", "hide-me"), text("Why?", "question")]
    project.write("1_first", *cells)
    assert main(["html"]) == 2
    lines = capsys.readouterr().err.splitlines()
    wanted = [*MISTAKES.values(), *CODE_MISTAKES.values()]
    wanted += ["a tag among", "the first line **Question 3**"]
    for position, sentence in enumerate(wanted, start=4):
        found = [line for line in lines if f"1_first, cell {position} (" in line]
        assert len(found) == 1, (position, lines)
        assert sentence in found[0]
    assert not list(project.build.glob("quick/*"))


def test_a_broken_bibliography_says_where(project, capsys):
    path = project.report.bibliography
    path.write_text(path.read_text() + "@article{broken, title = {No end\n")
    project.write("1_first")
    lines = len(path.read_text().splitlines())
    assert main(["html"]) == 2
    assert f"references.bib: (line {lines + 1}," in capsys.readouterr().err


LISTING = """import math
import numpy as np

total = 0
for number in range(10):
    square = number**2
    # What is odd is left out.
    if square % 2:
        continue
    total += square

values = {
    "first": 1,
    "second": 2,
}


@decorated
def show(total):
    print(total)
    print(values)
    print(math.tau)
    return total
"""


def test_a_listing_breaks_above_a_statement_and_keeps_six_lines_at_each_end():
    lines = LISTING.rstrip("\n").split("\n")
    breaks = find_breaks(LISTING.rstrip("\n"))
    assert [lines[line] for line in breaks] == [
        "    # What is odd is left out.",
        "    total += square",
        "values = {",
        "@decorated",
    ]
    assert breaks[0] >= LEAST
    assert len(lines) - breaks[-1] >= LEAST
