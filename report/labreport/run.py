"""Run notebooks, and keep their executed copies in `report/build/<profile>/`."""

import ast
import asyncio
import copy
import json
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
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

from labreport import environment, expected, first_line
from labreport.record import describe_inputs, digest_code, read_settings
from labreport.report import HOME, Report, Source, read_notebook, tags, write_atomically

Say = Callable[[str], None]
OUTPUT_WAIT = 60  # seconds that an output of a cell may take after its end
LAUNCH = "from labreport.record import launch_kernel; launch_kernel()"
FOUND = "__import__('labreport.record').record.RECORDER.found()"


@dataclass(frozen=True)
class Run:
    """The profile and the seed under which chapters run; each seed has its folders."""

    report: Report
    profile: str
    seed: int = 0

    @property
    def build(self) -> Path:
        """Return the folder of the editions."""
        folder = self.report.folder / "build"
        return folder / f"seed-{self.seed}" if self.seed else folder

    @property
    def figures(self) -> Path:
        """Return the folder of the figures, which TeX reads."""
        return self.build / "figures" if self.seed else self.report.root / "figures"

    @property
    def settings(self) -> dict[str, Any]:
        """Return what changes the numbers of the run besides its code."""
        return read_settings(self.report, self.profile, self.seed)

    def executed(self, name: str) -> Path:
        """Return the file of the executed copy of the notebook with that stem."""
        return self.build / self.profile / f"{name}.ipynb"


class OwnKernelManager(AsyncKernelManager):
    """Starts a recorded kernel of this interpreter, even if another installation
    registered its own as "python3".

    notebook: the file whose prose the kernel reads. root: the report's folder.
    """

    def __init__(self, notebook: Path, root: Path, **options: Any) -> None:
        super().__init__(**options)
        self._variables = {"JPY_SESSION_NAME": str(notebook), HOME: str(root)}
        # A named socket where the system has such: a port that is free when Jupyter
        # chooses it may be taken by the time that the kernel opens it. The name is
        # short, since a system allows about a hundred characters.
        if sys.platform != "win32":
            self.transport = "ipc"
            self.ip = f"{gettempdir()}/labreport-{uuid.uuid4().hex[:12]}"

    @property
    def kernel_spec(self) -> KernelSpec:
        """How to start `sys.executable` as a kernel."""
        command = [sys.executable, "-c", LAUNCH]
        command += ["-f", "{connection_file}", "--log-level=CRITICAL"]
        # Nobody watches a bar in a cell.
        variables = {**self._variables, "TQDM_DISABLE": "1"}
        return KernelSpec(
            argv=command, display_name="Python 3", language="python", env=variables
        )


def run_notebooks(sources: Sequence[Source], run: Run, say: Say) -> None:
    """Execute these notebooks, stale or not, as many at a time as there are cores.

    The one that took longest last time comes first. After an error no other notebook is
    started, those that run are finished, and the first error is raised. Ctrl-C stops
    them in the cell where they are.
    """
    environment.limit_threads()

    def cost(source: Source) -> tuple[float, int]:
        executed = run.executed(source.name)
        seconds = read_seconds(read_notebook(executed)) if executed.exists() else 0.0
        return seconds, source.path.stat().st_size

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
    copy say what it was made from ("inputs") and how long it took ("seconds"). stop:
    interrupts the cell that runs, once it is set. row: that of the progress bar, from 0
    at the top.

    Raises LabreportError, which names the cell that failed. What ran is then saved
    beside the executed copy, as `<name>.failed.ipynb`.
    """
    executed_file = run.executed(source.name)
    failed_file = executed_file.with_suffix(".failed.ipynb")
    # As it was read: what is edited meanwhile is the next build's.
    snapshot = run.build / run.profile / "read" / source.path.name
    _write(snapshot, source.notebook)
    executed = copy.deepcopy(source.notebook)
    set_parameters(executed, run)
    before = {"settings": run.settings, "code": digest_code(source.notebook)}
    begun = time.time()
    manager = OwnKernelManager(snapshot, run.report.root)
    # In a loop of its own, and on Windows not the kind that cannot wait for sockets.
    with closing(asyncio.SelectorEventLoop()) as loop:
        found, failure = loop.run_until_complete(
            _run_cells(executed, source, manager, stop, row)
        )
    if failure:
        _write(failed_file, executed)
        remedy = f"correct it, what ran is in {failed_file}"
        raise expected(f"{source.path.name} to run", failure, remedy)
    seconds = time.time() - begun
    inputs = describe_inputs(run.report, found, before, begun)
    # What the run itself fetched is a setting of the next one.
    inputs["settings"] = run.settings
    executed.metadata["labreport"] = {"inputs": inputs, "seconds": seconds}
    _write(executed_file, executed)
    failed_file.unlink(missing_ok=True)
    return seconds


async def _run_cells(
    notebook: NotebookNode,
    source: Source,
    manager: AsyncKernelManager,
    stop: Event,
    row: int,
) -> tuple[str, str]:
    """Run the cells of a notebook in a kernel of its own; their outputs are written
    into it.

    Returns what the kernel recorded, and what went wrong and in which cell, or "".
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    client = NotebookClient(
        notebook,
        km=manager,
        # Not the folder of this process: other notebooks may run beside this one.
        resources={"metadata": {"path": str(source.path.parent)}},
        # An output may come late on a busy machine; without one, the run is none.
        iopub_timeout=OUTPUT_WAIT,
        raise_on_iopub_timeout=True,
        # What a cell prints stands in one block, however it came.
        coalesce_streams=True,
    )
    progress = tqdm(
        notebook.cells,
        source.name,
        unit="cell",
        leave=False,
        position=row,
        disable=None,
    )
    try:
        async with client.async_setup_kernel():
            watch = asyncio.create_task(_interrupt_at(stop, manager))
            try:
                for index, cell in enumerate(progress):
                    failure = await _run_cell(client, cell, index)
                    if stop.is_set():
                        failure = failure or "Ctrl-C"
                    if failure:
                        start = first_line(cell.source)
                        return "", f"{failure} in cell {index + 1} ({start})"
                return await _ask(client), ""
            finally:
                watch.cancel()
    except RuntimeError as error:
        return "", f"no kernel ({first_line(str(error), 200)})"


async def _run_cell(client: NotebookClient, cell: NotebookNode, index: int) -> str:
    """Run a cell; return what went wrong, or ""."""
    try:
        await client.async_execute_cell(cell, index)
    except CellExecutionError as error:
        return f"{error.ename}: {first_line(error.evalue, 200)}"
    except CellTimeoutError:
        return f"no answer of the kernel for {OUTPUT_WAIT} s"
    except DeadKernelError:
        return "a kernel that died (out of memory?)"
    return ""


async def _ask(client: NotebookClient) -> str:
    """Ask the kernel what it recorded."""
    asked = {"found": FOUND}
    reply = await client.kc.execute(
        "", silent=True, user_expressions=asked, reply=True, timeout=OUTPUT_WAIT
    )
    answer = reply["content"]["user_expressions"]["found"]
    return ast.literal_eval(answer["data"]["text/plain"])


async def _interrupt_at(stop: Event, manager: AsyncKernelManager) -> None:
    """Wait for `stop`, and interrupt the kernel."""
    while not stop.is_set():
        await asyncio.sleep(0.2)
    await manager.interrupt_kernel()


def _write(path: Path, notebook: NotebookNode) -> None:
    write_atomically(path, nbformat.writes(notebook).encode())


def read_seconds(executed: NotebookNode) -> float:
    """Return the seconds that an executed copy took; 0 if it does not say."""
    return executed.metadata.get("labreport", {}).get("seconds", 0.0)


def set_parameters(notebook: NotebookNode, run: Run) -> None:
    """Assign the profile and the seed of a run in the cell tagged "parameters".

    Raises LabreportError if no such cell assigns both.
    """
    profile = json.dumps(run.profile, ensure_ascii=False)
    cell = find_parameters(notebook)
    cell.source = assign(cell.source, {"profile": profile, "seed": str(run.seed)})


def find_parameters(notebook: NotebookNode) -> NotebookNode:
    """Find the cell tagged "parameters".

    Raises LabreportError if none assigns profile and seed.
    """
    for cell in notebook.cells:
        if "parameters" in tags(cell) and _find_values(cell.source).keys() >= {
            "profile",
            "seed",
        }:
            return cell
    wanted = "a cell tagged 'parameters' with profile = \"quick\" and seed = 0"
    raise expected(wanted, "none that assigns both", "write it")


def assign(code: str, expressions: dict[str, str]) -> str:
    """Write other expressions where the code of a cell assigns these names; all else
    stays.
    """
    for name, expression in expressions.items():
        value = _find_values(code)[name]
        lines = code.encode().splitlines(keepends=True)  # columns are counted in bytes
        first = value.lineno - 1
        last = (value.end_lineno or value.lineno) - 1
        before = lines[first][: value.col_offset]
        behind = lines[last][value.end_col_offset :]
        lines[first : last + 1] = [before + expression.encode() + behind]
        code = b"".join(lines).decode()
    return code


def _find_values(code: str) -> dict[str, ast.expr]:
    """Find what a cell's own statements assign, by name, with or without a type."""
    values: dict[str, ast.expr] = {}
    for statement in ast.parse(code).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                values[name] = value
    return values
