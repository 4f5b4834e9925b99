"""Runs that fail or are stopped: what is told, and what stays."""

import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from conftest import code, text

from labreport.cli import main

pytestmark = pytest.mark.report
LOOP = """from matplotlib.figure import Figure
for number in range(2):
    chapter.show_figure(Figure(), "one", "One.")"""


def test_all_that_fails_is_told_with_its_cell_and_the_others_run(project, capsys):
    project.write("1_first", code("x = [1, 2]\nx[3]"))
    project.write("2_second", text("Two."))
    project.write("3_third", code("1 / 0"))
    assert main(["html"]) == 2
    told = capsys.readouterr()
    assert "IndexError: list index out of range in cell 4 (x = [1, 2])" in told.err
    assert "ZeroDivisionError: division by zero in cell 4 (1 / 0)" in told.err
    assert "2_second: ran in" in told.out
    assert (project.build / "quick" / "1_first.failed.ipynb").exists()
    assert not (project.build / "html").exists()
    project.write("1_first", code("chapter.show_table([], 'none', 'None.')"))
    project.write("3_third")
    assert main(["html"]) == 2
    told = capsys.readouterr()
    assert "2_second: up to date" in told.out
    assert "rows for the table none, got none" in told.err
    assert "in cell 4 (chapter.show_table([], 'none'" in told.err


def test_what_a_build_finds_wrong_in_a_run_is_told_with_its_cell(project, capsys):
    first = project.write("1_first", code(LOOP))
    project.write("2_second", text("Two {{misspelt}}."))
    assert main(["html"]) == 2
    told = capsys.readouterr().err
    assert "1_first, cell 4 (" in told
    assert "expected one to be shown once, got twice" in told
    first.unlink()
    assert main(["html"]) == 2
    told = capsys.readouterr()
    assert "2_second: up to date" in told.out
    assert "2_second, cell 4 (Two {{misspelt}}.): expected a value of" in told.err
    assert "NameError: name 'misspelt' is not defined" in told.err


def test_ctrl_c_ends_a_run_and_its_kernel(project):
    begun = project.home / "begun"
    tell = "import os, pathlib, time\n"
    tell += f"pathlib.Path({str(begun)!r}).write_text(str(os.getpid()))\n"
    project.write("1_first", code(f"{tell}time.sleep(100)"))
    command = [sys.executable, "-m", "labreport.cli", "html"]

    def listen():
        # Started in the background, a process ignores Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with tempfile.TemporaryDirectory() as sockets:
        environment = {**os.environ, "TMPDIR": sockets}
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, preexec_fn=listen, env=environment
        ) as process:
            while not (begun.exists() and begun.read_text()):
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=30)
        assert process.returncode == 130
        assert b"stopped; what was finished is kept" in told
        with pytest.raises(ProcessLookupError):
            os.kill(int(begun.read_text()), 0)
