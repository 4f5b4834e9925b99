"""A file is there whole or not at all, whoever writes it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import dlapps
from dlapps.core import paths, results
from dlapps.core.training import write_checked

PACKAGE = Path(dlapps.__file__).parent
# What is unpacked in a folder of its own and renamed; what latexmk makes a report of, written anew each time.
SCRATCH = {"core/assets.py", "report/latex.py", "report/execute.py"}

WRITERS = {
    "file": lambda path: paths.write_atomically(path, b"new"),
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


@pytest.mark.parametrize(
    "module", [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).as_posix() not in SCRATCH],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)  # fmt: skip
def test_no_module_writes_in_another_way(module):
    writes = (
        r"\.write_text\(|\.write_bytes\(|torch\.save\(|np\.savez?\w*\(|nbformat\.write\(|open\([^)]*[\"'][wax]b?[\"']"
    )
    found = re.findall(writes, module.read_text(encoding="utf-8"))
    # torch.save writes into memory there.
    allowed = {PACKAGE / "core/paths.py": [".write_bytes("], PACKAGE / "core/training.py": ["torch.save("]}
    assert found == allowed.get(module, [])
