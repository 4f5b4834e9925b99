"""The table of design: an import inside the package only goes down, and CONTRIBUTING.md draws what there is."""

import ast
import re
from pathlib import Path

import pytest

import dlapps
from dlapps.core.paths import CHECKOUT

PACKAGE = Path(dlapps.__file__).parent
LEVELS = {
    "cli": 5,
    "classroom": 5,
    "report": 5,
    "studies": 4,
    "notebook": 4,
    "profiles": 3,
    "live": 3,
    "transfer": 3,
    "saliency": 3,
    "adversarial": 3,
    "class_visualization": 3,
    "dann": 3,
    "gan": 3,
    "flow": 3,
    "plots": 3,
    "class_scores": 2,
    "datasets": 2,
    "pixel_network": 2,
    "pretrained": 2,
    "prose": 2,
    "results": 2,
    "training": 2,
    "explore": 2,
    "animation": 1,
    "assets": 1,
    "bibliography": 1,
    "outline": 1,
    "download": 1,
    "registry": 1,
    "images": 1,
    "metrics": 1,
    "paired": 1,
    "runtime": 1,
    "sweeps": 1,
    "syntax": 1,
    "weights": 1,
    "environment": 1,
    "extras": 0,
    "paths": 0,
}
# Beside each other on one level, one may build on the other.
BESIDE = {
    ("datasets", "pretrained"),
    ("pretrained", "pixel_network"),
    ("datasets", "results"),
    ("gan", "transfer"),
    ("plots", "gan"),
    ("bibliography", "syntax"),
    ("outline", "syntax"),
    ("assets", "download"),
    ("assets", "registry"),
    ("sweeps", "environment"),
    ("download", "registry"),
    ("cli", "report"),
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def level_name(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dlapps":
            parts = node.module.split(".")[1:]
            yield from parts[:1] or [
                alias.name
                for alias in node.names
                if alias.name not in ("DlappsError", "__version__") and not alias.name.startswith("check_")
            ]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dlapps."))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_only_go_down(path):
    name = level_name(path)
    for other in imported(path):
        if other != name and (name, other) not in BESIDE:
            assert LEVELS[other] < LEVELS[name], f"{name} (level {LEVELS[name]}) imports {other} ({LEVELS[other]})"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_modules_stay_readable_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 250


def read_diagram():
    """CONTRIBUTING.md's diagram: {module: level}, {module: the modules that its arrows lead to}."""
    text = re.search(r"```mermaid\n(.+?)```", (CHECKOUT / "CONTRIBUTING.md").read_text(), re.DOTALL)[1]
    boxes = re.findall(r"subgraph level(\d) .+?\n(.+?)\n +end\n", text, re.DOTALL)
    arrows = {name: set() for _, names in boxes for name in names.split()}
    for name, others in re.findall(r"(\w+) --> (.+)", text):
        arrows[name].update(others.split(" & "))
    return {name: int(level) for level, names in boxes for name in names.split()}, arrows


def reachable(arrows, start):
    found, waiting = set(), [start]
    while waiting:
        new = arrows[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def test_diagram_draws_the_levels():
    assert read_diagram()[0] == LEVELS


def test_diagram_draws_the_imports():
    _, arrows = read_diagram()
    imports = {name: set() for name in LEVELS}
    for path in MODULES:
        imports[level_name(path)].update(set(imported(path)) - {level_name(path)})
    left_over = {f"{name} --> {other}" for name in arrows for other in arrows[name] - imports[name]}
    missing = {f"{name} --> {other}" for name in imports for other in imports[name] - reachable(arrows, name)}
    assert (left_over, missing) == (set(), set())
