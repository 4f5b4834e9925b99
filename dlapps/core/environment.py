"""The machine, and the versions of what is installed on it. Imports nothing heavy."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

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


def describe() -> dict[str, Any]:
    """Describe the machine and the versions of packages, for a bug report."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""  # not Linux
    name = re.search(r"model name\s*:\s*(.+)", text)
    if name:
        return name[1]
    return platform.processor() or platform.machine()
