"""Run notebooks, and keep their executed copies in `report/build/<profile>/`."""

import ast
import asyncio
import copy
import re
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionError
from nbformat import NotebookNode
from tqdm import tqdm

from labreport import LabreportError, environment, expected, first_line
from labreport.record import describe_inputs, digest_code
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
        """Return what changes the numbers of a run besides its code."""
        return {
            "profile": vars(self.report.profile(self.profile)),
            "seed": self.seed,
            "threads": environment.num_threads(),
            **environment.library_settings(),
        }

    def executed(self, name: str) -> Path:
        """Return the file of the executed copy of the notebook with that stem."""
        return self.build / self.profile / f"{name}.ipynb"


class OwnKernelManager(AsyncKernelManager):
    """Starts a recorded kernel of this interpreter, even if another installation
    registered its own as "python3".

    notebook: the file whose prose the kernel reads. root: the report's folder.
    """

    def __init__(self, notebook: Path, root: Path) -> None:
        super().__init__()
        # Nobody watches a bar in a cell.
        self._variables = {"TQDM_DISABLE": "1", HOME: str(root)}
        self._variables["JPY_SESSION_NAME"] = str(notebook)
        # A named socket where the system has such: a port that is free when Jupyter
        # chooses it may be taken by the time that the kernel opens it. The name is
        # short, since a system allows about a hundred characters.
        if sys.platform != "win32":
            self.transport = "ipc"
            self.ip = f"{gettempdir()}/labreport-{uuid.uuid4().hex[:12]}"

    @property
    def kernel_spec(self) -> KernelSpec:
        """How to start `sys.executable` as a kernel."""
        command = [sys.executable, "-c", LAUNCH, "-f", "{connection_file}"]
        command.append("--log-level=CRITICAL")
        return KernelSpec(argv=command, language="python", env=self._variables)


def run_notebooks(sources: Sequence[Source], run: Run, say: Say) -> None:
    """Execute these notebooks, stale or not, as many at a time as there are cores.

    The one that took longest last time comes first. Each is run; at the end
    LabreportError is raised with all that failed, a line each. Ctrl-C stops them where
    they are.
    """

    def cost(source: Source) -> float:
        executed = run.executed(source.name)
        known = read_notebook(executed).metadata if executed.exists() else {}
        return known.get("labreport", {}).get("seconds", 0.0)

    environment.limit_threads()
    ordered = sorted(sources, key=cost, reverse=True)
    begun: list[asyncio.Task] = []
    # In a thread of its own nbclient leaves Ctrl-C alone, which is the command's.
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asyncio.run, _run_all(ordered, run, say, begun))
        try:
            done.result()
        except KeyboardInterrupt:
            for task in begun:
                task.get_loop().call_soon_threadsafe(task.cancel)
            raise


async def _run_all(
    sources: Sequence[Source], run: Run, say: Say, begun: list[asyncio.Task]
) -> None:
    """Run notebooks side by side; `begun` takes the task, which may be cancelled."""
    task = asyncio.current_task()
    if task:
        begun.append(task)
    # What a kernel's watcher says of a kernel that was stopped is no news.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    free = asyncio.Semaphore(environment.num_processes())

    async def run_one(row: int, source: Source) -> None:
        async with free:
            seconds = await execute(source, run, row)
            say(f"{source.name}: ran in {seconds:.0f} s ({run.profile})")

    tasks = [run_one(row, source) for row, source in enumerate(sources)]
    failures: list[str] = []
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, LabreportError):
            failures.append(str(result))
        elif result is not None:
            raise result
    if failures:
        raise LabreportError("\n".join(failures))


async def execute(source: Source, run: Run, row: int = 0) -> float:
    """Run a notebook from top to bottom and return the seconds that it took.

    Its executed copy is replaced only if all of it ran. The metadata "labreport" of the
    copy say what it was made from and how long it took. row: that of the progress bar,
    from 0 at the top.

    Raises LabreportError, which names the cell that failed. What ran is then saved
    beside the executed copy, as `<name>.failed.ipynb`.
    """
    file = run.executed(source.name)
    # As it was read: what is edited meanwhile is the next build's.
    snapshot = file.parent / "read" / file.name
    write_atomically(snapshot, nbformat.writes(source.notebook).encode())
    executed = copy.deepcopy(source.notebook)
    set_parameters(executed, run)
    begun = time.time()
    manager = OwnKernelManager(snapshot, run.report.root)
    try:
        found = await _run_cells(executed, source, manager, row)
    except LabreportError:
        failed = file.with_suffix(".failed.ipynb")
        write_atomically(failed, nbformat.writes(executed).encode())
        raise
    seconds = time.time() - begun
    inputs = describe_inputs(run.report, found, begun)
    code = digest_code(source.notebook)
    made = {"settings": run.settings, "code": code, "seconds": seconds, **inputs}
    executed.metadata["labreport"] = nbformat.from_dict(made)
    write_atomically(file, nbformat.writes(executed).encode())
    return seconds


async def _run_cells(
    notebook: NotebookNode, source: Source, manager: AsyncKernelManager, row: int
) -> str:
    """Run the cells of a notebook in a kernel of its own; their outputs are written
    into it.

    Returns what the kernel recorded.
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
    bar = tqdm(notebook.cells, source.name, leave=False, position=row, disable=None)
    cell = notebook.cells[0]
    index = -1
    try:
        async with client.async_setup_kernel(cleanup_kc=True):
            for index, cell in enumerate(bar):
                await client.async_execute_cell(cell, index)
            return await _ask(client)
    except CellExecutionError as error:
        failure = f"{error.ename}: {first_line(error.evalue, 200).removesuffix('.')}"
    except (CellControlSignal, RuntimeError) as error:  # no answer, no kernel
        failure = first_line(str(error), 200) or type(error).__name__
    place = f"in cell {index + 1} ({first_line(cell.source)})"
    remedy = "correct it, what ran is in report/build as .failed.ipynb"
    raise expected(f"{source.path.name} to run", f"{failure} {place}", remedy)


async def _ask(client: NotebookClient) -> str:
    """Ask the kernel what it recorded."""
    asked = {"found": FOUND}
    kernel: Any = client.kc
    reply = await kernel.execute(
        "", silent=True, user_expressions=asked, reply=True, timeout=OUTPUT_WAIT
    )
    answer = reply["content"]["user_expressions"]["found"]
    return ast.literal_eval(answer["data"]["text/plain"])


def set_parameters(notebook: NotebookNode, run: Run) -> None:
    """Write the profile and the seed of a run into the parameters of a notebook."""
    for cell in notebook.cells:
        if "parameters" in tags(cell):
            profile = f'profile = "{run.profile}"'
            cell.source = re.sub(r"(?m)^profile\b.*$", profile, cell.source)
            cell.source = re.sub(r"(?m)^seed\b.*$", f"seed = {run.seed}", cell.source)
