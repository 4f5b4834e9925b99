"""What JupyterLab's server runs after it saves a notebook of this clone, `make lab`."""

import subprocess
from functools import partial
from pathlib import Path


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
