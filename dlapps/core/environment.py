"""The machine, and the versions of what is installed on it. Imports nothing heavy."""

import functools
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from dlapps.core.checks import DlappsError, check_name

# Packages whose version may move a number.
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "matplotlib",
    "pillow",
)
FORMATS = ("float32", "bfloat16")


def number_format() -> str:
    """Return the number format in which this processor computes by default.

    It is the one that `DLAPPS_PRECISION` names. Without this variable it is "bfloat16"
    if Linux says of an x86 processor that it multiplies such matrices in hardware, and
    "float32" otherwise. Raises DlappsError if the variable names another format.
    """
    chosen = os.environ.get("DLAPPS_PRECISION")
    if chosen:
        check_name("DLAPPS_PRECISION", chosen, FORMATS, DlappsError)
        return chosen
    return "bfloat16" if _has_fast_bfloat16() else "float32"


def describe() -> dict[str, Any]:
    """Describe the machine and the versions of packages, for a bug report."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "number_format": number_format(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    name = re.search(r"model name\s*:\s*(.+)", _read_cpuinfo())
    if name:
        return name[1]
    return platform.processor() or platform.machine()


@functools.cache
def _has_fast_bfloat16() -> bool:
    """Return whether an x86 processor multiplies bfloat16 matrices in hardware."""
    flags = _read_cpuinfo()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _read_cpuinfo() -> str:
    """Return what Linux says of the processor, or "" on other systems."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
