"""Appendices: notebooks whose title is tagged so, lettered behind all chapters in every edition."""

from __future__ import annotations

import json
import re

import pytest
from conftest import code, text
from pypdf import PdfReader

from dlapps.cli import main
from dlapps.notebook.outline import Outline
from dlapps.notebook.prose import Prose
from dlapps.notebook.syntax import parse

REFERENCES = "@fig-A-line, @tab-A-scores, @sec-A-how, @sec-A-deeper, @eq-A-x, @sec-A-top, @fig-B-line"
WORDS = "Figure A.1, Table A.1, Section A.1, Section A.1.1, Equation (A.1), Appendix A, Figure B.1"
EVIDENCE = (
    text("## Method {#sec-how}\n\n### Deeper {#sec-deeper}"),
    text("\\begin{equation}\nx\n\\label{eq-x}\n\\end{equation}\n\nOwn: @fig-line, @tab-scores, @sec-how."),
    code(
        "from matplotlib.figure import Figure\nfigure = Figure(figsize=(2, 1))\n"
        'chapter.show_figure(figure, "line", "A line.")\nchapter.show_table([[1]], ["x"], "scores", "Scores.")'
    ),
)


def write_appendix(project, name):
    """An appendix of one section, figure, table and equation, whose title has a label."""
    path = project.write(name, *EVIDENCE, tags=["title", "appendix"])
    path.write_text(path.read_text().replace("# A chapter", "# Evidence {#sec-top}"))
    return path


def words_of(path):
    """What a build wrote, as text, spaces alike."""
    if path.suffix == ".pdf":
        lines = "\n".join(page.extract_text() for page in PdfReader(path).pages)
        written = re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", lines)
    else:
        written = re.sub(r"<style>.*?</style>|<[^>]+>|\[|\]\([^)]*\)", "", path.read_text(), flags=re.DOTALL)
    return " ".join(written.replace("&nbsp;", " ").split())


@pytest.mark.report
@pytest.mark.programs("latexmk")
def test_appendices_are_lettered_behind_the_chapters_in_every_edition(project, capsys):
    project.write("2_story", text(f"## Results\n\nSee {REFERENCES}."))
    for name in ("2_evidence", "3_more"):
        write_appendix(project, name)
    project.write("10_last", text(f"Again {REFERENCES}."))
    assert main(["report", "--profile", "smoke"]) == 0
    figures = {path.name for path in (project.home / "figures").glob("*.pdf")}
    assert figures == {"A-line.pdf", "B-line.pdf"}

    pdf = words_of(project.build / "dlapps-report.pdf")
    places = [pdf.replace(" ", "").index(title) for title in ("CHAPTER10", "APPENDIXA", "APPENDIXB")]
    assert places == sorted(places)
    for expected in (f"See {WORDS}.", f"Again {WORDS}.", "Own: Figure B.1, Table B.1, Section B.1.", "A.1 Method"):
        assert expected in pdf
    assert re.search(r"Contents.* A Evidence \d+ A\.1 Method .* B Evidence \d+ B\.1", pdf)

    pages = project.build / "html"
    assert f"See {WORDS}." in words_of(pages / "2-story.html")
    page = words_of(pages / "2-evidence.html")
    assert "Appendix A Evidence" in page
    assert "Own: Figure A.1, Table A.1, Section A.1." in page
    assert "← A chapter" in page
    assert "Evidence →" in page
    index = words_of(pages / "index.html")
    assert re.search(r"2 A chapter 2\.1 Results 10 A chapter A Evidence A\.1 Method A\.1\.1 Deeper B Evidence", index)

    copies = project.build / "notebooks"
    assert f"See {WORDS}." in words_of(copies / "2_story.ipynb")
    assert "Own: Figure B.1, Table B.1, Section B.1." in words_of(copies / "3_more.ipynb")

    capsys.readouterr()
    assert main(["check"]) == 0
    assert main(["run", "A", "--profile", "smoke"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["2_evidence"]
    assert main(["report", "--profile", "smoke"]) == 0
    assert main(["run", "C"]) == 2
    assert "expected a chapter among 2 (2_story), 10 (10_last), A (2_evidence), B" in capsys.readouterr().err


@pytest.mark.report
@pytest.mark.parametrize("names", [["5_evidence"], ["5_evidence", "evidence"]])
def test_a_report_may_have_appendices_alone(project, names):
    for name in names:
        write_appendix(project, name)
    assert main(["html", "--profile", "smoke"]) == 0
    assert "Appendix A Evidence" in words_of(project.build / "html" / "5-evidence.html")
    index = words_of(project.build / "html" / "index.html")
    assert [letter in index for letter in ("A Evidence", "B Evidence")] == [True, len(names) == 2]


def test_parts_of_an_appendix_have_its_letter():
    (tree,) = parse(["# Title {#sec-top}\n\n## First {#sec-how}\n\n### Deeper\n\n## Second"])
    outline = Outline("B")
    assert outline.number_prose(tree, "cell")[0] == ["B", "B.1", "B.1.1", "B.2"]
    assert {label: named["text"] for label, named in outline.labels.items()} == {
        "sec-B-top": "Appendix B",
        "sec-B-how": "Section B.1",
        "sec-B-1-1": "Section B.1.1",
        "sec-B-2": "Section B.2",
    }
    assert outline.number_float("fig", "line", "cell") == ("fig-B-line", "Figure B.1")


def test_prose_in_a_notebook_knows_the_letters(project):
    write_appendix(project, "5_evidence")
    write_appendix(project, "6_more")
    chapter = Prose(project.write("5_story"), "5")
    shown = [chapter.answer(token)[0] for token in REFERENCES.split(", ")]
    assert ", ".join(part["text"] for part in shown) == WORDS
    assert [part["href"] for part in shown] == ["5_evidence.ipynb"] * 6 + ["6_more.ipynb"]
    own = Prose(project.home / "notebooks" / "6_more.ipynb", "B")
    assert own.answer("@tab-scores")[0]["text"] == "Table B.1"


def test_a_title_that_becomes_an_appendix_is_seen(project):
    path = project.write("1_plan")
    assert main(["run", "A"]) == 2
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["metadata"]["tags"] = ["appendix"]
    path.write_text(json.dumps(notebook))
    assert main(["run", "1"]) == 2
