"""Appendices: notebooks whose title is tagged so, lettered behind all chapters in every
edition.
"""

from __future__ import annotations

import re

import pytest
from conftest import code, text
from pypdf import PdfReader

from labreport.chapters import find_chapters
from labreport.cli import main
from labreport.notebook.references import References

REFERENCES = (
    "@fig-A-line, @tab-A-scores, @sec-A-how, @sec-A-deeper, @eq-A-x, @sec-A-top"
)
REFERENCES += ", @fig-B-line"
WORDS = "Figure A.1, Table A.1, Section A.1, Section A.1.1, Equation (A.1), "
WORDS += "Appendix A, Figure B.1"
OWN = (
    "Own: @fig-line, @tab-scores, @sec-how.",
    "Own: Figure {0}.1, Table {0}.1, Section {0}.1.",
)
SHOWN = """
from matplotlib.figure import Figure
figure = Figure(figsize=(2, 1))
chapter.show_figure(figure, "line", "A line.")
chapter.show_table([{"x": 1}], "scores", "Scores.")
"""
EVIDENCE = (
    text("## Method {#sec-how}\n\n### Deeper {#sec-deeper}"),
    text(f"\\begin{{equation}}\nx\n\\label{{eq-x}}\n\\end{{equation}}\n\n{OWN[0]}"),
    code(SHOWN),
)


def write_appendix(project, name):
    path = project.write(name, *EVIDENCE, tags=["title", "appendix"])
    path.write_text(path.read_text().replace("# A chapter", "# Evidence {#sec-top}"))
    return path


def words_of(path):
    """What a build wrote, as text."""
    if path.suffix == ".pdf":
        lines = "\n".join(page.extract_text() for page in PdfReader(path).pages)
        written = re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", lines)
    else:
        written = re.sub(
            r"(?s)<style>.*?</style>|<[^>]+>|\[|\]\([^)]*\)", "", path.read_text()
        )
    return " ".join(written.replace("&nbsp;", " ").split())


@pytest.mark.report
@pytest.mark.programs("latexmk")
def test_appendices_are_lettered_behind_the_chapters_in_every_edition(project, capsys):
    project.write("2_story", text(f"## Results\n\nSee {REFERENCES}."))
    write_appendix(project, "2_evidence")
    write_appendix(project, "more")
    project.write("10_last", text("Last."))
    assert main(["report", "--profile", "smoke"]) == 0
    drawn = {path.name for path in (project.home / "figures").glob("*.pdf")}
    assert drawn == {"A-line.pdf", "B-line.pdf"}
    pdf, pages, copies = map(
        project.build.joinpath, ("report.pdf", "html", "notebooks")
    )
    whole = "10 A chapter A Evidence Sections A.1 Method A.1.1 Deeper B Evidence"
    for path, expected in {
        pdf: (
            f"See {WORDS}.",
            OWN[1].format("A"),
            OWN[1].format("B"),
            "A Evidence 3 A.1 Method",
        ),
        pages / "2-story.html": (f"See {WORDS}.", "Chapter 2 A chapter"),
        pages / "2-evidence.html": (
            "Appendix A Evidence",
            OWN[1].format("A"),
            "← A chapter",
        ),
        pages / "index.html": (whole,),
        copies / "2_story.ipynb": (f"See {WORDS}.",),
        copies / "more.ipynb": ("# B Evidence", OWN[1].format("B")),
    }.items():
        assert [words for words in expected if words not in words_of(path)] == [], path
    titles = re.findall(
        "CHAPTER2|CHAPTER10|APPENDIX[AB]", words_of(pdf).replace(" ", "")
    )
    in_order = ["CHAPTER2", "CHAPTER10", "APPENDIXA", "APPENDIXB"]
    assert list(dict.fromkeys(titles)) == in_order

    capsys.readouterr()
    assert main(["check"]) == 0
    assert main(["run", "A", "--profile", "smoke"]) == 0
    assert "\n2_evidence: ran" in capsys.readouterr().out
    assert main(["run", "C"]) == 2
    known = "2 (2_story), 10 (10_last), A (2_evidence), B (more)"
    assert f"among {known}, got 'C'" in capsys.readouterr().err

    # A report may have appendices alone.
    for name in ("2_story", "10_last"):
        (project.home / "notebooks" / f"{name}.ipynb").unlink()
    assert main(["html", "--profile", "smoke"]) == 0
    assert (
        words_of(pages / "index.html").count(whole.removeprefix("10 A chapter ")) == 1
    )


def test_prose_in_a_notebook_knows_the_letters(project):
    write_appendix(project, "5_evidence")
    path = project.write("6_more")
    assert find_chapters() == {"6_more": "6", "5_evidence": "A"}
    write_appendix(project, "6_more")
    story = References(project.write("5_story"), "5")
    answers = story.answer(REFERENCES.split(", ")).values()
    assert ", ".join(answer["text"] for answer in answers) == WORDS
    targets = [answer["href"] for answer in answers]
    assert targets == ["5_evidence.ipynb"] * 6 + ["6_more.ipynb"]
    assert References(path, "B").resolve("@tab-scores") == "Table B.1"
