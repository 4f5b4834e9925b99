"""What an edit of the library, or of a module beside the chapters, makes stale: the
chapters that use it, and no other.
"""

import shutil

import pytest
from conftest import CHECKOUT, SMOKE, code

from dlapps.core import assets
from labreport import imports
from labreport.chapters import read_notebook
from labreport.cli import main
from labreport.editions import staleness
from labreport.editions.sources import find_sources

COPIED = {"dlapps": CHECKOUT, "labreport": CHECKOUT / "report"}


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Which chapters an edit makes stale, of copies of both products and of the
    notebooks, which a test may edit.
    """
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    for package, folder in {**COPIED, "notebooks": CHECKOUT}.items():
        shutil.copytree(
            folder / package,
            tmp_path / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for folder in ("data", "report"):
        (tmp_path / folder).symlink_to(CHECKOUT / folder)
    monkeypatch.setattr(
        imports,
        "find_editable_folder",
        lambda name: tmp_path if name in COPIED else None,
    )
    chapters = {source.name: source.read() for source in find_sources()}

    def fingerprints():
        return [
            staleness.fingerprint(notebook, SMOKE) for notebook in chapters.values()
        ]

    before = fingerprints()

    def edit(name, line="edited = True"):
        path = tmp_path / name
        content = path.read_text()
        path.write_text(f"{content}\n{line}\n")
        pairs = zip(chapters, before, fingerprints(), strict=True)
        path.write_text(content)
        return [name[0] for name, then, now in pairs if now != then]

    return edit


def test_an_edit_makes_only_those_chapters_stale_that_import_it(edited):
    assert edited("dlapps/gan/steps.py") == ["4", "5"]  # the appendix draws copies
    assert edited("dlapps/dann/layers.py") == ["3"]
    assert edited("dlapps/plots.py") == list("1234")
    assert edited("labreport/editions/latex.py") == edited("dlapps/cli.py") == []
    assert edited("labreport/notebook/chapter.py") == list(
        "12345"
    )  # the last is an appendix
    assert edited("labreport/notebook/chapter.py", "# A comment.") == []
    assert edited("dlapps/core/registry.json") == list("12345")


def test_an_edit_of_figures_makes_only_those_chapters_stale_that_draw_them(edited):
    assert edited("notebooks/plots/transfer.py") == ["1"]
    assert edited("notebooks/plots/visualizing.py") == ["2"]
    assert edited("notebooks/plots/dann.py") == ["3"]
    assert edited("notebooks/plots/gan.py") == ["4"]
    assert edited("notebooks/plots/diagrams.py") == ["1", "3", "4"]
    assert edited("notebooks/checks/expect.py") == []


def test_a_data_set_that_came_since_makes_a_chapter_stale_and_a_wheel_s_does_not(
    project, monkeypatch
):
    notebook = read_notebook(project.write("1_first", code("x = 1")))
    at_hand = set()
    monkeypatch.setattr(assets, "is_present", lambda name: name in at_hand)
    before = staleness.fingerprint(notebook, SMOKE)
    at_hand.add("mnist_5k")
    assert staleness.fingerprint(notebook, SMOKE) == before
    at_hand.add("mnist-train-images")
    assert staleness.fingerprint(notebook, SMOKE) != before


@pytest.mark.parametrize(
    ("variable", "value"), [("DLAPPS_PRECISION", "float32"), ("DLAPPS_DATA", "..")]
)
def test_number_format_and_mirror_make_a_chapter_stale(
    project, monkeypatch, variable, value
):
    monkeypatch.setenv("DLAPPS_PRECISION", "bfloat16")
    notebook = read_notebook(project.write("1_first", code("x = 1")))
    before = staleness.fingerprint(notebook, SMOKE)
    monkeypatch.setenv(variable, value)
    assert staleness.fingerprint(notebook, SMOKE) != before


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "DLAPPS_DATA",
            "/no/such/folder",
            "expected a folder in DLAPPS_DATA, got /no/such/folder; correct it",
        ),
        (
            "DLAPPS_PRECISION",
            "float16",
            "expected DLAPPS_PRECISION among float32, bfloat16, got 'float16'; choose",
        ),
    ],
)
def test_a_variable_of_the_library_that_is_wrong_is_one_sentence(
    project, monkeypatch, capsys, variable, value, sentence
):
    project.write("1_transfer")
    monkeypatch.setenv(variable, value)
    assert main(["report"]) == 2
    assert capsys.readouterr().err.startswith(f"labreport: {sentence}")
