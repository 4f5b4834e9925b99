"""The machine, and the versions of what is installed on it. Imports nothing heavy."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

# Packages whose version may move a number.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "pillow")


def describe() -> dict[str, Any]:
    """Describe the machine and the versions of packages, for a bug report."""
    versions = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    return {
        "Python": platform.python_version(),
        "packages": ", ".join(versions),
        "platform": platform.platform(),
        "processor": f"{_cpu_model()}, {os.cpu_count()} cores",
    }


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""  # not Linux
    name = re.search(r"model name\s*:\s*(.+)", text)
    return name[1] if name else platform.machine()
