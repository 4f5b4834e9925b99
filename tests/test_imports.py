"""The house: its doors, and an import that only goes down; CONTRIBUTING.md draws it."""

import ast
import re
from graphlib import TopologicalSorter

import pytest

from dlapps.core.paths import CHECKOUT

# From the ground up: a room imports from those before it.
ROOMS = (
    "core",
    "pretrained",
    "datasets",
    "transfer",
    "saliency",
    "adversarial",
    "class_visualization",
    "dann",
    "gan",
    "plots",
    "notebook",
    "report",
    "classroom",
    "cli",
)
PACKAGE = CHECKOUT / "dlapps"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path):
    return path.relative_to(CHECKOUT).as_posix()


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path):
    """The dotted names below dlapps that a file imports, as module or as a name of one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("dlapps."):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("dlapps."))


def imported_rooms(path):
    return {name.split(".")[1] for name in imported(path)} & {*ROOMS}


def test_the_doors_are_these():
    assert {room_of(path) for path in MODULES} == {*ROOMS}
    assert len(ROOMS) <= 14


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_only_go_down(path):
    floor = ROOMS.index(room_of(path))
    assert [room for room in imported_rooms(path) if ROOMS.index(room) > floor] == []
    assert not re.search(r"(?m)^\s*(?:from|import) studies\b", path.read_text())


def test_no_modules_import_each_other():
    files = {name_of(path)[:-3].replace("/", ".").removesuffix(".__init__"): path for path in MODULES}
    graph = {}
    for module, path in files.items():
        names = (name if name in files else name.rpartition(".")[0] for name in imported(path))
        graph[module] = {name for name in names if name in files and not module.startswith(f"{name}.")}
    TopologicalSorter(graph).prepare()


def read_diagram():
    """CONTRIBUTING.md's diagram: its rooms, and the rooms that the arrows of each lead to."""
    guide = (CHECKOUT / "CONTRIBUTING.md").read_text()
    text = re.search(r"```mermaid\n(.+?)```", guide, re.DOTALL)[1]
    drawn = re.findall(r"(\w+) --> (.+)", text)
    arrows = {name: set(others.split(" & ")) for name, others in drawn}
    return set(re.findall(r"\w+", text)) - {"flowchart", "TD"}, arrows


def reachable(arrows, start):
    found, waiting = set(), [start]
    while waiting:
        new = arrows.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def test_diagram_draws_the_imports():
    rooms, arrows = read_diagram()
    imports = {room: set() for room in ROOMS}
    for path in MODULES:
        imports[room_of(path)] |= imported_rooms(path) - {room_of(path)}
    assert rooms == {*ROOMS}
    left_over = {f"{room} --> {other}" for room in arrows for other in arrows[room] - imports[room]}
    missing = {f"{room} --> {other}" for room in imports for other in imports[room] - reachable(arrows, room)}
    assert (left_over, missing) == (set(), set())
    assert sum(map(len, imports.values())) <= 40
