"""A chapter is run again when its code, its profile or a module that it imports
changed, and for nothing else.
"""

import shutil
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
from conftest import QUICK, SMOKE, code, text

from labreport import LabreportError, environment, imports, paths
from labreport.chapters import read_notebook
from labreport.cli import main
from labreport.editions import current, execute, staleness
from labreport.editions.execute import run_notebooks
from labreport.editions.sources import find_sources
from labreport.imports import read_module


@pytest.fixture
def editable(tmp_path, monkeypatch):
    """A package, methods, that is installed editable.

    It hands on a module of methods.core when it is asked for: what it names for type
    checkers counts as imported.
    """
    folder = tmp_path / "elsewhere"
    guarded = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from methods.core import pixels\n"
    )
    files = {
        "methods/__init__.py": guarded,
        "methods/core/__init__.py": "",
        "methods/core/pixels.py": "import numpy",
        "methods/core/files.py": "",
        "methods/maps.py": "from .core import pixels\n"
        "from . import weights\nTABLE = 'table.json'",
        "methods/weights.py": "",
        "methods/table.json": "{}",
    }
    for name, content in files.items():
        paths.write_atomically(folder / name, content.encode())
    monkeypatch.syspath_prepend(folder)
    imports.find_editable_folder.cache_clear()
    yield folder
    imports.find_editable_folder.cache_clear()


def names(*cells):
    return {*imports.find_imported(cells).files.values()}


PIXELS = {
    "methods/__init__.py",
    "methods/core/__init__.py",
    "methods/core/pixels.py",
}
MAPS = PIXELS | {"methods/maps.py", "methods/weights.py", "methods/table.json"}


@pytest.mark.parametrize(
    ("cells", "files"),
    [
        (["x = 1", "from numpy import pi"], set()),
        (["import methods"], PIXELS),
        (["from methods import pixels"], PIXELS),
        (["from methods.core import pixels as them"], PIXELS),
        (["from methods import maps"], MAPS),
        (["import methods.maps"], MAPS),
        (["from methods.maps import smooth"], MAPS),
        (["%matplotlib inline\nfrom methods import maps"], MAPS),
        (["%%time\nfrom methods import maps"], MAPS),
        (["files = !ls\nfrom methods import maps"], MAPS),
        (["!ls\nfrom methods import maps\nx = (5\n    % 3)"], MAPS),
        (["%time from methods import maps"], MAPS),
        (["%run beside.py"], MAPS | {"beside.py"}),
        (["it does not parse"], MAPS | {"beside.py"}),
    ],
)
@pytest.mark.usefixtures("editable")
def test_imports_are_followed_by_file_through_packages_that_are_installed_editable(
    project, cells, files
):
    if "beside.py" in files:
        (project.home / "notebooks" / "beside.py").write_text("import methods.maps")
    assert names(*cells) == files


@pytest.mark.usefixtures("editable", "project")
def test_of_what_is_installed_the_version_counts():
    found = imports.find_imported(
        ["import torch, json", "from methods import maps"]
    ).versions
    assert found == {name: version(name) for name in ("numpy", "torch")}


def test_an_edited_method_makes_a_chapter_stale_and_a_comment_does_not(
    editable, project
):
    notebook = read_notebook(project.write("1_first", code("from methods import maps")))
    before = staleness.fingerprint(notebook, SMOKE)
    method = editable / "methods" / "weights.py"
    method.write_text("# A comment.")
    assert staleness.fingerprint(notebook, SMOKE) == before
    method.write_text("weight = 2")
    assert staleness.fingerprint(notebook, SMOKE) != before


def test_a_cell_that_may_fail_is_another_cell(project):
    notebook = read_notebook(project.write("1_first", code("1 / 0")))
    before = staleness.fingerprint(notebook, SMOKE)
    notebook.cells[-1].metadata["tags"] = ["raises-exception"]
    assert staleness.fingerprint(notebook, SMOKE) != before


def test_docstrings_and_comments_run_nothing_and_the_rest_does():
    plain = read_module("def f(x):\n    return x + 1\n").code
    documented = (
        '"""A module."""\n\n\n'
        'def f(x):  # A comment.\n    """One more."""\n    return x + 1\n'
    )
    assert read_module(documented).code == plain
    assert read_module("def f(x):\n    return x + 2\n").code != plain
    text = 'def f(x):\n    text = """One more."""\n    return x + 1\n'
    assert read_module(text).code != plain
    assert read_module("def f(x:\n") is None


EDITIONS = list(current.EDITIONS)


def find_outdated(run=SMOKE):
    """The editions to write, as `labreport report` finds them."""
    if staleness.find_stale(find_sources(), run):
        return EDITIONS
    return current.find_outdated(EDITIONS, run, lambda line: None)


def pretend_run(path):
    """Write an executed copy of a chapter that is not stale."""
    (source,) = (source for source in find_sources() if source.path == path)
    executed = source.read()
    inputs = staleness.fingerprint(executed, SMOKE)
    executed.metadata["labreport"] = {"inputs": inputs, "seconds": 1.0}
    content = nbformat.writes(executed).encode()
    paths.write_atomically(SMOKE.executed(source.name), content)


@pytest.fixture
def written(project, editable, monkeypatch):
    """All editions of a chapter, as if they had just been written."""
    monkeypatch.setattr(environment, "installed_versions", list)
    cell = code("import helper\nfrom methods import maps\nload_folder('pictures')")
    path = project.write("1_first", cell)
    assert find_outdated() == EDITIONS
    pretend_run(path)
    assert find_outdated() == EDITIONS
    inputs = current.digest_inputs(SMOKE)
    files = "html/index.html", "notebooks/1_first.ipynb", "report.pdf", "results.json"
    for name in files:
        paths.write_atomically(project.build / name, b"written")
    for edition in EDITIONS:
        current.save_digest(edition, SMOKE, inputs)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A copy of this package whose files a test may edit."""
    ignored = shutil.ignore_patterns("__pycache__")
    monkeypatch.setattr(
        paths,
        "PACKAGE",
        shutil.copytree(paths.PACKAGE, tmp_path / "engine", ignore=ignored),
    )


@pytest.mark.parametrize(
    ("changed", "outdated"),
    [
        ("notebooks/1_first.ipynb", EDITIONS),
        ("report/references.bib", EDITIONS),
        ("notebooks/helper.py", EDITIONS),
        ("notebooks/pictures/one.png", EDITIONS),
        ("notebooks/two.png", []),
        ("report/report.toml", EDITIONS),
        ("report/notebooks/1_first.ipynb", EDITIONS),  # the pages link to it
        ("report/build/smoke/1_first.ipynb", EDITIONS),
        ("data/results/study.json", []),
        ("data/results/variants.json", EDITIONS),  # what stands beside numbers
        ("report/results.json", EDITIONS),
        ("engine/editions/html.py", EDITIONS),
        ("engine/editions/template/page.css", EDITIONS),
        ("elsewhere/methods/weights.py", EDITIONS),
        ("report/build/html/index.html", ["html"]),
        ("report/build/notebooks/1_first.ipynb", ["notebooks"]),
        ("report/build/report.pdf", ["pdf"]),
        ("report/build/results.json", EDITIONS),
        ("figures/1-line.pdf", ["pdf"]),
        ("report/build/smoke/tex/report.log", []),
    ],
)
@pytest.mark.usefixtures("engine")
def test_an_edition_is_written_anew_for_what_changed(
    written, project, changed, outdated
):
    assert find_outdated() == []
    path = project.home / changed
    existed = path.exists()
    content = path.read_bytes() if existed else b""
    line = b"\nchanged = True\n" if path.suffix == ".py" else b"\n"
    paths.write_atomically(path, content + line)
    assert find_outdated() == outdated
    if existed:
        path.write_bytes(content)
    else:
        path.unlink()
    assert find_outdated() == []


def test_what_is_missing_makes_an_edition_outdated(written, project):
    assert find_outdated(QUICK) == EDITIONS
    (project.build / "html" / "index.html").unlink()
    assert find_outdated() == ["html"]
    pretend_run(project.write("2_new"))
    assert find_outdated() == EDITIONS
    (project.home / "notebooks" / "2_new.ipynb").unlink()
    assert find_outdated() == ["html"]


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
        ('open(f"pictures/{name}.jpg")', "pictures/one.jpg"),
        ('"""Of two lines\n"""; open("it\'s.csv")', "it's.csv"),
        ("import numpy; ' '.join('.')", ""),
        ("open(''), open('..')", ""),
    ],
)
def test_a_chapter_is_stale_with_what_it_imports_and_the_files_that_it_names(
    project, source, changed
):
    notebook = read_notebook(project.write("1_first", code(source)))
    for name in ("deeper", "other", "part/__init__", "part/other", "part/one"):
        paths.write_atomically(
            paths.notebooks() / f"{name}.py",
            b"from . import other" * (name == "part/one"),
        )
    (paths.notebooks() / "helper.py").write_text("import deeper\nname = 'table.csv'")
    before = staleness.fingerprint(notebook, SMOKE)
    for name in ("other.py", "other.csv", "numpy.csv", changed):
        assert staleness.fingerprint(notebook, SMOKE) == before
        paths.write_atomically(
            paths.notebooks() / (name or "last.py"), b"changed = True"
        )
    assert (staleness.fingerprint(notebook, SMOKE) != before) == bool(changed)


@pytest.mark.parametrize(
    "source",
    ["%time open('my.csv')", "!cat 'my.csv'", "files = !ls\nopen('my.csv')"],
)
def test_a_file_that_a_cell_with_a_magic_names_counts(project, source):
    notebook = read_notebook(project.write("1_first", code(source)))
    (paths.notebooks() / "my.csv").write_text("1")
    files = staleness.fingerprint(notebook, SMOKE)["files"]
    assert list(files) == ["notebooks/my.csv"]


@pytest.mark.report
def test_a_second_build_of_one_folder_waits_for_the_first(project):
    begun, go = paths.notebooks() / "begun", paths.notebooks() / "go"
    waits = f"while not pathlib.Path('{go}').exists(): time.sleep(0.05)"
    project.write(
        "1_first",
        code(f"import pathlib, time\npathlib.Path('{begun}').touch()\n{waits}"),
    )
    command = [sys.executable, "-m", "labreport.cli", "notebooks", "--profile", "smoke"]
    run = partial(subprocess.Popen, command, stdout=subprocess.PIPE, text=True)
    with run() as first:
        while not begun.exists() and first.poll() is None:
            time.sleep(0.05)
        with run() as second:
            assert second.stdout.readline().startswith(
                "Waiting for another labreport that writes"
            )
            go.touch()
            assert "up to date\n" in second.communicate()[0]
    assert (first.returncode, second.returncode) == (0, 0)


@pytest.mark.report
def test_a_second_build_of_what_did_not_change_writes_nothing(
    project, monkeypatch, capsys
):
    path = project.write("1_first", text("A word."))
    verb = ["notebooks", "--profile", "smoke"]
    assert main(verb) == 0
    with monkeypatch.context() as patch:
        patch.setattr("labreport.editions.build.build", None)
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
        "import pathlib, time\npathlib.Path(f'{mine}.begun').touch()\n"
        "until = time.time() + 60\n"
        "while not pathlib.Path(f'{other}.begun').exists() and time.time() < until:\n"
        "    time.sleep(0.05)\n"
        "print(f'met_{mine} = {time.time() < until}')"
    )
    threads = "import os, torch\nprint(f'threads_{mine} = {torch.get_num_threads()}')"
    threads += "\nprint(f'folder_{mine} = {os.getcwd()}')"
    for mine, other in ((1, 2), (2, 1)):
        setting = code(f"mine, other = {mine}, {other}")
        project.write(f"{mine}_first", setting, code(meet), code(threads))
    said, before = [], Path.cwd()
    run_notebooks(find_sources(), SMOKE, said.append)
    assert Path.cwd() == before
    assert sorted(line.split(":")[0] for line in said) == ["1_first", "2_first"]
    for source in find_sources():
        cells = str(execute.read_executed(source, SMOKE).cells)
        assert f"met_{source.number} = True" in cells
        assert f"threads_{source.number} = 1" in cells
        assert f"folder_{source.number} = {paths.notebooks()}" in cells


class Setting:
    """An entry point of a library that has one setting, or a mistake in it."""

    name = "number_format"

    def __init__(self, value):
        self.value = value

    def load(self):
        def read():
            if isinstance(self.value, Exception):
                raise self.value
            return self.value

        return read


def test_threads_and_what_libraries_say_make_a_chapter_stale(project, monkeypatch):
    notebook = read_notebook(project.write("1_first", code("x = 1")))

    def say(value):
        monkeypatch.setattr(
            environment.metadata, "entry_points", lambda group: [Setting(value)]
        )

    say("bfloat16")
    before = staleness.fingerprint(notebook, SMOKE)
    assert staleness.fingerprint(notebook, SMOKE) == before
    say("float32")
    assert staleness.fingerprint(notebook, SMOKE) != before
    say("bfloat16")
    monkeypatch.setenv("LABREPORT_THREADS", "2")
    assert staleness.fingerprint(notebook, SMOKE) != before
    say(ValueError("expected a format, got none; name one."))
    with pytest.raises(LabreportError, match="expected a format, got none"):
        environment.library_settings()


@pytest.mark.parametrize("said", ["0", "two", "-1"])
def test_a_number_of_threads_that_is_none_is_one_sentence(monkeypatch, said):
    monkeypatch.setenv("LABREPORT_THREADS", said)
    with pytest.raises(
        LabreportError, match=rf"threads in LABREPORT_THREADS, got '{said}'; set"
    ):
        environment.num_threads()


def test_threads_and_processes_fill_the_cores(monkeypatch):
    monkeypatch.setattr(environment.joblib, "cpu_count", lambda: 8)
    monkeypatch.delenv("LABREPORT_THREADS", raising=False)
    assert (environment.num_threads(), environment.num_processes()) == (1, 8)
    monkeypatch.setenv("LABREPORT_THREADS", "3")
    assert (environment.num_threads(), environment.num_processes()) == (3, 2)
