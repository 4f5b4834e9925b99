"""A file is there whole or not at all, whoever writes it."""

from pathlib import Path

import numpy as np
import pytest

from labreport import report, results

WRITERS = {
    "file": lambda path: report.write_atomically(path, b"new"),
    "file.npz": lambda path: results.save_arrays(path.stem, {"array": np.arange(3)}),
    "file.json": lambda path: results.save(path.stem, {"accuracy": 0.5}, [0]),
}


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
def test_a_file_is_replaced_whole_or_not_at_all(name, write, tmp_path, monkeypatch):
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    path = tmp_path / "data" / "results" / name
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
