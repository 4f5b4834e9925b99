"""A report of one's own: the folder that `labreport new` writes, how it is found, and
what the commands say.
"""

import os
import re
import subprocess
import sys

import pytest
from conftest import code, programs, text
from pypdf import PdfReader

from labreport import results
from labreport.chapter import Chapter
from labreport.cli import main
from labreport.report import find_report

sys.path.insert(0, os.path.join(os.path.dirname(__file__), *[os.pardir] * 2, "report"))
import save_hook

WRITTEN = {".gitignore", "notebooks/1_first_chapter.ipynb", "report/references.bib"}
WRITTEN |= {"report/report.toml"}
NEW = ["new", "mine", "--title", 'A "first" try: 50 % & #1']
NEW += ["--author", "Ada", "--author", "Émile"]


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A new report, from its notebooks' folder; nothing names another one."""
    monkeypatch.setenv("LABREPORT_HOME", "")
    monkeypatch.chdir(tmp_path)
    assert main(NEW) == 0
    monkeypatch.chdir(tmp_path / "mine" / "notebooks")
    return tmp_path / "mine"


def files(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix() for path in paths}


def test_a_new_report_is_four_files_and_found_from_below(mine, capsys):
    assert files(mine) == WRITTEN
    assert find_report().root == mine
    assert find_report().title_page().authors == ["Ada", "Émile"]
    assert main(["check"]) == 0, capsys.readouterr().out


def test_nothing_that_is_there_is_replaced(mine, capsys):
    (mine / "notebooks" / "1_first_chapter.ipynb").unlink()
    assert main(["new", str(mine), "--title", "Another", "--author", "Nobody"]) == 2
    assert "expected a new folder, got one with " in capsys.readouterr().err
    assert not list((mine / "notebooks").iterdir())


@pytest.mark.report
def test_a_new_report_builds_in_its_own_folder_and_without_tex_all_but_the_pdf(
    mine, capsys
):
    before = files(mine.parent)
    build = mine / "report" / "build"
    # No test sees a program of the machine that it does not name.
    assert main(["report", "--profile", "smoke"]) == 2
    assert "expected latexmk, got no such program" in capsys.readouterr().err
    assert (build / "html" / "1_first_chapter.html").exists()
    assert (build / "notebooks" / "1_first_chapter.ipynb").exists()
    with programs("latexmk"):
        assert main(["report", "--profile", "smoke"]) == 0
    assert "1_first_chapter: up to date" in capsys.readouterr().out
    pages = PdfReader(build / "report.pdf").pages
    words = " ".join(" ".join(page.extract_text().split()) for page in pages)
    assert "try: 50 % & #1 Ada, Émile" in words
    assert "With ten points π is wrong by 0." in words
    assert "(Metropolis and Ulam 1949)" in words.replace("\u00a0", " ")
    assert (mine / "figures" / "1-error.pdf").exists()
    new = files(mine.parent) - before
    assert all(name.startswith(("mine/report/build", "mine/figures")) for name in new)
    assert main(["report", "--profile", "smoke"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2] for line in told] == ["up to date"] * 4


def test_results_are_the_report_s_own_wherever_a_cell_changes_to(mine, monkeypatch):
    Chapter("1_first_chapter")
    monkeypatch.chdir(mine.parent)
    results.save("moons", {"runs": {}}, [0])
    assert (mine / "data" / "results" / "moons.json").exists()


@pytest.mark.parametrize(
    ("written", "got"),
    [
        ("title = ", "Invalid value"),
        ('title = "No author"', "missing 1 required positional argument: 'authors'"),
        ('title = "A"\nauthors = "Me"', "authors 'Me'"),
        ('title = "A"\nauthors = ["Me"]\nhow_to_read = ["x"]', "how_to_read ['x']"),
        ('title = "A"\nauthors = [3]', "authors [3]"),
        ('title = "A"\nauthors = []', "authors []"),
    ],
)
def test_a_title_page_that_is_not_valid_is_a_sentence(project, capsys, written, got):
    project.write("1_good")
    (project.home / "report" / "report.toml").write_text(written)
    assert main(["check"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("labreport: expected title = ")
    assert got in told


def test_a_profile_that_is_not_a_table_is_a_sentence(project, capsys):
    project.write("1_good")
    (project.home / "report" / "profiles.toml").write_text("quick = 3")
    assert main(["check"]) == 2
    told = capsys.readouterr().err
    assert "expected a table of settings for each profile in " in told
    assert "got quick = 3; correct it." in told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("run 7", "a chapter among 1, A, 1_first, more, got '7'"),
        ("html --profile slow", "a profile among smoke, quick, full, got 'slow'"),
        ("html --seed -1", "--seed from 0, got -1"),
    ],
)
def test_a_wrong_word_is_one_sentence_with_the_right_ones(
    project, capsys, command, told
):
    project.write("1_first")
    project.write("more", tags=["appendix"])
    assert main(command.split()) == 2
    assert told in capsys.readouterr().err


def test_check_lists_what_is_left_to_do(project, capsys):
    project.write(
        "1_first",
        text("See @sec-top."),
        code("chapter.show_figure(figure, 'unused', 'Nobody refers to it.')"),
        code("chapter.show_figure(figure, 'used', 'As the other chapter says.')"),
        text("**Question 1**\n\nWhy?", "question"),
        text("## Next {#sec-top}"),
        text("**Question 2 ★**\n\nWhy?", "question"),
        text("So.", "answer"),
    )
    project.write("2_second", text("See @fig-1-used."))
    assert main(["check"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [re.sub(r" \(.*\)", "", line) for line in told] == [
        "1_first, cell 5: no text refers to @fig-1-unused",
        "1_first, cell 7: a question without an answer",
    ]


@pytest.mark.programs("git")
def test_a_saved_notebook_of_the_clone_is_compared_through_the_filter(tmp_path):
    def git(*words):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        return run.stdout.decode()

    path = tmp_path / "a.ipynb"
    path.write_text("first\n")
    (tmp_path / ".gitattributes").write_text("*.ipynb filter=strip\n")
    git("init", "--quiet")
    git("config", "filter.strip.clean", "head -n 1")
    git("add", ".")
    git("commit", "--quiet", "-m", "a")
    path.write_text("first\nsecond\n")
    save_hook.refresh(str(path))
    assert git("status", "--short") == ""
    path.write_text("changed\n")
    save_hook.refresh(str(path))
    assert git("status", "--short") == " M a.ipynb\n"
