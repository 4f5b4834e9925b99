"""A file is there whole or not at all, whoever writes it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dlapps.core import paths as library_paths
from dlapps.core.weights import write_checked
from labreport import paths, results

PACKAGES = (library_paths.PACKAGE, paths.PACKAGE)
MODULES = {
    f"{package.name}/{path.relative_to(package).as_posix()}": path
    for package in PACKAGES
    for path in package.rglob("*.py")
}
# What is unpacked in a folder of its own and renamed; what latexmk makes a report of,
# written anew each time.
SCRATCH = {
    "dlapps/core/assets.py",
    "labreport/editions/typeset.py",
}
# torch.save and NumPy write into memory there.
ALLOWED = {
    "dlapps/core/paths.py": [".write_bytes("],
    "labreport/paths.py": [".write_bytes("],
    "dlapps/core/weights.py": ["torch.save("],
    "labreport/results.py": ["np.savez_compressed("],
}

WRITERS = {
    "file": lambda path: paths.write_atomically(path, b"new"),
    "asset": lambda path: library_paths.write_atomically(path, b"new"),
    "file.pt": lambda path: write_checked(path, {"weight": torch.zeros(3)}),
    "file.npz": lambda path: results.save_arrays(path.stem, {"array": np.arange(3)}),
    "file.json": lambda path: results.save(path.stem, {"accuracy": 0.5}, [0]),
}


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
def test_a_file_is_replaced_whole_or_not_at_all(name, write, tmp_path, monkeypatch):
    path = tmp_path / "folder" / name
    monkeypatch.setattr(paths, "results", lambda: path.parent)
    write(path)
    assert [file.name for file in path.parent.iterdir()] == [name]
    path.write_bytes(b"old")

    def fail(self, content):
        with self.open("wb") as file:
            file.write(content[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        write(path)
    assert [file.name for file in path.parent.iterdir()] == [name]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("module", sorted(MODULES.keys() - SCRATCH))
def test_no_module_writes_in_another_way(module):
    writes = (
        r"\.write_text\(|\.write_bytes\(|torch\.save\(|np\.savez?\w*\(|"
        r"nbformat\.write\(|open\([^)]*[\"'][wax]b?[\"']"
    )
    found = re.findall(writes, MODULES[module].read_text(encoding="utf-8"))
    assert found == ALLOWED.get(module, [])
