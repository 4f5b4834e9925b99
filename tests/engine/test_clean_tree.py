"""Running a notebook changes nothing for git once `make lab` defined its filter."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import CHECKOUT, SPEC, code, has_outputs, text
from nbclient import NotebookClient

from labreport.editions.committed import refresh
from labreport.editions.execute import OwnKernelManager

# What JupyterLab, Notebook and VS Code add to a cell that somebody looked at.
LOOKED_AT = {"editable": True, "slideshow": {"slide_type": ""}, "scrolled": True}
LOOKED_AT["jp-MarkdownHeadingCollapsed"] = True
WIDGETS = "application/vnd.jupyter.widget-state+json"
STATE = {WIDGETS: {"version_major": 2, "version_minor": 0, "state": {}}}


def git(folder, *arguments):
    identity = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def ran(project):
    """A notebook that is committed, and has been run and saved since."""
    path = project.write("1_transfer", text("One."), code("print(1)"), code("1 + 1"))
    shutil.copy(CHECKOUT / ".gitattributes", project.home)
    (project.home / "report" / "notebooks").mkdir()
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.update(kernelspec=SPEC, language_info={"name": "python"})
    nbformat.write(notebook, path)
    git(project.home, "init", "--quiet")
    git(project.home, "add", ".")
    git(project.home, "commit", "--quiet", "--message", "All")

    NotebookClient(
        notebook, kernel_manager_class=OwnKernelManager, record_timing=True
    ).execute()
    notebook.metadata.update(widgets=STATE, vscode={"interpreter": {}})
    notebook.cells[0].metadata.update(LOOKED_AT)
    nbformat.write(notebook, path)
    assert has_outputs(notebook)
    assert notebook.metadata.language_info.version
    return path


@pytest.mark.report
@pytest.mark.programs("git", "make")
def test_a_run_changes_nothing_for_git(ran, project):
    assert git(project.home, "status", "--porcelain").split() == [
        "M",
        "notebooks/1_transfer.ipynb",
    ]
    make = ["make", "--dry-run", "lab", f"VENV={sys.prefix}"]
    printed = subprocess.run(
        make, cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout
    definition = re.search(r"git config filter\.nbstripout\.clean .+", printed)[0]
    subprocess.run(definition, shell=True, check=True, cwd=project.home)
    refresh(os_path=str(ran), model={}, contents_manager=None)
    assert git(project.home, "status", "--porcelain") == ""
    assert has_outputs(nbformat.read(ran, as_version=4))

    ran.write_text(ran.read_text().replace("One.", "Another."))
    refresh(os_path=str(ran), model={}, contents_manager=None)
    assert (
        git(project.home, "status", "--porcelain") == " M notebooks/1_transfer.ipynb\n"
    )
    changed = re.findall(r"(?m)^[-+] .*", git(project.home, "diff", "--unified=0"))
    assert changed == ['-    "One."', '+    "Another."']

    # Of reading copies the outputs are what they are for.
    shutil.copy(ran, project.home / "report" / "notebooks")
    git(project.home, "add", ".")
    assert "output_type" in git(
        project.home, "show", ":report/notebooks/1_transfer.ipynb"
    )
    assert "output_type" not in git(project.home, "show", ":notebooks/1_transfer.ipynb")
