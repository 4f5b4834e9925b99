"""Whoever builds on the library reads its docstrings: every public name has one that
begins with a whole sentence.
"""

import ast
from pathlib import Path

import pytest

import dlapps

PACKAGE = Path(dlapps.__file__).parent
MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
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
    "path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_every_public_name_says_what_it_is(path):
    for name, node in public_definitions(ast.parse(path.read_text()), path.stem):
        docstring = ast.get_docstring(node)
        assert docstring, f"{name} has no docstring"
        assert docstring.split("\n\n")[0].endswith((".", ":", "…")), (
            f"{name}: its first paragraph is cut off"
        )
