"""The benchmarks without their peers: what the scripts import, the table, a peer that
is missing.
"""

import ast
import importlib
import re
import sys
from functools import partial
from importlib.metadata import version
from operator import add

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
    """The packages, by the names they are installed by, that the statements import."""
    packages = set()
    for node in nodes:
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module]
        for module in modules:
            name = module.split(".")[0]
            if name not in LOCAL:
                packages.add(PACKAGES.get(name, name))
    return packages


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
    peers = set()
    for requirements in FOLDER.glob("requirements*.txt"):
        peers |= required(requirements.read_text())
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert imported(tree.body) <= ours
    assert imported(ast.walk(tree)) <= ours | peers


def test_table(load, tmp_path):
    table = load("table")
    rows = [
        table.Row("a step", "float32", "plain loop", [1.0, 2.0, 4.0], [2.0, 6.0, 4.0]),
        table.Row(
            "a map", "autocast", "captum 0.9.0", [0.5], [1.0], 0.99996, "cosine 1.0000"
        ),
    ]
    facts = environment.describe()
    facts |= {"rounds": 3, "threads": 1, "date": "today", "version": "1.0"}
    path = tmp_path / "results.md"
    below = "\n## A class\n\n| 30 |\n"
    path.write_text(f"# An older table\n{below}", encoding="utf-8")
    table.write_table(path, facts, rows)
    written = path.read_text(encoding="utf-8")
    assert written.endswith(below)
    assert f"torch {version('torch')}, " in written
    assert "An older table" not in written
    step = "| a step | float32 | 2.0000 | plain loop | 4.0000 | 2.00 | 1.00 | 3.00 |"
    autocast = (
        "| a map | autocast | 0.5000 | captum 0.9.0 | 1.0000 | 2.00 | 2.00 | 2.00 |"
    )
    lines = written.removesuffix(below).splitlines()
    assert lines[-2:] == [f"{step} – | – |", f"{autocast} 1.0000 | cosine 1.0000 |"]
    assert list(tmp_path.iterdir()) == [path]


def test_each_way_is_compared_with_each_peer(load):
    results = {"peer": 1, "float32": 2, "autocast": 3, "other": 4}
    ways = {way: partial(results.get, way) for way in results}
    rows = load("timing").compare("a sum", ways, 2, add, "{} {}".format)
    cells = [(row.way, row.peer, row.cosine, row.agreement) for row in rows]
    assert cells == [
        ("float32", "peer", None, "1 2"),
        ("autocast", "peer", 5, "1 3"),
        ("float32", "other", None, "4 2"),
        ("autocast", "other", 5, "4 3"),
    ]


def test_each_way_is_timed_once_a_round_after_a_first_run(load):
    runs = []
    ways = {name: partial(runs.append, name) for name in ("peer", "float32")}
    seconds, _ = load("timing").time_interleaved(ways, 2)
    assert runs == ["peer", "float32"] * 3
    assert {name: len(times) for name, times in seconds.items()} == dict.fromkeys(
        ways, 2
    )


def test_a_missing_peer_is_one_sentence(load, monkeypatch):
    timing = load("timing")
    monkeypatch.setattr(sys, "argv", ["visualizing.py"])
    monkeypatch.setattr(timing.torch, "set_num_threads", lambda number: None)

    def list_comparisons():
        return {"name": lambda rounds: [timing.name_peer("no-such-peer")]}

    sentence = "expected the package no-such-peer, got none of that name; do make bench"
    with pytest.raises(SystemExit, match=rf"^{sentence}\.$"):
        timing.main("A benchmark.", [list_comparisons])
