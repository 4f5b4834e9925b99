"""A chapter is run again when its code, its profile or a module that it imports changed, and for nothing else."""

import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from conftest import code, text

import dlapps
from dlapps.cli import main
from dlapps.core import environment, paths
from dlapps.report import current, execute, staleness
from dlapps.report.execute import run_notebooks
from dlapps.report.sources import find_sources, read_notebook
from dlapps.report.staleness import code_of, imported_modules


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the library whose files a test may edit."""
    ignored = shutil.ignore_patterns("__pycache__", "data")
    copy = shutil.copytree(paths.PACKAGE, tmp_path / "dlapps", ignore=ignored)
    monkeypatch.setattr(paths, "PACKAGE", copy)
    return copy


def names(*cells):
    return {path.relative_to(paths.PACKAGE).as_posix() for path in imported_modules(cells)}


def test_imports_are_followed_through_packages_and_other_modules():
    assert names("x = 1", "from numpy import pi") == set()
    assert names("import dlapps") == {"__init__.py"}
    core = {"__init__.py", "core/__init__.py", "core/images.py"}
    assert names("from dlapps import images") == core
    assert {"gan/__init__.py", "gan/steps.py", "core/runtime.py"} <= names("from dlapps import gan")
    assert names("import dlapps.gan.steps") == names("from dlapps.gan.steps import generate")


def test_the_drawing_of_one_chapter_is_not_that_of_another():
    assert "plots/gan.py" not in names("from dlapps.plots.dann import plot_recipe")


def test_a_cell_that_is_no_plain_python_may_depend_on_everything():
    assert "gan/steps.py" in names("%matplotlib inline\nimport numpy")


def test_an_edit_makes_only_those_chapters_stale_that_import_it(package):
    chapters = {source.name: source.read() for source in find_sources()}

    def fingerprints():
        return [staleness.fingerprint(notebook, "smoke") for notebook in chapters.values()]

    before = fingerprints()

    def stale_after(edited, line="edited = True"):
        path = package / edited
        content = path.read_text()
        path.write_text(f"{content}\n{line}\n")
        pairs = zip(chapters, before, fingerprints(), strict=True)
        path.write_text(content)
        return [name[0] for name, then, now in pairs if now != then]

    assert stale_after("gan/steps.py") == ["4", "5"]  # the appendix draws copies
    assert stale_after("dann/layers.py") == ["3"]
    assert stale_after("plots/transfer.py") == ["1"]
    assert stale_after("plots/visualizing.py") == ["2"]
    assert stale_after("plots/dann.py") == ["3"]
    assert stale_after("plots/gan.py") == ["4"]
    assert stale_after("report/latex.py") == stale_after("cli.py") == []
    assert stale_after("notebook/chapter.py") == list("12345")  # the last is an appendix
    assert stale_after("notebook/chapter.py", "# A comment.") == []
    assert stale_after("core/registry.json") == list("12345")


def test_docstrings_and_comments_run_nothing_and_the_rest_does():
    plain = code_of(b"def f(x):\n    return x + 1\n")
    told = b'"""A module."""\n\n\ndef f(x):  # A comment.\n    """One more."""\n    return x + 1\n'
    assert code_of(told) == plain
    assert code_of(b"def f(x):\n    return x + 2\n") != plain
    assert code_of(b'def f(x):\n    text = """One more."""\n    return x + 1\n') != plain
    assert code_of(b"def f(x:\n") == b"def f(x:\n"


EDITIONS = list(current.EDITIONS)


@pytest.mark.parametrize(
    ("changed", "outdated"),
    [
        ("notebooks/1_first.ipynb", EDITIONS),
        ("notebooks/2_new.ipynb", EDITIONS),
        ("report/references.bib", EDITIONS),
        ("notebooks/helper.py", EDITIONS),
        ("notebooks/pictures/one.png", EDITIONS),
        ("notebooks/two.png", []),
        ("report/report.toml", EDITIONS),
        ("report/notebooks/1_first.ipynb", EDITIONS),  # the pages link to it
        ("report/build/smoke/1_first.ipynb", EDITIONS),
        ("data/results/study.json", EDITIONS),
        ("dlapps/report/html.py", EDITIONS),
        ("dlapps/report/template/page.css", EDITIONS),
        ("report/build/html/index.html", ["html"]),
        ("report/build/notebooks/1_first.ipynb", ["notebooks"]),
        ("report/build/dlapps-report.pdf", ["pdf"]),
        ("report/build/results.json", ["pdf"]),
        ("figures/1-line.pdf", ["pdf"]),
        ("report/build/smoke/tex/report.log", []),
    ],
)
@pytest.mark.usefixtures("package")
def test_an_edition_is_written_anew_for_what_changed(project, monkeypatch, changed, outdated):
    monkeypatch.setattr(paths, "CHECKOUT", project.home)
    monkeypatch.setattr(environment, "installed_versions", list)

    def find(profile="smoke"):
        return current.find_outdated(EDITIONS, profile, lambda line: None)

    project.write("1_first", code("load_folder('pictures')"))
    inputs = current.digest_inputs("smoke")
    assert find() == EDITIONS
    chapters = "smoke/1_first.ipynb", "html/index.html", "notebooks/1_first.ipynb"
    for name in (*chapters, "dlapps-report.pdf", "results.json"):
        paths.write_atomically(project.build / name, b"written")
    for edition in EDITIONS:
        current.save_state(edition, "smoke", inputs, [])
    assert find() == []
    assert find("quick") == EDITIONS
    path = project.home / changed
    content = path.read_bytes() if path.exists() else None
    paths.write_atomically(path, (content or b"") + b"\n")
    assert find() == outdated
    path.unlink()
    assert find() == (outdated if content else [])


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("import helper", "helper.py"),
        ("from helper import f", "deeper.py"),
        ("from helper import f", "table.csv"),
        ("import part.one", "part/other.py"),
        ('images.stack_pixels(["my.jpg"])', "my.jpg"),
        ("datasets.load_folder('pictures/')", "pictures/cats/1.jpg"),
        ('np.load("../data/own.npy")', "../data/own.npy"),
        ("import numpy; ' '.join('.')", ""),
        ("open(''), open('..')", ""),
    ],
)
def test_a_chapter_is_stale_with_what_it_imports_and_the_files_that_it_names(project, source, changed):
    notebook = read_notebook(project.write("1_first", code(source)))
    for name in ("deeper", "other", "part/__init__", "part/other", "part/one"):
        paths.write_atomically(paths.notebooks() / f"{name}.py", b"")
    (paths.notebooks() / "helper.py").write_text("import deeper\nname = 'table.csv'")
    before = staleness.fingerprint(notebook, "smoke")
    for name in ("other.py", "other.csv", "numpy.csv", changed):
        assert staleness.fingerprint(notebook, "smoke") == before
        paths.write_atomically(paths.notebooks() / (name or "last.py"), b"changed = True")
    assert (staleness.fingerprint(notebook, "smoke") != before) == bool(changed)


@pytest.mark.report
def test_a_second_build_of_one_folder_waits_for_the_first(project):
    begun, go = paths.notebooks() / "begun", paths.notebooks() / "go"
    waits = f"while not pathlib.Path('{go}').exists(): time.sleep(0.05)"
    project.write("1_first", code(f"import pathlib, time\npathlib.Path('{begun}').touch()\n{waits}"))
    command = [sys.executable, "-m", "dlapps.cli", "notebooks", "--profile", "smoke"]
    run = partial(subprocess.Popen, command, stdout=subprocess.PIPE, text=True)
    with run() as first:
        while not begun.exists() and first.poll() is None:
            time.sleep(0.05)
        with run() as second:
            assert second.stdout.readline().startswith("Waiting for another dlapps that writes")
            go.touch()
            assert "up to date\n" in second.communicate()[0]
    assert (first.returncode, second.returncode) == (0, 0)


@pytest.mark.report
def test_a_second_build_of_what_did_not_change_writes_nothing(project, monkeypatch, capsys):
    path = project.write("1_first", text("A word."))
    verb = ["notebooks", "--profile", "smoke"]
    assert main(verb) == 0
    with monkeypatch.context() as patch:
        patch.setattr("dlapps.report.build.build", None)
        capsys.readouterr()
        assert main(verb) == 0
        assert capsys.readouterr().out == "notebooks: up to date\n"
    path.write_text(path.read_text().replace("A word.", "Another word."))
    assert main(verb) == 0
    assert "Another word." in (project.build / "notebooks" / path.name).read_text()


@pytest.mark.report
def test_chapters_run_side_by_side_with_one_thread_each(project, monkeypatch):
    monkeypatch.setattr(environment.joblib, "cpu_count", lambda: 2)
    # Each waits until the other has begun.
    meet = (
        "import pathlib, time\npathlib.Path(f'{mine}.begun').touch()\nuntil = time.time() + 60\n"
        "while not pathlib.Path(f'{other}.begun').exists() and time.time() < until: time.sleep(0.05)\n"
        "print(f'met_{mine} = {time.time() < until}')"
    )
    threads = "import os, torch\nprint(f'threads_{mine} = {torch.get_num_threads()}')"
    threads += "\nprint(f'folder_{mine} = {os.getcwd()}')"
    for mine, other in ((1, 2), (2, 1)):
        setting = code(f"mine, other = {mine}, {other}")
        project.write(f"{mine}_first", setting, code(meet), code(threads))
    said, before = [], Path.cwd()
    run_notebooks(find_sources(), "smoke", said.append)
    assert Path.cwd() == before
    assert sorted(line.split(":")[0] for line in said) == ["1_first", "2_first"]
    for source in find_sources():
        told = str(execute.read_executed(source, "smoke").cells)
        assert f"met_{source.number} = True" in told
        assert f"threads_{source.number} = 1" in told
        assert f"folder_{source.number} = {paths.notebooks()}" in told


@pytest.mark.parametrize(
    ("variable", "value"), [("DLAPPS_THREADS", "2"), ("DLAPPS_PRECISION", "float32"), ("DLAPPS_DATA", ".")]
)
def test_threads_number_format_and_data_make_chapters_and_editions_stale(project, monkeypatch, variable, value):
    monkeypatch.setenv("DLAPPS_PRECISION", "bfloat16")
    notebook = read_notebook(project.write("1_first", code("x = 1")))
    before = staleness.fingerprint(notebook, "smoke"), current.digest_inputs("smoke")
    assert (staleness.fingerprint(notebook, "smoke"), current.digest_inputs("smoke")) == before
    monkeypatch.setenv(variable, value)
    after = staleness.fingerprint(notebook, "smoke"), current.digest_inputs("smoke")
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_a_data_set_that_came_since_makes_a_chapter_stale_and_a_wheel_s_does_not(project, monkeypatch):
    notebook = read_notebook(project.write("1_first", code("x = 1")))
    before = staleness.fingerprint(notebook, "smoke")
    at_hand = {"mnist_5k"}
    monkeypatch.setattr(current.assets, "is_present", lambda name: name in at_hand)
    assert staleness.fingerprint(notebook, "smoke") == before
    at_hand.add("mnist-train-images")
    assert staleness.fingerprint(notebook, "smoke") != before


@pytest.mark.parametrize("said", ["float16", "0"])
def test_a_number_format_that_is_none_is_one_sentence(monkeypatch, said):
    monkeypatch.setenv("DLAPPS_PRECISION", said)
    with pytest.raises(dlapps.DlappsError, match=f"expected DLAPPS_PRECISION among float32, bfloat16, got '{said}'"):
        environment.number_format()


@pytest.mark.parametrize("said", ["0", "two", "-1"])
def test_a_number_of_threads_that_is_none_is_one_sentence(monkeypatch, said):
    monkeypatch.setenv("DLAPPS_THREADS", said)
    with pytest.raises(dlapps.DlappsError, match=rf"threads in DLAPPS_THREADS, got '{said}'; set"):
        environment.num_threads()


def test_threads_and_processes_fill_the_cores(monkeypatch):
    monkeypatch.setattr(environment.joblib, "cpu_count", lambda: 8)
    monkeypatch.delenv("DLAPPS_THREADS", raising=False)
    assert (environment.num_threads(), environment.num_processes()) == (1, 8)
    monkeypatch.setenv("DLAPPS_THREADS", "3")
    assert (environment.num_threads(), environment.num_processes()) == (3, 2)
