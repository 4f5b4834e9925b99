"""The house: its doors, and an import that only goes down; CONTRIBUTING.md draws it."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from conftest import CHECKOUT

# From the ground up: a room imports from those before it.
ROOMS = {
    "dlapps": (
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
        "cli",
    ),
    "labreport": (
        "paths",
        "environment",
        "profiles",
        "intervals",
        "results",
        "sweeps",
        "notebook",
        "editions",
        "course",
        "cli",
    ),
}
FOLDERS = {
    "dlapps": CHECKOUT / "dlapps",
    "labreport": CHECKOUT / "report" / "labreport",
}
# What a product leaves to those who have it.
FOREIGN = {
    "dlapps": {"labreport", "jupyter_client", "nbformat", "nbconvert", "papermill"},
    "labreport": {"dlapps", "torch", "torchvision", "sklearn", "timm"},
}
MODULES = [
    (product, path)
    for product, folder in FOLDERS.items()
    for path in sorted(folder.rglob("*.py"))
    if path != folder / "__init__.py"
]


def name_of(value):
    return value if isinstance(value, str) else value.relative_to(CHECKOUT).as_posix()


def room_of(product, path):
    return path.relative_to(FOLDERS[product]).with_suffix("").parts[0]


def imported(path):
    """The dotted names that a file imports, as module or as a name of one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imported_rooms(product, path):
    names = (name.split(".") for name in imported(path))
    return {parts[1] for parts in names if parts[0] == product and len(parts) > 1} & {
        *ROOMS[product]
    }


def test_the_doors_are_these():
    for product, rooms in ROOMS.items():
        assert {
            room_of(product, path) for owner, path in MODULES if owner == product
        } == {*rooms}


@pytest.mark.parametrize(("product", "path"), MODULES, ids=name_of)
def test_imports_only_go_down_and_neither_product_imports_the_other(product, path):
    rooms = ROOMS[product]
    floor = rooms.index(room_of(product, path))
    assert [
        room for room in imported_rooms(product, path) if rooms.index(room) > floor
    ] == []
    assert not {name.partition(".")[0] for name in imported(path)} & (
        FOREIGN[product] | {"studies", "checks"}
    )


def test_no_modules_import_each_other():
    files = {}
    for product, path in MODULES:
        module = (
            path.relative_to(FOLDERS[product].parent)
            .with_suffix("")
            .as_posix()
            .replace("/", ".")
        )
        files[module.removesuffix(".__init__")] = path
    graph = {}
    for module, path in files.items():
        names = (
            name if name in files else name.rpartition(".")[0]
            for name in imported(path)
        )
        graph[module] = {
            name
            for name in names
            if name in files and not module.startswith(f"{name}.")
        }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "package",
    [
        ".".join(path.parent.relative_to(FOLDERS[product].parent).parts)
        for product, path in MODULES
        if path.name == "__init__.py"
    ],
)
def test_every_name_that_a_package_lists_is_there(package):
    exec(f"from {package} import *", {})


def test_import_dlapps_loads_nothing_heavy():
    command = "import sys, dlapps; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def read_diagram():
    """CONTRIBUTING.md's diagram: its rooms, and the rooms that the arrows of each lead
    to.
    """
    guide = (CHECKOUT / "CONTRIBUTING.md").read_text()
    rooms, arrows = set(), {}
    for product, drawing in re.findall(r"(?s)subgraph (\w+)\n(.+?)\n    end", guide):
        for name, others in re.findall(r"(\w+) --> (.+)", drawing):
            arrows[f"{product}.{name}"] = {
                f"{product}.{other}" for other in others.split(" & ")
            }
        rooms |= {f"{product}.{name}" for name in re.findall(r"\w+", drawing)}
    return rooms, arrows


def reachable(arrows, start):
    found, waiting = set(), [start]
    while waiting:
        new = arrows.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def test_diagram_draws_the_imports():
    rooms, arrows = read_diagram()
    imports = {
        f"{product}.{room}": set() for product in ROOMS for room in ROOMS[product]
    }
    for product, path in MODULES:
        own = room_of(product, path)
        others = imported_rooms(product, path) - {own}
        imports[f"{product}.{own}"] |= {f"{product}.{other}" for other in others}
    assert rooms == {*imports}
    left_over = {
        f"{room} --> {other}"
        for room in arrows
        for other in arrows[room] - imports[room]
    }
    missing = {
        f"{room} --> {other}"
        for room in imports
        for other in imports[room] - reachable(arrows, room)
    }
    assert (left_over, missing) == (set(), set())
    assert sum(map(len, imports.values())) <= 60
