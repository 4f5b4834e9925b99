"""What git would commit of a notebook, where a filter (nbstripout) may leave out its
outputs.

JupyterLab's server imports this module for its hook, so it imports little.
"""

import os
import subprocess
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_notebook


def has_outputs(notebook: NotebookNode) -> bool:
    """Return whether a cell has an output, or a number that says when it ran."""
    return any(
        cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells
    )


def read_as_committed(path: Path) -> NotebookNode:
    """Read a notebook as git would commit it, after the filters of the clone.

    Outside a clone the notebook is empty.
    """
    with TemporaryDirectory() as objects:
        # Objects of git, the file's among them, are not written into the clone.
        env = os.environ | {"GIT_OBJECT_DIRECTORY": objects}

        def git(*arguments: str) -> str:
            run = subprocess.run(
                ["git", "-C", str(path.parent), *arguments],
                encoding="utf-8",
                env=env,
                capture_output=True,
                check=True,
            )
            return run.stdout

        try:
            name = git("hash-object", "-w", path.name).strip()
            return nbformat.reads(git("cat-file", "blob", name), as_version=4)
        except (OSError, subprocess.CalledProcessError):
            return new_notebook()


def refresh(os_path: str, **_: object) -> None:
    """Run after Jupyter saves a file: make git compare a notebook that seems changed
    through the filter.

    By itself git compares sizes, and `git status` lists each notebook that has outputs.
    A notebook that really changed stays listed, and nothing is staged.
    """
    path = Path(os_path)
    if path.suffix != ".ipynb":
        return
    git = partial(subprocess.run, cwd=path.parent, capture_output=True)
    try:
        if git(["git", "diff", "--quiet", "--", path.name]).returncode == 0:
            git(["git", "add", "--update", "--", path.name])
    except OSError:
        return  # no git, no clone
