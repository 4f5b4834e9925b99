"""What a run depended on, besides its code: versions, machine, date. Imports nothing heavy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import joblib

from dlapps import paths


def describe() -> dict[str, Any]:
    """What the run depended on, besides its code: versions, machine, date."""
    torch = sys.modules.get("torch")
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else datetime.now(timezone.utc)
    return {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads() if torch else joblib.cpu_count(),
        "commit": _commit(),
        "date": moment.strftime("%Y-%m-%d"),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    facts = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", facts.read_text()) if facts.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    """The checkout's short commit, "-dirty" where files differ from it; empty outside a checkout (or without git)."""
    command = ["git", "-C", str(paths.project()), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
