"""Whoever builds on the library reads its docstrings, and whoever reads a chapter those
of its figures: every public name has one that begins with a whole sentence.
"""

import ast
from pathlib import Path

import pytest
from conftest import CHECKOUT

import dlapps
import plots

PACKAGES = [Path(package.__file__).parent for package in (dlapps, plots)]
MODULES = sorted(
    path
    for package in PACKAGES
    for path in package.rglob("*.py")
    if path.name == "__init__.py" or path.name[0] != "_"
)


def public_definitions(node, name):
    """(name, node) of a module or class and of the public functions and classes in it;
    methods, but no inner ones.
    """
    yield name, node
    for inner in node.body:
        if (
            isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef))
            and inner.name[0] != "_"
        ):
            yield f"{name}.{inner.name}", inner
        elif isinstance(inner, ast.ClassDef) and inner.name[0] != "_":
            yield from public_definitions(inner, f"{name}.{inner.name}")


@pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: path.relative_to(CHECKOUT).as_posix()
)
def test_every_public_name_says_what_it_is(path):
    for name, node in public_definitions(ast.parse(path.read_text()), path.stem):
        docstring = ast.get_docstring(node)
        assert docstring, f"{name} has no docstring"
        assert docstring.split("\n\n")[0].endswith((".", ":", "…")), (
            f"{name}: its first paragraph is cut off"
        )
