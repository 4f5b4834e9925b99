"""A command in a process of its own that can spend and spoil no more than it is given.

Where bubblewrap is at hand, the command sees the machine read-only, writes into a folder in memory that ends with it,
and has no network. Elsewhere it has its limits, and the rights of the caller.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlapps import environment, paths
from dlapps.classroom import ClassroomError

UNFENCED = (
    "bubblewrap is not at hand: what is checked can read and write what you can, and use the network; install it, or "
    "check only what you would run yourself."
)
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT", "DLAPPS_THREADS")


@dataclass(frozen=True)
class Limits:
    """What one notebook may take. memory: bytes of address space a process; disk: bytes written; answer: bytes read."""

    seconds: float = 20 * 60
    cell_seconds: int = 6 * 60
    memory: int = 8 << 30  # PyTorch reserves more than it uses; chapters come to 2.5 GB
    disk: int = 1 << 30
    processes: int = 400  # threads among them
    answer: int = 4 << 20

    def of_process(self) -> dict[str, int]:
        """What the command has to ask of the system for itself, by the names of the module `resource`."""
        limits = {"RLIMIT_AS": self.memory, "RLIMIT_FSIZE": self.disk, "RLIMIT_CORE": 0}
        # Without a user namespace of its own, the processes of the caller would count as well.
        return limits | ({"RLIMIT_NPROC": self.processes} if has_walls() else {})


def run(module: str, task: Any, limits: Limits, hidden: Sequence[Path] = ()) -> Any:
    """What `python -m module` answers to a task, as JSON on stdout and stdin, in a temporary folder, its DLAPPS_HOME.

    hidden: files and folders that it must not read, but for the library, its data and Python, where they lie in them.
    All that it started ends with it. A ClassroomError where it takes too long, or gives no answer.
    """
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answer:
        folder = Path(name).resolve()
        given.write(json.dumps(task).encode())
        given.seek(0)
        walls = _walls(folder, limits.disk, hidden) if has_walls() else []
        process = subprocess.Popen(
            [*walls, sys.executable, "-m", module],
            cwd=folder,
            env=_environment(folder),
            stdin=given,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(limits.seconds)
        except subprocess.TimeoutExpired:
            raise ClassroomError(f"expected an end within {limits.seconds / 60:.3g} minutes, got none") from None
        finally:
            _end(process, folder)
        answer.seek(0)
        content = answer.read(limits.answer + 1)
    try:
        return json.loads(content[: limits.answer])
    except (ValueError, RecursionError):
        got = f"more than {limits.answer:,} bytes" if len(content) > limits.answer else "none (out of memory?)"
        raise ClassroomError(f"expected an answer of the process, got {got}") from None


@functools.cache
def has_walls() -> bool:
    """Whether bubblewrap is installed and may do here what it is for."""
    if not shutil.which("bwrap"):
        return False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        command = [*_walls(folder, 1 << 20), sys.executable, "-c", "import dlapps"]
        return not subprocess.run(command, env=_environment(folder), capture_output=True, check=False).returncode


def _walls(folder: Path, disk: int, hidden: Sequence[Path] = ()) -> list[str]:
    """bubblewrap's command line: everything read-only and without the user's home, but for what Python needs."""
    home, size, needed = Path.home(), ["--size", str(disk), "--tmpfs"], _needed()
    walls = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for path in dict.fromkeys([home, *(path.resolve() for path in hidden if path.exists())]):
        if path not in needed:
            walls += ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
            for part in (part for part in needed if part.is_relative_to(path) and part.exists()):
                walls += ["--ro-bind", str(part), str(part)]
    walls += [*size, "/dev/shm", *size, str(folder), "--chdir", str(folder)]
    return [*walls, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]


def _needed() -> list[Path]:
    """What Python and the library are read from; of a checkout the library and the data alone."""
    searched = [Path(path).resolve() for path in (sys.prefix, sys.base_prefix, *filter(None, sys.path))]
    if (paths.CHECKOUT / paths.MARK).is_file():
        searched = [path for path in searched if path != paths.CHECKOUT]
    own = (paths.PACKAGE, paths.CHECKOUT / "data", paths.assets(), paths.user_cache(), paths.mirror())
    return [*searched, *(path.resolve() for path in own if path)]


def _environment(folder: Path) -> dict[str, str]:
    """Little of the caller's: no passwords, no settings of Jupyter; no GPU, whose address space has no bound."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    homes = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "MPLCONFIGDIR", "DLAPPS_HOME"), str(folder))
    mirror = {"DLAPPS_DATA": str(mirror)} if (mirror := paths.mirror()) else {}
    threads = {"OMP_NUM_THREADS": str(environment.num_threads()), "CUDA_VISIBLE_DEVICES": ""}
    python = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return {**kept, **homes, **mirror, **threads, **python}


def _end(process: subprocess.Popen, folder: Path) -> None:
    """Kill the process's group and, on Linux, whoever left it: it has the folder as its DLAPPS_HOME."""
    process.kill()
    with contextlib.suppress(AttributeError, ProcessLookupError, PermissionError):  # Windows has no groups
        os.killpg(process.pid, signal.SIGKILL)
    for told in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"DLAPPS_HOME={folder}\0".encode() in told.read_bytes():
                os.kill(int(told.parent.name), signal.SIGKILL)
    process.wait()
