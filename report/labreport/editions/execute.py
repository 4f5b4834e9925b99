"""Executed copies of the notebooks, in `report/build/<profile>/`."""

import sys
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from papermill.execute import ERROR_MARKER_TAG

from labreport import environment, paths
from labreport.editions import ReportError
from labreport.editions.sources import Source, code_cells, read_notebook, tags
from labreport.editions.staleness import executed_path, fingerprint
from labreport.notebook.syntax import first_line

Say = Callable[[str], None]


class OwnKernelManager(AsyncKernelManager):
    """Starts this interpreter's kernel, whatever another installation registered as
    "python3".
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Sockets with names, where there are such: a port that is free when Jupyter
        # chooses it may be another's by the time that the kernel takes it. The names
        # are short, since a system allows about a hundred characters.
        if sys.platform != "win32":
            self.transport, self.ip = (
                "ipc",
                f"{gettempdir()}/labreport-{uuid.uuid4().hex[:12]}",
            )

    @property
    def kernel_spec(self) -> KernelSpec:
        """How to start `sys.executable` as a kernel."""
        command = [
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
        ]
        command += ["--log-level=CRITICAL"]
        # Called from a notebook, a run has that notebook's session about it, whose file
        # is not the one that runs; and nobody watches a bar.
        env = {"JPY_SESSION_NAME": "", "TQDM_DISABLE": "1"}
        return KernelSpec(
            argv=command, display_name="Python 3", language="python", env=env
        )


def run_notebooks(sources: Sequence[Source], profile: str, say: Say) -> None:
    """Execute these notebooks, stale or not, as many at a time as there are cores.

    The one that took longest last time comes first, without a last time the largest
    file. After an error no other is begun, those that run are finished, and the first
    error is raised.
    """
    environment.limit_threads()

    def cost(source: Source) -> tuple[float, int]:
        return last_duration(source, profile) or 0, source.path.stat().st_size

    waiting = enumerate(sorted(sources, key=cost, reverse=True))
    with ThreadPoolExecutor(
        min(environment.num_processes(), len(sources) or 1)
    ) as pool:
        runs = {
            pool.submit(_execute, source, profile, place): source
            for place, source in waiting
        }
        try:
            for run in as_completed(runs):
                say(f"{runs[run].name}: ran in {run.result():.0f} s ({profile})")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _execute(source: Source, profile: str, place: int) -> float:
    # Jupyter makes a loop for each thread that has none, and leaves it open.
    with closing(ensure_event_loop()):
        return execute(source, profile, place)


def execute(source: Source, profile: str, place: int = 0) -> float:
    """Run a notebook from top to bottom; returns the seconds that it took.

    Its executed copy is replaced only when all of it ran. place: of its progress bar,
    from 0 at the top. A ReportError names the cell that failed; the cells that ran are
    saved beside it as `<name>.failed.ipynb`.
    """
    final = executed_path(source, profile)
    running, failed = (
        final.with_suffix(".running.ipynb"),
        final.with_suffix(".failed.ipynb"),
    )
    final.parent.mkdir(parents=True, exist_ok=True)
    notebook = source.read()
    identity = fingerprint(notebook, profile)
    try:
        executed = papermill.execute_notebook(
            notebook,
            running,
            parameters={"profile": profile, "seed": paths.seed()},
            kernel_name="python3",
            language="python",
            # Not papermill's cwd, which is the process's: other notebooks may run
            # beside this one.
            resources={"metadata": {"path": str(paths.notebooks())}},
            progress_bar={
                "desc": source.name,
                "leave": False,
                "position": place,
                "disable": None,
            },
            kernel_manager_class=OwnKernelManager,
        )
    except (PapermillExecutionError, DeadKernelError) as error:
        running.replace(failed)
        raise ReportError(_failure(source, error, failed)) from error
    # What the run itself made or fetched counts from now on, what it found as it was
    # found.
    after = fingerprint(notebook, profile)
    own = {"settings": after["settings"], "files": after["files"] | identity["files"]}
    executed.metadata["labreport"] = identity | own
    nbformat.write(executed, running)
    running.replace(final)
    failed.unlink(missing_ok=True)
    return executed.metadata.papermill["duration"]


def last_duration(source: Source, profile: str) -> float | None:
    """The seconds that the last run of a notebook took, stale or not; None where there
    was none.
    """
    path = executed_path(source, profile)
    return read_notebook(path).metadata.papermill["duration"] if path.exists() else None


def read_executed(source: Source, profile: str) -> NotebookNode:
    """The notebook's present prose with the outputs of its last execution."""
    notebook = source.read()
    executed = read_notebook(executed_path(source, profile))
    ran = [
        cell for cell in code_cells(executed) if "injected-parameters" not in tags(cell)
    ]
    for cell, executed_cell in zip(code_cells(notebook), ran, strict=True):
        cell.outputs = executed_cell.outputs
    notebook.metadata["papermill"] = executed.metadata.papermill
    return notebook


def _failure(
    source: Source, error: PapermillExecutionError | DeadKernelError, failed: Path
) -> str:
    """One sentence: notebook, cell, its first line, the error."""
    cells = [
        cell
        for cell in read_notebook(failed).cells
        if ERROR_MARKER_TAG not in tags(cell)
    ]
    if isinstance(error, DeadKernelError):
        got = "a kernel that died (out of memory?)"
        index = max(
            i for i, cell in enumerate(cells) if cell.metadata.papermill["start_time"]
        )
    else:
        index, got = error.cell_index, f"{error.ename}: {first_line(error.evalue, 200)}"
    # papermill puts one cell of its own behind the one tagged "parameters", or first.
    place = sum("injected-parameters" not in tags(cell) for cell in cells[: index + 1])
    where = f"in cell {place} ({first_line(cells[index].source)})"
    return f"expected {source.path.name} to run, got {got} {where}; correct it, what ran is in {failed}."
