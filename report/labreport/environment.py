"""What a run depends on besides its code: threads, versions, machine, date.

This module imports nothing heavy.
"""

import os
import platform
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
from threadpoolctl import threadpool_limits

from labreport import LabreportError, expected
from labreport.report import Report


def num_threads() -> int:
    """Return the number of threads of a process that computes: one, or what
    `LABREPORT_THREADS` says.

    With one thread, no sum depends on the number of cores, and a busy machine slows a
    run in proportion to its load. Several threads wait for each other on a busy
    machine, and the run crawls. Raises LabreportError for anything but a number above
    0.
    """
    value = os.environ.get("LABREPORT_THREADS") or "1"
    if not value.isdigit() or int(value) < 1:
        raise expected(
            "a number of threads in LABREPORT_THREADS", repr(value), "set 1 or more"
        )
    return int(value)


def num_processes() -> int:
    """Return how many processes of `num_threads` threads fill the cores."""
    return max(1, joblib.cpu_count() // num_threads())


def limit_threads() -> None:
    """Limit this process to `num_threads`, in the libraries that are loaded and in
    those that will be.
    """
    number = num_threads()
    os.environ["OMP_NUM_THREADS"] = str(number)
    threadpool_limits(number)
    torch = sys.modules.get("torch")
    if torch:
        torch.set_num_threads(number)


def library_settings() -> dict[str, Any]:
    """Return the settings of libraries that change the numbers of a run, such as a
    number format, by name.

    A library declares a setting by an entry point in the group "labreport.settings": a
    name, and a function without arguments. Raises LabreportError for whatever that
    function raises.
    """
    settings = {}
    for entry in metadata.entry_points(group="labreport.settings"):
        try:
            settings[entry.name] = entry.load()()
        except Exception as error:
            # A library can raise anything, such as for its own variables.
            raise LabreportError(str(error)) from error
    return settings


def describe(report: Report) -> dict[str, str]:
    """Describe what a run depends on besides its code: the machine with its versions,
    the commit, and the date.

    The packages are those that report.toml names, since their versions may change a
    number of the report.
    """
    facts = [_cpu_model(), f"{os.cpu_count()} cores", f"threads: {num_threads()}"]
    facts += [value for value in library_settings().values() if isinstance(value, str)]
    facts += [
        platform.system(),
        platform.machine(),
        f"Python {platform.python_version()}",
    ]
    try:
        packages = report.title_page().packages
    except LabreportError:  # a notebook outside a report, or what a build names
        packages = ()
    for package in packages:
        facts.append(f"{package} {metadata.version(package)}")
    return {
        "machine": ", ".join(facts),
        "commit": _commit(report),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def installed_versions() -> list[str]:
    """List every installed distribution as "name==version", as `pip freeze` does."""
    installed = metadata.distributions()
    return sorted({f"{each.name}=={each.version}" for each in installed}, key=str.lower)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = re.search(r"model name\s*:\s*(.+)", info.read_text())
        if model:
            return model[1]
    return platform.processor() or platform.machine()


def _commit(report: Report) -> str:
    """Return the short commit of the checkout, with "-dirty" where files differ from
    it.

    It is empty outside a checkout, and without git.
    """
    command = ["git", "-C", str(report.root)]
    command += ["describe", "--always", "--dirty", "--exclude=*"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return run.stdout.strip()
