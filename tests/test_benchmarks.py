"""The benchmarks without their peers: what the scripts import, the table, a peer that
is missing.
"""

import ast
import importlib
import re
import sys
from importlib.metadata import version

import pytest
from conftest import CHECKOUT

from dlapps.core import environment

FOLDER = CHECKOUT / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
LOCAL = {script.stem for script in SCRIPTS} | {"dlapps"} | sys.stdlib_module_names
# Packages that are imported under another name than they are installed by.
PACKAGES = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "lucent": "torch-lucent",
    "pytorch_adapt": "pytorch-adapt",
    "pytorch_grad_cam": "grad-cam",
}


def imported(nodes):
    for node in nodes:
        names = (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        )
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in (name.split(".")[0] for name in names):
            if name not in LOCAL:
                yield PACKAGES.get(name, name)


def required(text):
    return set(re.findall(r'(?m)^ *"?([\w-]+)[>=]=', text))


@pytest.fixture
def load(monkeypatch):
    """Imports a module of benchmarks/, for one test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module
    for name in {path.stem for path in SCRIPTS} - before:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_everything_imported_is_required(path):
    project = (CHECKOUT / "pyproject.toml").read_text()
    ours = required(re.search(r"(?ms)^dependencies = \[(.+?)^\]", project)[1])
    peers = set().union(
        *(required(path.read_text()) for path in FOLDER.glob("requirements*.txt"))
    )
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert set(imported(tree.body)) <= ours
    assert set(imported(ast.walk(tree))) <= ours | peers


def test_table(load, tmp_path):
    table = load("table")
    rows = [
        table.Row("a step", "float32", "plain loop", [1.0, 2.0, 4.0], [2.0, 6.0, 4.0]),
        table.Row(
            "a map", "fast", "captum 0.9.0", [0.5], [1.0], 0.99996, "cosine 1.0000"
        ),
    ]
    made = {"rounds": 3, "threads": 1, "date": "today", "version": "1.0"}
    path, below = tmp_path / "results.md", "\n## A class\n\n| 30 |\n"
    path.write_text(f"# An older table\n{below}", encoding="utf-8")
    table.write_table(path, environment.describe() | made, rows)
    written = path.read_text(encoding="utf-8")
    assert written.endswith(below)
    lines = written.removesuffix(below).splitlines()
    assert lines[2].endswith(f"PyTorch {version('torch')};")
    assert lines[-2:] == [
        "| a step | float32 | 2.0000 | plain loop | 4.0000 | 2.00 | 1.00 | 3.00 | – | – |",
        "| a map | fast | 0.5000 | captum 0.9.0 | 1.0000 | 2.00 | 2.00 | 2.00 | 1.0000 | cosine 1.0000 |",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["results.md"]


def test_each_way_is_compared_with_each_peer(load):
    ways = {
        "peer": lambda: 1,
        "float32": lambda: 2,
        "fast": lambda: 3,
        "other": lambda: 4,
    }
    rows = list(
        load("timing").compare(
            "a sum", ways, 2, lambda *both: sum(both), "{} {}".format
        )
    )
    found = [(row.way, row.cosine, row.agreement) for row in rows]
    assert found[:2] == [("float32", None, "1 2"), ("fast", 5, "1 3")]
    assert found[2:] == [("float32", None, "4 2"), ("fast", 5, "4 3")]
    assert {len(row.seconds) for row in rows} == {2}


def test_a_missing_peer_is_one_sentence(load, monkeypatch):
    timing = load("timing")
    monkeypatch.setattr(sys, "argv", ["visualizing.py"])
    monkeypatch.setattr(timing.torch, "set_num_threads", lambda number: None)
    said = r"expected the package no-such-peer, got none of that name; do make bench\.$"
    with pytest.raises(SystemExit, match=said):
        timing.main(
            "A benchmark.",
            lambda: {"name": lambda _: [timing.name_peer("no-such-peer")]},
        )
