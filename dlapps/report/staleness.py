"""What the outputs of a notebook depend on, and so whether it has to run again."""

import ast
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from dlapps.core import paths
from dlapps.notebook.expressions import find_claims, find_placeholders
from dlapps.report.current import find_named, hash_file, read_settings
from dlapps.report.sources import Source, code_cells, read_notebook

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def executed_path(source: Source, profile: str) -> Path:
    """The file of the executed copy of a notebook."""
    return paths.build() / profile / f"{source.name}.ipynb"


def is_stale(source: Source, profile: str) -> bool:
    """Whether the executed copy of a notebook is missing or comes from other code."""
    path = executed_path(source, profile)
    if not path.exists():
        return True
    return read_notebook(path).metadata.get("dlapps") != fingerprint(source.read(), profile)


def fingerprint(notebook: NotebookNode, profile: str) -> dict[str, Any]:
    """What outputs depend on, the words of the prose left out.

    "settings": see `read_settings`. "code": a SHA-256 of the code cells, of the
    expressions in the prose, of the code of the modules that the cells import, directly or through others, and of the
    results of the studies that the code mentions ("scenes15" for scenes15-features.npz). "files": a SHA-256 of each
    file of the report that the cells, or modules beside them, name (`find_named`).
    """
    digest = hashlib.sha256()
    code = [cell.source for cell in code_cells(notebook)]
    # A cell of Markdown without expressions adds nothing: it may come and go.
    evaluated = [part for part in map(_evaluated, notebook.cells) if part]
    digest.update(json.dumps(evaluated).encode())
    named = find_named("'".join(code))
    for path in sorted(imported_modules(code)):
        is_own = path.is_relative_to(paths.notebooks())
        above = paths.notebooks() if is_own else paths.PACKAGE
        digest.update(path.relative_to(above).as_posix().encode() + code_of(path.read_bytes()))
        if is_own:
            named |= find_named(path.read_text("utf-8", "replace"))
    for name, path in sorted(paths.find_results().items()):
        study = re.escape(path.stem.partition("-")[0])
        if re.search(rf"(?<![a-z]){study}(?![a-z])", "".join(code)):
            digest.update(name.encode() + path.read_bytes())
    files = {path.relative_to(paths.project()).as_posix(): hash_file(path) for path in named}
    return {"settings": read_settings(profile), "code": digest.hexdigest(), "files": files}


def _evaluated(cell: NotebookNode) -> list[str]:
    """What the kernel gets of a cell: code, or the expressions in its prose."""
    if cell.cell_type == "code":
        return ["code", cell.source]
    return [*find_placeholders(cell.source), *find_claims(cell.source)]


def imported_modules(cells: Iterable[str]) -> set[Path]:
    """The files of the library, and beside the notebooks, that run when these cells do; all of them where a cell is not
    plain Python.

    Among them are JSON, HTML and scripts that a module names and that lie beside it, such as the registry of assets.
    """
    known = {"dlapps", *(path.stem for path in paths.notebooks().glob("*"))}
    names = [_imports(cell) for cell in cells]
    found: set[Path] = set()
    waiting = [file for part in names for name in part or () for file in _files(name, known)]
    if None in names:
        waiting = [*paths.PACKAGE.rglob("*.py"), *paths.notebooks().rglob("*.py")]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            content = file.read_text("utf-8", "replace")
            waiting += [other for name in _imports(content) or () for other in _files(name, known)]
            waiting += [beside for beside in file.parent.glob("*.[hj]*") if beside.name in content]
    return found


@functools.cache
def code_of(content: bytes) -> bytes:
    """What of a module runs: its syntax tree without docstrings; the content itself where it does not parse."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return content
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree).encode()


@functools.cache
def _imports(source: str) -> frozenset[str] | None:
    """The dotted names that a source imports, wherever it does; None where it does not parse."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    return frozenset(name for node in ast.walk(tree) for name in _names(node))


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        # What is imported may be a module itself, of the package or of core, where it hands it on; else no file has
        # that name.
        for package in (node.module, "dlapps.core") if node.module == "dlapps" else (node.module,):
            yield from (f"{package}.{alias.name}" for alias in node.names)


def _files(name: str, known: set[str]) -> Iterator[Path]:
    """The files that run when a dotted name is imported that begins with a known one: the packages above it, its own.

    Of a package beside the notebooks, all: its modules may import each other by relative names.
    """
    first, *rest = name.split(".")
    if first not in known:
        return
    folder = paths.PACKAGE.parent
    if first != "dlapps":
        folder = paths.notebooks()
        yield from (folder / first).rglob("*.py")
    for part in (first, *rest):
        folder /= part
        yield from filter(Path.is_file, (folder / "__init__.py", folder.with_suffix(".py")))
