"""Runs: what makes a chapter run again, and what happens while chapters run."""

import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from conftest import code, text

from labreport.build import find_stale, read_report
from labreport.cli import main
from labreport.run import Run

pytestmark = pytest.mark.report
PROSE = "It is {{value:.2f}}."
SHOW = """from pathlib import Path
from matplotlib.figure import Figure
import beside
value = beside.VALUE + float(open("../data/number.txt").read())
names = sorted(path.name for path in Path("../data/pictures").iterdir())
chapter.show_figure(Figure(), "one", "A caption of {{value:.1f}}.")"""


@pytest.fixture
def ran(project, capsys):
    """A chapter that ran, and a function that builds and says whether it ran again."""
    (project.home / "data" / "pictures").mkdir(parents=True)
    (project.home / "data" / "pictures" / "a.txt").write_text("a")
    (project.home / "data" / "number.txt").write_text("1.5")
    (project.home / "notebooks" / "beside.py").write_text("VALUE = 1\n")
    project.write("1_first", code(SHOW), text(PROSE))
    old = time.time() - 60
    for path in project.home.rglob("*.*"):
        os.utime(path, (old, old))
    os.utime(project.home / "data" / "pictures", (old, old))

    def build(*options):
        capsys.readouterr()
        assert main(["html", *options]) == 0, capsys.readouterr().err
        return "Notebooks to run" in capsys.readouterr().out

    assert build()
    assert not build()
    return project, build


def page(project):
    return (project.build / "html" / "1_first.html").read_text()


def test_prose_runs_nothing_and_is_written_anew(ran):
    project, build = ran
    caption = SHOW.replace("A caption of {{value:.1f}}", "Another of {{value:.3f}}")
    prose = "# Or {{value:.0f}} @fig-one. <!-- no claim -->"
    project.write("1_first", code(caption), text(prose.replace("# ", "## ")))
    assert not build()
    assert "Another of 2.500" in page(project)
    assert "Or 2 " in page(project)


def is_stale(project):
    run = Run(project.report, "quick")
    documents, _ = read_report(project.report.sources(), run)
    return find_stale(documents, run) != []


CHANGES = {
    "notebooks/1_first.ipynb": ("value = ", "value = 1 + "),
    "notebooks/beside.py": ("1", "2"),
    "data/number.txt": ("1.5", "2.5"),
    "data/pictures/b.txt": ("", "b"),
    "report/profiles.toml": ("", "[quick]\nnumber = 3\n"),
}


@pytest.mark.parametrize("asked", ["{{names[0]}}", "<!-- holds: value > 1 -->"])
def test_what_the_prose_asks_for_anew_makes_it_run_again(ran, asked):
    project, _ = ran
    project.write("1_first", code(SHOW), text(f"{PROSE} {asked}"))
    assert is_stale(project)


def test_what_a_run_read_makes_it_run_again(ran, monkeypatch):
    project, _ = ran
    for name, (old, new) in CHANGES.items():
        path = project.home / name
        before = path.read_text() if old else None
        path.write_text(before.replace(old, new) if old else new)
        assert is_stale(project), name
        path.write_text(before) if old else path.unlink()
        assert not is_stale(project), name
    monkeypatch.setenv("LABREPORT_THREADS", "2")
    assert is_stale(project)


def test_another_seed_has_a_folder_of_its_own(ran):
    project, build = ran
    assert build("--seed", "4")
    assert (project.build / "seed-4" / "html" / "1_first.html").exists()
    executed = nbformat.read(project.build / "seed-4/quick/1_first.ipynb", as_version=4)
    assert executed.cells[1].source == 'profile = "quick"\nseed = 4'


def test_an_edit_while_chapters_run_is_the_next_build_s(project, capsys):
    path = project.home / "notebooks" / "1_first.ipynb"
    edit = f"import pathlib\npath = pathlib.Path({str(path)!r})\nvalue = 1\n"
    edit += "content = path.read_text().replace('number', 'count')\n"
    edit += "path.write_text(content)"
    project.write("1_first", code(edit), text("The number is {{value}}."))
    project.write("2_second", text("Two."))
    assert main(["html"]) == 0
    assert "The number is 1." in page(project)
    capsys.readouterr()
    assert main(["html"]) == 0
    assert "2_second: up to date" in capsys.readouterr().out
    assert "The count is 1." in page(project)


def test_a_file_that_is_being_saved_is_read_again(project):
    path = project.write("1_first", text("One."))
    content = path.read_text()
    path.write_text("")
    command = f"/bin/sleep 0.4; /bin/mv '{path}.new' '{path}'"
    path.with_name(path.name + ".new").write_text(content)
    with subprocess.Popen(["/bin/sh", "-c", command]):
        assert main(["check"]) == 0
    path.write_text("{")
    assert main(["check"]) == 1


def test_what_fails_is_told_with_its_cell_and_the_others_run(project, capsys):
    project.write("1_first", code("x = [1, 2]\nx[3]"))
    project.write("2_second", text("Two {{misspelt}}."))
    assert main(["html"]) == 2
    told = capsys.readouterr()
    assert "IndexError: list index out of range in cell 4 (x = [1, 2])" in told.err
    assert "2_second: ran in" in told.out
    assert (project.build / "quick" / "1_first.failed.ipynb").exists()
    project.write("1_first")
    assert main(["html"]) == 2
    told = capsys.readouterr().err
    assert (
        "2_second, cell 4 (Two {{misspelt}}.): expected a value of {{misspelt}}, "
        in told
    )
    assert "NameError: name 'misspelt' is not defined" in told
    project.write("2_second", code("chapter.show_table([], 'none', 'None.')"))
    assert main(["html"]) == 2
    assert "rows for the table none, got none" in capsys.readouterr().err


def test_under_smoke_a_false_claim_is_not_marked(project):
    project.write("1_first", code("x = 1"), text("Two. <!-- holds: x == 2 -->"))
    assert main(["html", "--profile", "smoke", "--strict"]) == 0
    assert "does not hold" not in page(project)


def test_ctrl_c_ends_a_run_and_its_kernels(project):
    project.write("1_first", code("import time\ntime.sleep(100)"))

    def listen():
        # Started in the background, a process ignores Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    command = [sys.executable, "-m", "labreport.cli", "html"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=listen
    ) as process:
        while not kernels_of(process.pid):
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped; what was finished is kept" in told
    assert not kernels_of(process.pid)


def kernels_of(parent):
    """The processes that this one started."""
    listed = subprocess.run(["/bin/ps", "-eo", "ppid,pid,args"], capture_output=True)
    lines = listed.stdout.decode().splitlines()
    return [line for line in lines if line.split()[0] == str(parent)]
