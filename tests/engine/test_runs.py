"""Runs: what makes a chapter run again, and what happens while chapters run."""

import os
import subprocess
import threading
import time

import nbformat
import pytest
from conftest import Project, code, text
from filelock import FileLock

from labreport.build import find_stale, read_report
from labreport.cli import main
from labreport.course import course
from labreport.run import Run

pytestmark = pytest.mark.report
CODE = """import json
import os
import beside
import numpy as np
from pathlib import Path
from matplotlib.figure import Figure
value = beside.VALUE + float(open("../data/opened.txt").read())
value += json.loads(Path("../data/read.json").read_text())
value += np.loadtxt("../data/loaded.csv")
texts = os.listdir("../data/texts")
pictures = list(Path("../data/pictures").glob("*"))
chapter.show_figure(Figure(), "one", "A caption of {{value:.1f}}.")"""
PROSE = "It is {{value:.2f}}. <!-- holds: value > 9 -->"
# Each file, what stands in it, and what it is changed to.
INPUTS = {
    "notebooks/beside.py": ("VALUE = 1\n", "VALUE = 2\n"),
    "data/opened.txt": ("1.5", "2.5"),
    "data/read.json": ("0.25", "0.75"),
    "data/loaded.csv": ("0.5", "1.5"),
}
# Files that come into folders which the chapter lists.
LISTED = ["data/texts/two.txt", "data/pictures/two.png"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A project whose chapter ran, and whose files are older than the run."""
    project = Project(tmp_path_factory.mktemp("ran"))
    contents = {name: before for name, (before, _) in INPUTS.items()}
    contents |= {"data/texts/one.txt": "1", "data/pictures/one.png": "1"}
    for name, content in contents.items():
        (project.home / name).parent.mkdir(parents=True, exist_ok=True)
        (project.home / name).write_text(content)
    project.write("1_first", code(CODE), text(PROSE))
    old = time.time() - 60
    for path in project.home.rglob("*"):
        os.utime(path, (old, old))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABREPORT_HOME", str(project.home))
        patch.delenv("DLAPPS_DATA", raising=False)
        assert main(["html"]) == 0
        yield project


@pytest.fixture(autouse=True)
def restored(request):
    """The chapter is as it ran, before each test."""
    if "ran" in request.fixturenames:
        project = request.getfixturevalue("ran")
        project.write("1_first", code(CODE), text(PROSE))


def page(project):
    return (project.build / "html" / "1_first.html").read_text()


def is_stale(project, profile="quick"):
    run = Run(project.report, profile)
    documents, _ = read_report(project.report.sources(), run)
    return find_stale(documents, run) != []


def test_what_is_only_written_anew_runs_nothing(ran, capsys):
    caption = CODE.replace("A caption of {{value:.1f}}", "Another of {{value:.3f}}")
    prose = "## Or {{value:.0f}}\n\n@fig-one {{value:+.1f}} <!-- holds: value > 9 -->"
    ran.write("1_first", code(caption), text(prose), text("A cell."))
    assert main(["html"]) == 0
    assert "1_first: up to date" in capsys.readouterr().out
    for shown in ("Another of 3.250", "Or 3<", "+3.2 ", "A cell."):
        assert shown in page(ran)


@pytest.mark.parametrize(
    ("source", "prose"),
    [
        (CODE.replace("value += np", "value -= np"), PROSE),
        (CODE.replace("A caption", "{{texts[0]}}: a caption"), PROSE),
        (CODE, f"{PROSE} {{{{texts[0]}}}}"),
        (CODE, f"{PROSE} <!-- holds: value > 1 -->"),
    ],
    ids=["code", "a number of a caption", "a number", "a claim"],
)
def test_what_the_notebook_asks_for_anew_makes_it_run_again(ran, source, prose):
    assert not is_stale(ran)
    ran.write("1_first", code(source), text(prose))
    assert is_stale(ran)


@pytest.mark.parametrize("name", INPUTS)
def test_a_file_that_a_run_read_makes_it_run_again(ran, name):
    path = ran.home / name
    before, after = INPUTS[name]
    path.write_text(after)
    assert is_stale(ran)
    path.unlink()
    assert is_stale(ran)
    path.write_text(before)
    assert not is_stale(ran)


@pytest.mark.parametrize("name", LISTED)
def test_a_new_file_in_a_folder_that_a_run_listed_makes_it_run_again(ran, name):
    path = ran.home / name
    path.write_text("2")
    assert is_stale(ran)
    path.unlink()
    assert not is_stale(ran)


def test_what_a_run_depends_on_besides_its_code_makes_it_run_again(
    ran, monkeypatch, tmp_path
):
    assert is_stale(ran, "full")
    profiles = ran.home / "report" / "profiles.toml"
    profiles.write_text("[quick]\nnumber = 3\n")
    assert is_stale(ran)
    profiles.unlink()
    with monkeypatch.context() as patch:
        patch.setenv("LABREPORT_THREADS", "2")
        assert is_stale(ran)
    assert not is_stale(ran)
    # A library that declares a setting.
    installed = tmp_path / "example-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: example\nVersion: 1\n")
    entry = "[labreport.settings]\nexample = os:getcwd\n"
    (installed / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(tmp_path)
    assert is_stale(ran)


def test_another_seed_has_a_folder_of_its_own(ran, capsys):
    assert main(["run", "1", "--seed", "4"]) == 0
    assert main(["html", "--seed", "4"]) == 0
    assert "1_first: up to date" in capsys.readouterr().out
    assert (ran.build / "seed-4" / "html" / "1_first.html").exists()
    executed = nbformat.read(ran.build / "seed-4/quick/1_first.ipynb", as_version=4)
    assert executed.cells[1].source == 'profile = "quick"\nseed = 4'
    assert not is_stale(ran)


def test_under_smoke_a_false_claim_is_not_marked(ran):
    assert "does not hold" in page(ran)
    assert main(["html", "--profile", "smoke", "--strict"]) == 0
    assert "does not hold" not in page(ran)
    # An edition that is up to date is refused still, whichever was built in between.
    assert main(["html", "--strict"]) == 2
    assert main(["notebooks", "--profile", "smoke"]) == 0
    assert main(["html", "--strict"]) == 2


def test_a_false_claim_is_listed_before_an_edition_fails(ran, capsys):
    assert main(["report"]) == 2  # no test sees TeX that does not name it
    told = capsys.readouterr()
    assert "expected latexmk" in told.err
    assert "(claim: value > 9)" in told.out


@pytest.mark.parametrize("command", [["html"], ["class", "course"]])
def test_what_writes_in_one_folder_waits_for_another(
    ran, capsys, monkeypatch, tmp_path, command
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(course, "find_spec", lambda package: package)
    held = threading.Event()

    def hold():
        with FileLock(ran.build / ".lock"):
            held.set()
            time.sleep(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert main(command) == 0
    thread.join()
    told, *_ = capsys.readouterr().out.splitlines()
    assert told.startswith("Waiting for another labreport")


EDITS = """from pathlib import Path
one = 1
two = 2
path = Path("{notebook}")
path.write_text(path.read_text().replace("It is {{{{one}}}}", "It is {{{{two}}}}"))"""
READS_WHAT_CHANGES = """import os
value = float(open("changing.txt").read())
os.system("echo 2 > changing.txt")  # as another program does"""


def test_what_changes_while_chapters_run_is_the_next_build_s(project, capsys):
    path = project.home / "notebooks" / "1_first.ipynb"
    edits = EDITS.format(notebook=path)
    project.write("1_first", code(edits), text("It is {{one}}."))
    (project.home / "notebooks" / "changing.txt").write_text("1")
    project.write("2_second", code(READS_WHAT_CHANGES))
    assert main(["html"]) == 0
    assert "It is 1." in page(project)
    capsys.readouterr()
    assert main(["html"]) == 0
    assert "Notebooks to run (quick): 2 of 2" in capsys.readouterr().out
    assert "It is 2." in page(project)


def test_what_comes_while_a_chapter_runs_and_is_read_then_is_no_change(project):
    fetched = """from pathlib import Path
part = Path("../data/part")
part.parent.mkdir(exist_ok=True)
part.write_text("1")
value = part.replace("../data/whole").read_text()"""
    project.write("1_first", code(fetched))
    assert main(["html"]) == 0
    assert not is_stale(project)
    (project.home / "data" / "whole").write_text("2")
    assert is_stale(project)


def test_a_file_that_is_being_saved_is_read_again(project):
    path = project.write("1_first", text("One."))
    content = path.read_text()
    path.write_text(content[:100])
    command = f"/bin/sleep 0.4; /bin/mv '{path}.new' '{path}'"
    path.with_name(path.name + ".new").write_text(content)
    with subprocess.Popen(["/bin/sh", "-c", command]):
        assert main(["check"]) == 0
    path.write_text("{")
    assert main(["check"]) == 1
