"""A student's notebook run in a kernel of its own, and what the checks say of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from tqdm.auto import tqdm

from dlapps.classroom import Verdict
from dlapps.classroom.editions import INVITATION
from dlapps.classroom.notebooks import chapter_name, read
from dlapps.report.contents import messages
from dlapps.report.execute import OwnKernelManager
from dlapps.report.sources import tags
from dlapps.syntax import first_line

MINUTES = 10  # a cell may take; under the smoke profile those of the chapters take seconds
_RUNS = (
    "A notebook is read from top to bottom, in a kernel that has just started. What only works in the order in which "
    "it was written can be repeated by nobody else."
)
_EXERCISES = "The comment in the cell says what it has to define. Later cells read those names, and stop without them."
_ANSWERS = "A number is no answer. Say what you claim, what you measured, why it is so, and where it ends."


def examine(path: Path) -> list[Verdict]:
    """Run a notebook under the smoke profile and check what it made; the file itself is only read.

    The code runs as it stands, with the rights of the caller. A cell that fails does not keep the others from running.
    A ClassroomError when the file holds no notebook of a chapter.
    """
    notebook = read(path)
    chapter = int(chapter_name(notebook, path).split("_")[0])
    ran, fault = _run(notebook, chapter, path.resolve().parent)
    verdicts = [Verdict("runs from top to bottom", fault, _RUNS), *_blanks(notebook)]
    for message in messages(ran, "verdicts"):
        verdicts += [Verdict(**verdict) for verdict in message["verdicts"]]
    return verdicts


def _run(notebook: NotebookNode, chapter: int, folder: Path) -> tuple[NotebookNode, str | None]:
    """The executed notebook, and what was wrong with the first cell that failed."""
    looks = new_code_cell(f"from dlapps.classroom import checks as _checks\n_checks.show({chapter}, globals())")
    running = copy.deepcopy(notebook)
    cells = [*running.cells, looks]
    place = next((i for i, cell in enumerate(cells, start=1) if "parameters" in tags(cell)), 0)
    running.cells = [*cells[:place], new_code_cell('profile = "smoke"'), *cells[place:]]
    with tqdm(total=len(running.cells), desc="cells", leave=False) as bar:
        client = NotebookClient(
            running,
            timeout=60 * MINUTES,
            allow_errors=True,
            kernel_manager_class=OwnKernelManager,
            resources={"metadata": {"path": folder}},
            on_cell_start=lambda cell, cell_index: bar.update(),
        )
        try:
            client.execute()
        except DeadKernelError:
            return running, "expected a kernel that lives, got one that died (out of memory?)"
        except CellTimeoutError:
            return running, f"expected each cell to end within {MINUTES} minutes, got one that goes on"
    faults = (_fault(cell, number) for number, cell in enumerate(cells, start=1))
    return running, next(filter(None, faults), None)


def _fault(cell: NotebookNode, number: int) -> str | None:
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            what = f"{output.ename}: {first_line(output.evalue, 200)}"
            return f"expected every cell to run, got {what} in cell {number} ({first_line(cell.source)})"
    return None


def _blanks(notebook: NotebookNode) -> Iterator[Verdict]:
    """Whether any answer still holds the invitation, and any exercise no code."""
    number, answers, exercises = "", [], []
    for place, cell in enumerate(notebook.cells, start=1):
        if "question" in tags(cell):
            number = str(cell.metadata.get("question", {}).get("number", ""))
        elif "answer" in tags(cell) and (not cell.source.strip() or cell.source.startswith(INVITATION.split("{")[0])):
            answers.append(number)
        elif "exercise" in tags(cell) and all(line.startswith("#") for line in cell.source.split("\n") if line.strip()):
            exercises.append(str(place))
    fault = f"expected an answer to every question, got none to {', '.join(dict.fromkeys(answers))}"
    yield Verdict("every question has an answer", fault if answers else None, _ANSWERS)
    fault = f"expected code in every exercise, got none in cell {', '.join(exercises)}"
    yield Verdict("every exercise has code", fault if exercises else None, _EXERCISES)
