"""Small results of long computations, written to data/results."""

from __future__ import annotations

import io
import json
import platform
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dlapps.paths import write_atomically


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write an .npz that NumPy reads, compressed by LZMA column by column: a third smaller than savez_compressed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asfortranarray(array), allow_pickle=False)
            # A fixed date: the same arrays give the same file.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_LZMA)
    return write_atomically(path, file.getvalue())


def save_results(path: Path, results: Mapping[str, object], seeds: Sequence[int]) -> Path:
    """Write results as JSON beside what they were made with."""
    made = {"date": f"{date.today()}", "torch": version("torch"), "machine": platform.machine(), "seeds": list(seeds)}
    return write_atomically(path, (json.dumps({"made": made, **results}, indent=1) + "\n").encode())
