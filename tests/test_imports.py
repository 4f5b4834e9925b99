"""How the packages import each other: only upwards in the tables of CONTRIBUTING.md."""

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


def find_room_imports(product):
    """The other rooms of a product from which each room imports: packages and files
    right below it.
    """
    imports = {}
    for name, path in FILES.items():
        if name.startswith(f"{product}."):
            room = name.split(".")[1]
            found = imports.setdefault(room, set())
            for other in imported(path):
                if other.startswith(f"{product}.") and other.split(".")[1] != room:
                    found.add(other.split(".")[1])
    # Others are names of the product itself.
    return {room: found & imports.keys() for room, found in imports.items()}


@pytest.mark.parametrize("name", FILES)
def test_neither_product_imports_the_other_or_what_it_leaves_to_others(name):
    product = name.partition(".")[0]
    tops = {other.partition(".")[0] for other in imported(FILES[name])}
    assert not tops & (FOREIGN[product] | OF_THE_REPORT)


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


def test_a_topic_hands_on_its_modules():
    # In a process of its own, where nothing else has imported them.
    command = "from dlapps import gan; gan.flow"
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


@pytest.mark.parametrize("product", FOLDERS)
def test_rooms_import_only_from_those_above_them_in_the_guide(product):
    guide = (CHECKOUT / "CONTRIBUTING.md").read_text()
    (table,) = re.findall(rf"(?s)\| room of `{product}` .+?\n\n", guide)
    rows = re.findall(r"(?m)^\| (`.+?) \|", table)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    imports = find_room_imports(product)
    assert set(names) == imports.keys()
    for place, name in enumerate(names):
        assert imports[name] <= set(names[:place]), name
