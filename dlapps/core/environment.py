"""What a run depends on, besides its code: threads, versions, machine, date. Imports nothing heavy."""

import functools
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

from dlapps import DlappsError, check_name
from dlapps.core import paths

# Packages whose version may move a number of the report.
COUNTED = ["torch", "torchvision", "timm", "numpy", "scipy"]
COUNTED += ["scikit-learn", "scikit-image", "matplotlib", "pillow"]
FORMATS = ("float32", "bfloat16")


def num_threads() -> int:
    """Threads of a process that computes: one, or what `DLAPPS_THREADS` says.

    With one, no sum depends on the number of cores, and a busy machine slows a run in proportion to its load; with
    more, threads that wait for each other make it crawl. Raises DlappsError for anything but a number above 0.
    """
    said = os.environ.get("DLAPPS_THREADS") or "1"
    if not said.isdigit() or int(said) < 1:
        raise DlappsError(f"expected a number of threads in DLAPPS_THREADS, got {said!r}; set 1 or more.")
    return int(said)


def num_processes() -> int:
    """Processes of `num_threads` threads each that fill the cores."""
    return max(1, joblib.cpu_count() // num_threads())


def number_format() -> str:
    """In which number format this processor computes by default: "bfloat16" where it multiplies matrices of such
    numbers in hardware, "float32" elsewhere, or what `DLAPPS_PRECISION` says.

    Raises DlappsError for another format.
    """
    said = os.environ.get("DLAPPS_PRECISION")
    if said:
        check_name("DLAPPS_PRECISION", said, FORMATS, DlappsError)
        return said
    return "bfloat16" if _has_fast_bfloat16() else "float32"


def limit_threads() -> None:
    """Hold this process to `num_threads`: libraries that are loaded, and those that will be."""
    number = num_threads()
    os.environ["OMP_NUM_THREADS"] = str(number)
    threadpool_limits(number)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(number)


def describe() -> dict[str, Any]:
    """What the run depended on, besides its code: versions, machine, date."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in COUNTED},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "threads": num_threads(),
        "number_format": number_format(),
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime(seconds)),
    }


def installed_versions() -> list[str]:
    """Every installed distribution as "name==version", sorted: what `pip freeze` says, without addresses."""
    named = (part for part in metadata.distributions() if part.name)
    found = {re.sub(r"[-_.]+", "-", part.name).lower(): part.version for part in named}
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    facts = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", facts.read_text()) if facts.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


@functools.cache
def _has_fast_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16 matrices; only Linux says it in a file."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _commit() -> str:
    """The checkout's short commit, "-dirty" where files differ from it; empty outside a checkout (or without git)."""
    command = ["git", "-C", str(paths.project()), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
