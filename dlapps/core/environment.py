"""The machine and what is installed on it. Imports nothing heavy."""

import functools
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from dlapps import DlappsError, check_name

# Packages whose version may move a number.
COUNTED = ["torch", "torchvision", "timm", "numpy", "scipy"]
COUNTED += ["scikit-learn", "scikit-image", "matplotlib", "pillow"]
FORMATS = ("float32", "bfloat16")


def number_format() -> str:
    """In which number format this processor computes by default: "bfloat16" where it
    multiplies matrices of such numbers in hardware, "float32" elsewhere, or what
    `DLAPPS_PRECISION` says.

    Raises DlappsError for another format.
    """
    said = os.environ.get("DLAPPS_PRECISION")
    if said:
        check_name("DLAPPS_PRECISION", said, FORMATS, DlappsError)
        return said
    return "bfloat16" if _has_fast_bfloat16() else "float32"


def describe() -> dict[str, Any]:
    """Versions and machine, as `dlapps info` and benchmarks name them."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in COUNTED},
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
    facts = Path("/proc/cpuinfo")
    names = (
        re.findall(r"model name\s*:\s*(.+)", facts.read_text())
        if facts.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


@functools.cache
def _has_fast_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16 matrices; only
    Linux says it in a file.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
