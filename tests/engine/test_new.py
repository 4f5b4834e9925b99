"""A report of one's own: the folder that `labreport new` writes, how it is found, and
what may lie in it.
"""

from __future__ import annotations

import json

import pytest
from conftest import CHECKOUT, SMOKE, code, text
from pypdf import PdfReader

from labreport import LabreportError, paths, results
from labreport.chapters import chapter_number
from labreport.cli import main
from labreport.editions.contents import collect
from labreport.editions.execute import read_executed, run_notebooks
from labreport.editions.html import make_pages
from labreport.editions.latex import make_document
from labreport.editions.sources import find_sources, read_title_page
from labreport.paths import read_toml

WRITTEN = {
    ".gitignore",
    "notebooks/1_first_chapter.ipynb",
    "report/references.bib",
    "report/report.toml",
}
INVALID = b"""{"nbformat": 4, "nbformat_minor": 5, "metadata": {},
"cells": [{"cell_type": "code"}]}"""
NEW = [
    "new",
    "mine",
    "--title",
    'A "first" try: 50 % & #1',
    "--author",
    "Ada",
    "--author",
    "Émile",
]


def files(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }


def figures_of_the_checkout():
    return {path: path.stat().st_mtime_ns for path in (CHECKOUT / "figures").iterdir()}


def read_pdf(folder):
    """The words of the first page, and of all."""
    pages = PdfReader(folder / "report" / "build" / "report.pdf").pages
    words = [" ".join(page.extract_text().split()) for page in pages]
    return words[0], " ".join(words)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A new report, from its notebooks' folder, as a kernel of Jupyter sees it; nothing
    names another one.
    """
    for name in ("LABREPORT_HOME", "DLAPPS_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(NEW) == 0
    monkeypatch.chdir(tmp_path / "mine" / "notebooks")
    return tmp_path / "mine"


def test_a_new_report_is_four_files_and_found_from_below(mine, capsys):
    assert files(mine) == WRITTEN
    assert paths.project() == mine
    assert read_title_page().title == 'A "first" try: 50 % & #1'
    assert read_title_page().authors == ["Ada", "Émile"]
    assert main(["check"]) == 0, capsys.readouterr().out


def test_nothing_that_is_there_is_replaced(mine, capsys):
    (mine / "notebooks" / "1_first_chapter.ipynb").unlink()
    before = (mine / "report" / "references.bib").read_bytes()
    (mine / "report" / "references.bib").write_bytes(before + b"% mine")
    assert main(["new", str(mine), "--title", "Another", "--author", "Nobody"]) == 2
    assert "expected a new folder, got one with " in capsys.readouterr().err
    assert read_title_page().authors == ["Ada", "Émile"]
    assert not list((mine / "notebooks").iterdir())
    inside = mine / "report" / "references.bib" / "here"
    assert main(["new", str(inside), "--title", "Another", "--author", "Nobody"]) == 2
    complaint = f"expected a folder to write into, got {inside} (Not a directory); name"
    assert complaint in capsys.readouterr().err


@pytest.mark.report
@pytest.mark.programs("latexmk")
def test_a_new_report_builds_in_its_own_folder(mine):
    outside = files(mine.parent) - {f"mine/{name}" for name in WRITTEN}
    ours = figures_of_the_checkout()
    assert main(["report", "--profile", "smoke"]) == 0
    first, words = read_pdf(mine)
    assert "try: 50 % & #1 Ada, Émile" in first
    assert "With ten points π is wrong by 0." in words
    assert "(Metropolis and Ulam, 1949)" in words
    assert "Results at a glance" in words
    page = (mine / "report/build/html/1-first-chapter.html").read_text()
    assert "Question 1" in page
    assert "<!--" not in page
    assert "A &#34;first&#34; try: 50 % &amp; #1" in page
    assert (
        "**Figure 1.1.**"
        in (mine / "report/build/notebooks/1_first_chapter.ipynb").read_text()
    )
    assert (mine / "figures" / "1-error.pdf").exists()
    assert {
        name for name in files(mine.parent) if not name.startswith("mine/")
    } == outside
    assert figures_of_the_checkout() == ours


@pytest.mark.report
def test_nothing_of_this_report_is_in_a_new_one(mine):
    run_notebooks(find_sources(), SMOKE, print)
    executed = [(source, read_executed(source, SMOKE)) for source in find_sources()]
    contents = collect(SMOKE, executed)
    written = make_document(contents)[0]
    written += "".join(make_pages(contents).values())
    for said in ("VGG16", "Assignment", "test images", "on one core", "beforehand"):
        assert said not in written
    ours = read_toml(CHECKOUT / "report" / "report.toml")
    added = {key: ours[key] for key in ("cover", "glance", "practical", "precomputed")}
    front = mine / "report" / "report.toml"
    entries = [f"{key} = {json.dumps(value)}\n" for key, value in added.items()]
    front.write_text(front.read_text() + "".join(entries))
    written = make_document(contents)[0]
    for value in added.values():
        assert value in written


@pytest.mark.report
def test_without_tex_there_is_all_but_the_pdf(project, monkeypatch, capsys):
    project.write("1_first", text("One."))
    monkeypatch.setenv("PATH", str(project.home))
    assert main(["report", "--profile", "smoke"]) == 2
    assert (
        "expected latexmk, got no such program; install TeX Live"
        in capsys.readouterr().err
    )
    assert (project.build / "html" / "1-first.html").exists()
    assert (project.build / "notebooks" / "1_first.ipynb").exists()
    assert not (project.build / "report.pdf").exists()


def test_results_are_the_report_s_own(mine):
    results.save("moons", {"runs": {}}, [0])
    assert (mine / "data" / "results" / "moons.json").exists()
    assert results.load("moons").parts["runs"] == {}


def test_outside_a_report_the_current_folder_is_all_there_is(tmp_path, monkeypatch):
    monkeypatch.delenv("LABREPORT_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert paths.project() == tmp_path
    assert chapter_number("3_alone") == "3"
    assert chapter_number("alone") == "1"


@pytest.mark.parametrize(
    ("names", "numbered"),
    [
        (["10_ten", "2_two", "01"], [("01", "1"), ("2_two", "2"), ("10_ten", "10")]),
        (
            ["Untitled", "a plan", "1_first"],
            [("1_first", "1"), ("Untitled", "2"), ("a plan", "3")],
        ),
        (
            ["1_one", "1_evidence", "2_two"],
            [("1_one", "1"), ("2_two", "2"), ("1_evidence", "A")],
        ),
        (
            ["9_evidence", "more evidence"],
            [("9_evidence", "A"), ("more evidence", "B")],
        ),
        (["a plan", "0_evidence"], [("a plan", "1"), ("0_evidence", "A")]),
    ],
)
def test_any_name_is_a_chapter(project, names, numbered):
    for name in names:
        project.write(name, tags=["title", "appendix"] if "evidence" in name else ())
    (project.home / "notebooks" / ".~lock.ipynb").write_text("{")
    assert [(source.name, source.number) for source in find_sources()] == numbered
    for name, number in numbered:
        assert chapter_number(name) == number


@pytest.mark.parametrize("names", [["1_one", "1_two"], ["a b", "a_b"], ["index"]])
def test_two_notebooks_that_are_one_chapter_are_named(project, names):
    for name in names:
        project.write(name)
    with pytest.raises(
        LabreportError, match=rf"one notebook a chapter, got .* and {names[-1]}; rename"
    ):
        find_sources()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"nbformat": 4, "cells": 3}', INVALID, b"\xff"]
)
def test_a_file_that_is_no_notebook_is_a_sentence(project, capsys, content):
    project.write("1_good")
    path = project.home / "notebooks" / "2_bad.ipynb"
    path.write_bytes(content)
    assert main(["check"]) == 2
    assert capsys.readouterr().err.startswith(
        f"labreport: expected a notebook in {path}"
    )


@pytest.mark.parametrize(
    ("written", "got"),
    [
        (None, "[Errno 2] No such file"),
        ("title = ", "Invalid value"),
        ('title = "No author"', "authors = None;"),
        ('title = "A"\nauthors = ["B"]\nyear = 3', "year = 3;"),
        ('title = "A"\nauthors = "Me"', "authors = 'Me';"),
        ('title = "A"\nauthors = []', "authors = [];"),
        ('title = " "\nauthors = ["B"]', "title = ' ';"),
        (
            'title = "A"\nauthors = ["B", 3]\nrights = 1',
            "authors = ['B', 3], rights = 1;",
        ),
    ],
)
def test_a_report_without_title_and_author_is_a_sentence(project, capsys, written, got):
    project.write("1_first")
    path = project.home / "report" / "report.toml"
    path.unlink() if written is None else path.write_text(written)
    for verb in ("html", "check"):
        assert main([verb]) == 2
        said = capsys.readouterr()
        assert said.err.startswith('labreport: expected title = "..." and ')
        assert f" in {path}, got {got}" in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""


@pytest.mark.report
@pytest.mark.programs("latexmk")
def test_numbers_of_chapters_are_those_of_their_names(project):
    figure = "from matplotlib.figure import Figure\nfigure = Figure(figsize=(2, 1))\n"
    figure += 'chapter.show_figure(figure, "line", "A line.")'
    project.write("3 third", text("See @fig-line."), code(figure))
    assert main(["report", "--profile", "smoke"]) == 0
    assert "Figure 3.1" in read_pdf(project.home)[1]
    assert "Figure 3.1" in (project.build / "html" / "3-third.html").read_text()
    assert (project.home / "figures" / "3-line.pdf").exists()
