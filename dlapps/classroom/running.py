"""What runs within the fence: a notebook in a kernel of its own, and the checks of what it made.

`python -m dlapps.classroom.running` reads a task as JSON from stdin, and writes its answer as JSON to stdout.
"""

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from dlapps import environment, paths
from dlapps.classroom.notebooks import write
from dlapps.report.contents import outputs
from dlapps.report.execute import OwnKernelManager
from dlapps.report.sources import tags
from dlapps.syntax import first_line

_BEGIN = "_captured, _before = {}, {}"
_BEFORE = "_before[{cell!r}] = {{_name: globals().get(_name) for _name in {names}}}"
_AFTER = (
    "_captured[{cell!r}] = {{_name: globals()[_name] for _name in {names}"
    " if globals().get(_name) is not _before[{cell!r}][_name]}} | _captured.get({cell!r}, {{}})"
)
_LOOK = "from dlapps.classroom import checks as _checks\n_checks.show({chapter!r}, globals(), _captured, {exercises})"


def run(
    notebook: NotebookNode,
    chapter: str,
    exercises: Mapping[str, Sequence[str]],
    cell_seconds: int,
    own: Collection[str] = (),
) -> dict[str, Any]:
    """Run a notebook under the smoke profile: `fault`, of the first cell that failed, or None, and `verdicts`.

    exercises: by cell id, the names that each exercise has to define. What they are bound to is kept as the exercise's
    cell ends, and only if it was not bound to the same before: a later cell may use the name for something else. Cells
    of the student's own, by their ids in `own`, belong to the exercise that they stand above, or below for names that
    it left out. A cell that fails, or is stopped after its seconds, does not keep the others from running.
    """
    look = new_code_cell(_LOOK.format(chapter=chapter, exercises=dict(exercises)))
    numbered = dict(enumerate(notebook.cells, start=1))
    running = NotebookNode({**notebook, "cells": [*_with_captures(notebook.cells, exercises, own), look]})
    client = NotebookClient(
        running,
        timeout_func=lambda cell: None if cell is look else cell_seconds,
        interrupt_on_timeout=True,
        allow_errors=True,
        shutdown_kernel="immediate",
        kernel_manager_class=OwnKernelManager,
    )
    try:
        client.execute()
    except DeadKernelError:
        return {"fault": "expected a kernel that lives, got one that died (out of memory?)", "verdicts": []}
    faults = [_fault(cell, number, cell_seconds) for number, cell in numbered.items()]
    # Of that cell alone, and once: what other cells display is the student's.
    said = [message["verdicts"] for _, message in outputs(look, "verdicts")]
    if len(said) != 1:
        return {"fault": "expected verdicts of the checks, got none that can be trusted", "verdicts": []}
    return {"fault": next(filter(None, faults), None), "verdicts": said[0]}


def _with_captures(
    cells: list[NotebookNode], exercises: Mapping[str, Sequence[str]], own: Collection[str]
) -> Iterator[NotebookNode]:
    begun = new_code_cell(f'{_BEGIN}\nprofile = "smoke"')
    if not any("parameters" in tags(cell) for cell in cells):
        yield begun
    groups: list[list[NotebookNode]] = [[]]
    for cell in cells:
        groups[-1].append(cell)
        if cell.get("id", "") not in own:
            groups.append([])
    keep = ""  # how the names of the exercise above are kept
    for *added, cell in groups[:-1]:
        told = {"cell": cell.get("id", ""), "names": list(exercises.get(cell.get("id", ""), []))}
        if told["names"]:
            yield new_code_cell(_BEFORE.format(**told))
        yield from added
        if keep and added:
            yield new_code_cell(keep)
        yield cell
        keep = _AFTER.format(**told) if told["names"] else ""
        if keep:
            yield new_code_cell(keep)
        if "parameters" in tags(cell):
            yield begun
    yield from groups[-1]
    if keep and groups[-1]:
        yield new_code_cell(keep)


def _fault(cell: NotebookNode, number: int, cell_seconds: int) -> str | None:
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            what = f"{output.ename}: {first_line(output.evalue, 200)}"
            if output.ename == "KeyboardInterrupt":
                what = f"one that was stopped after {cell_seconds} seconds"
            return f"expected every cell to run, got {what} in cell {number} ({first_line(cell.source)})"
    return None


def _limit(limits: Mapping[str, int]) -> None:
    """Hold this process and all that it starts to limits, by name; Windows has none."""
    with contextlib.suppress(ImportError):
        resource = importlib.import_module("resource")
        for name, value in limits.items():
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (value, value))


def main() -> None:
    """Answer the task on stdin."""
    # The kernel inherits stdout, and must not write the answer.
    answer = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    task = json.load(sys.stdin)
    _limit(task["limits"])
    environment.limit_threads()
    # In the user's cache they are looked for without a lock, which only a folder that can be written has.
    kept = paths.user_cache() / "assets"
    kept.mkdir(parents=True, exist_ok=True)
    for asset in chain.from_iterable(Path(folder).glob("[!.]*") for folder in task["assets"]):
        with contextlib.suppress(OSError):
            (kept / asset.name).symlink_to(asset)
    notebook = nbformat.from_dict(task["notebook"])
    write(paths.notebooks() / f"{task['name']}.ipynb", notebook)
    found = run(notebook, task["chapter"], task["exercises"], task["cell_seconds"], task["own"])
    os.write(answer, json.dumps(found).encode())


if __name__ == "__main__":
    main()
