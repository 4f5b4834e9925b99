"""The committed notebooks themselves: they run under the smoke profile and become a
PDF, and their text is complete.
"""

import itertools
import json
import os
import subprocess

import nbformat
import pytest
from conftest import CHECKOUT, SPEC, has_outputs, skip_unless_fetched, violations

from labreport.cli import main

NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project of its own that borrows the checkout's notebooks, bibliography and
    data; no mirror.
    """
    folder = tmp_path_factory.mktemp("project")
    (folder / "report").mkdir()
    for name in (
        "notebooks",
        "data",
        "report/references.bib",
        "report/report.toml",
        "report/profiles.toml",
    ):
        (folder / name).symlink_to(CHECKOUT / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABREPORT_HOME", str(folder))
        patch.delenv("DLAPPS_DATA", raising=False)
        yield folder


@pytest.fixture(scope="module")
def built(home):
    """The folder of the report, its pages built once under the smoke profile."""
    skip_unless_fetched()
    assert main(["html", "--profile", "smoke"]) == 0
    return home / "report" / "build"


@pytest.mark.smoke
@pytest.mark.programs("latexmk")
def test_report_is_built_from_the_notebooks(built):
    assert main(["report", "--profile", "smoke"]) == 0
    pdf = built / "report.pdf"
    assert pdf.read_bytes().startswith(b"%PDF")
    results = json.loads((built / "results.json").read_text())
    chapters = results["chapters"].values()
    numbers = {
        n["expression"].partition(":")[0]: n["value"]
        for chapter in chapters
        for n in chapter["numbers"]
    }
    headlines = {
        name: headline["value"] for name, headline in results["headlines"].items()
    }
    assert numbers["num_rooms"] == 189
    assert headlines["scenes_pool5"] >= 0.9
    assert headlines["robust_accuracy"] >= 0.9
    assert headlines["classes_recognised"] >= 0.6
    assert {
        entry["profile"] for entry in (*chapters, *results["headlines"].values())
    } == {"smoke"}


@pytest.mark.smoke
def test_pages_break_no_rule_of_wcag(built, browser):
    for scheme, path in zip(
        itertools.cycle(("light", "dark")),
        sorted((built / "html").iterdir()),
        strict=False,
    ):
        page = browser.new_page(
            viewport={"width": 380, "height": 800}, color_scheme=scheme
        )
        page.goto(path.as_uri())
        assert violations(page) == [], path.name
        page.close()


def test_nothing_is_missing_in_the_text(home, capsys):
    assert main(["check"]) == 0, capsys.readouterr().out


def read_as_committed(path, objects):
    """A notebook as git would commit it, after the filters of the clone; without cells
    outside a clone.

    objects: a folder, so that no object of git is written into the clone.
    """

    def git(*arguments):
        run = subprocess.run(
            ["git", "-C", str(path.parent), *arguments],
            encoding="utf-8",
            env=os.environ | {"GIT_OBJECT_DIRECTORY": str(objects)},
            capture_output=True,
            check=True,
        )
        return run.stdout

    try:
        name = git("hash-object", "-w", path.name).strip()
        return nbformat.reads(git("cat-file", "blob", name), as_version=4)
    except (OSError, subprocess.CalledProcessError):
        return nbformat.v4.new_notebook()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_is_as_git_and_jupyter_leave_it(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    if has_outputs(notebook):
        assert not has_outputs(read_as_committed(path, tmp_path))
    assert (notebook.metadata.kernelspec, notebook.metadata.language_info.name) == (
        SPEC,
        "python",
    )
    for number, cell in enumerate(notebook.cells, start=1):
        hidden = not {"remove-cell", "remove-input"}.isdisjoint(
            cell.metadata.get("tags", [])
        )
        folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        assert folded == (hidden and cell.cell_type == "code"), (
            f"cell {number}: jupyter.source_hidden"
        )


@pytest.mark.programs("git")
def test_committed_results_stay_small():
    committed = subprocess.run(
        ["git", "-C", str(CHECKOUT), "ls-files", "data/results"],
        capture_output=True,
        text=True,
        check=False,
    )
    sizes = [(CHECKOUT / name).stat().st_size for name in committed.stdout.splitlines()]
    if not sizes:
        pytest.skip("no clone of git")
    assert max(sizes) < 20e6
    assert sum(sizes) < 30e6
