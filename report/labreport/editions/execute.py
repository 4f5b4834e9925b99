"""Run notebooks, and keep their executed copies in `report/build/<profile>/`."""

import asyncio
import copy
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from tempfile import gettempdir
from threading import Event
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import (
    CellExecutionError,
    CellTimeoutError,
    DeadKernelError,
)
from nbformat import NotebookNode
from tqdm import tqdm

from labreport import LabreportError, environment, expected, first_line, paths
from labreport.chapters import code_cells, read_notebook, tags
from labreport.editions.sources import Source
from labreport.editions.staleness import fingerprint
from labreport.notebook.outline import read_outline
from labreport.notebook.parameters import set_parameters
from labreport.runs import Run

Say = Callable[[str], None]
OUTPUT_WAIT = 60  # seconds that an output of a cell may take after its end


class OwnKernelManager(AsyncKernelManager):
    """Starts a kernel of this interpreter, even if another installation registered its
    own as "python3".
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # A named socket where the system has such: a port that is free when Jupyter
        # chooses it may be taken by the time that the kernel opens it. The name is
        # short, since a system allows about a hundred characters.
        if sys.platform != "win32":
            self.transport = "ipc"
            self.ip = f"{gettempdir()}/labreport-{uuid.uuid4().hex[:12]}"

    @property
    def kernel_spec(self) -> KernelSpec:
        """How to start `sys.executable` as a kernel."""
        command = [sys.executable, "-m", "ipykernel_launcher"]
        command += ["-f", "{connection_file}", "--log-level=CRITICAL"]
        # A run that is started from a notebook inherits the name of that notebook,
        # which is not the one that runs. Nobody watches a bar in a cell.
        env = {"JPY_SESSION_NAME": "", "TQDM_DISABLE": "1"}
        return KernelSpec(
            argv=command, display_name="Python 3", language="python", env=env
        )


def require_outlines(sources: Iterable[Source]) -> None:
    """Raise LabreportError for the first mistake in these notebooks that can be seen
    without running them.
    """
    for source in sources:
        for mistake in read_outline(source.path, source.number).mistakes:
            raise LabreportError(mistake)


def run_notebooks(sources: Sequence[Source], run: Run, say: Say) -> None:
    """Execute these notebooks, stale or not, as many at a time as there are cores.

    The one that took longest last time comes first; without a last time, the largest
    file. After an error no other notebook is started, those that run are finished, and
    the first error is raised. Ctrl-C stops them in the cell where they are.
    """
    environment.limit_threads()

    def cost(source: Source) -> tuple[float, int]:
        return last_duration(source, run), source.path.stat().st_size

    num_workers = max(1, min(environment.num_processes(), len(sources)))
    pool = ThreadPoolExecutor(num_workers)
    stop = Event()
    begun = {}
    for row, source in enumerate(sorted(sources, key=cost, reverse=True)):
        begun[pool.submit(execute, source, run, stop, row)] = source.name
    try:
        for done in as_completed(begun):
            say(f"{begun[done]}: ran in {done.result():.0f} s ({run.profile})")
    except KeyboardInterrupt:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def execute(source: Source, run: Run, stop: Event, row: int = 0) -> float:
    """Run a notebook from top to bottom and return the seconds that it took.

    Its executed copy is replaced only if all of it ran. The metadata "labreport" of the
    copy say what it was made from ("inputs", see `fingerprint`) and how long it took
    ("seconds"). stop: interrupts the cell that runs, once it is set. row: that of the
    progress bar, from 0 at the top.

    Raises LabreportError, which names the cell that failed. What ran is then saved
    beside the executed copy, as `<name>.failed.ipynb`.
    """
    executed_file = run.executed(source.name)
    failed_file = executed_file.with_suffix(".failed.ipynb")
    notebook = source.read()
    inputs = fingerprint(notebook, run)
    executed = copy.deepcopy(notebook)
    set_parameters(executed, run)
    begun = time.monotonic()
    # In a loop of its own, and on Windows not the kind that cannot wait for sockets.
    with closing(asyncio.SelectorEventLoop()) as loop:
        try:
            failure = loop.run_until_complete(
                _run_cells(executed, source.name, stop, row)
            )
        except RuntimeError as error:
            failure = f"no kernel ({first_line(str(error), 200)})"
    if failure:
        _write(failed_file, executed)
        raise expected(
            f"{source.path.name} to run",
            failure,
            f"correct it, what ran is in {failed_file}",
        )
    seconds = time.monotonic() - begun
    # Files that the run itself wrote or fetched count as they are now, all others as
    # they were before it.
    after = fingerprint(notebook, run)
    inputs["settings"] = after["settings"]
    inputs["files"] = after["files"] | inputs["files"]
    executed.metadata["labreport"] = {"inputs": inputs, "seconds": seconds}
    _write(executed_file, executed)
    failed_file.unlink(missing_ok=True)
    return seconds


async def _run_cells(notebook: NotebookNode, name: str, stop: Event, row: int) -> str:
    """Run the cells of a notebook in a kernel of its own; their outputs are written
    into it.

    Returns an empty string, or what went wrong and in which cell.
    """
    for cell in code_cells(notebook):
        cell.outputs = []
        cell.execution_count = None
    client = NotebookClient(
        notebook,
        kernel_manager_class=OwnKernelManager,
        # Not the folder of this process: other notebooks may run beside this one.
        resources={"metadata": {"path": str(paths.notebooks())}},
        # An output may come late on a busy machine; without one, the run is none.
        iopub_timeout=OUTPUT_WAIT,
        raise_on_iopub_timeout=True,
        # What a cell prints stands in one block, however it came.
        coalesce_streams=True,
    )
    progress = tqdm(
        notebook.cells, name, unit="cell", leave=False, position=row, disable=None
    )
    async with client.async_setup_kernel():
        watch = asyncio.create_task(_interrupt_at(stop, client))
        try:
            return await _run_each(progress, client, stop)
        finally:
            watch.cancel()


async def _run_each(
    cells: Iterable[NotebookNode], client: NotebookClient, stop: Event
) -> str:
    for index, cell in enumerate(cells):
        where = f"in cell {index + 1} ({first_line(cell.source)})"
        try:
            await client.async_execute_cell(cell, index)
        except CellExecutionError as error:
            return f"{error.ename}: {first_line(error.evalue, 200)} {where}"
        except CellTimeoutError:
            return f"no answer of the kernel for {OUTPUT_WAIT} s {where}"
        except DeadKernelError:
            return f"a kernel that died (out of memory?) {where}"
        if stop.is_set():
            return f"Ctrl-C {where}"
    return ""


async def _interrupt_at(stop: Event, client: NotebookClient) -> None:
    """Wait for `stop`, and interrupt the client's kernel."""
    while not stop.is_set():
        await asyncio.sleep(0.2)
    if isinstance(client.km, AsyncKernelManager):
        await client.km.interrupt_kernel()


def _write(path: Path, notebook: NotebookNode) -> None:
    paths.write_atomically(path, nbformat.writes(notebook).encode())


def last_duration(source: Source, run: Run) -> float:
    """Return the seconds that the last run of a notebook took; 0 if there was none."""
    path = run.executed(source.name)
    return read_seconds(read_notebook(path)) if path.exists() else 0.0


def read_seconds(executed: NotebookNode) -> float:
    """Return the seconds that an executed copy took; 0 if it does not say."""
    return executed.metadata.get("labreport", {}).get("seconds", 0.0)


def read_executed(source: Source, run: Run) -> NotebookNode:
    """Read a notebook's present prose with the outputs of its last execution.

    Raises LabreportError if other code was executed.
    """
    notebook = source.read()
    executed = read_notebook(run.executed(source.name))
    if _read_code(notebook) != _read_code(executed):
        raise expected(
            f"{source.path.name} with the code that ran",
            "other code",
            "it was changed in between, so run the command again",
        )
    pairs = zip(code_cells(notebook), code_cells(executed), strict=True)
    for cell, executed_cell in pairs:
        cell.outputs = executed_cell.outputs
    notebook.metadata["labreport"] = executed.metadata["labreport"]
    return notebook


def _read_code(notebook: NotebookNode) -> list[str]:
    """Return the code of a notebook, without the parameters, which a run sets."""
    cells = [cell for cell in code_cells(notebook) if "parameters" not in tags(cell)]
    return [cell.source for cell in cells]
