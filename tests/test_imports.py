"""How the packages import each other: only downwards, as CONTRIBUTING.md draws it."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from conftest import CHECKOUT

import dlapps

FOLDERS = {
    "dlapps": CHECKOUT / "dlapps",
    "labreport": CHECKOUT / "report" / "labreport",
}
# What a product leaves to those who have it.
FOREIGN = {
    "dlapps": {"labreport", "jupyter_client", "nbformat", "nbclient", "nbconvert"},
    "labreport": {"dlapps", "torch", "torchvision", "sklearn", "timm"},
}
OF_THE_REPORT = {"studies", "checks", "plots"}


def module_name(product, path):
    """The dotted name of a file; of an __init__.py, its package's."""
    parts = path.relative_to(FOLDERS[product].parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


FILES = {
    module_name(product, path): path
    for product, folder in FOLDERS.items()
    for path in sorted(folder.rglob("*.py"))
    if path != folder / "__init__.py"
}
PACKAGES = [name for name, path in FILES.items() if path.name == "__init__.py"]


def imported(path):
    """The dotted names that a file imports, as module or as a name of one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name


def room_of(name):
    """The package or file right below a product that a name lies in."""
    return ".".join(name.split(".")[:2])


ROOMS = {room_of(name) for name in FILES}


def find_room_imports():
    """The other rooms that each room imports from."""
    imports = {room: set() for room in ROOMS}
    for name, path in FILES.items():
        rooms = {room_of(other) for other in imported(path)}
        imports[room_of(name)] |= rooms & ROOMS - {room_of(name)}
    return imports


@pytest.mark.parametrize("name", FILES)
def test_neither_product_imports_the_other_or_what_it_leaves_to_others(name):
    product = name.partition(".")[0]
    tops = {other.partition(".")[0] for other in imported(FILES[name])}
    assert not tops & (FOREIGN[product] | OF_THE_REPORT)


def test_rooms_do_not_import_each_other_in_a_circle():
    TopologicalSorter(find_room_imports()).prepare()


def test_modules_do_not_import_each_other_in_a_circle():
    graph = {}
    for module, path in FILES.items():
        graph[module] = set()
        for name in imported(path):
            other = name if name in FILES else name.rpartition(".")[0]
            if other in FILES and not module.startswith(f"{other}."):
                graph[module].add(other)
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_that_a_package_lists_is_there(package):
    exec(f"from {package} import *", {})


def test_topics_hand_on_their_modules():
    # In a process of its own, where nothing else has imported them.
    names = "transfer.finetune, transfer.linear, gan.flow"
    command = f"from dlapps import gan, transfer; {names}"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def test_import_dlapps_gives_every_name_that_it_lists():
    # In a process of its own, where nothing else has imported them.
    command = "import dlapps; [getattr(dlapps, name) for name in dlapps.__all__]"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0
    with pytest.raises(AttributeError, match="'dlapps' has no attribute 'salience'"):
        dlapps.salience  # noqa: B018


def test_import_dlapps_loads_nothing_heavy():
    command = "import sys, dlapps; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def read_diagram():
    """CONTRIBUTING.md's diagram: its rooms, and the rooms that the arrows of each lead
    to.
    """
    guide = (CHECKOUT / "CONTRIBUTING.md").read_text()
    rooms = set()
    arrows = {}
    for product, drawing in re.findall(r"(?s)subgraph (\w+)\n(.+?)\n    end", guide):
        for name, others in re.findall(r"(\w+) --> (.+)", drawing):
            arrows[f"{product}.{name}"] = {
                f"{product}.{other}" for other in others.split(" & ")
            }
        rooms |= {f"{product}.{name}" for name in re.findall(r"\w+", drawing)}
    return rooms, arrows


def reachable(arrows, start):
    reached = set()
    waiting = [start]
    while waiting:
        new = arrows.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached


def test_diagram_draws_the_imports():
    rooms, arrows = read_diagram()
    imports = find_room_imports()
    assert rooms == ROOMS
    for room in ROOMS:
        drawn = arrows.get(room, set())
        assert drawn <= imports[room], f"{room} has an arrow of no import"
        assert imports[room] <= reachable(arrows, room), f"{room} lacks an arrow"
