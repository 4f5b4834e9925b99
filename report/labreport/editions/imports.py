"""What runs when a notebook's cells do: the files of modules that somebody may edit,
and the versions of all other packages.
"""

import ast
import functools
import importlib.util
import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from labreport import paths

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Where packages are installed, unless they are installed editable.
_INSTALLED = [
    Path(sysconfig.get_path(kind)).resolve()
    for kind in ("stdlib", "platstdlib", "purelib", "platlib")
]


@dataclass(frozen=True)
class Imported:
    """The modules that some code imports, directly or through others.

    files: the name of each module by its file, and of the JSON, HTML and scripts beside
    a module that it names. versions: of each package that is not followed by file.
    """

    files: dict[Path, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Module:
    """What matters of a source: the dotted names that it imports, and what of it runs,
    which is its syntax tree without docstrings.
    """

    names: frozenset[str]
    code: str


def find_imported(cells: Iterable[str]) -> Imported:
    """Find what cells of code import.

    Modules beside the notebooks, and packages that are installed editable, are followed
    by file. A cell with a magic may run any module beside the notebooks.
    """
    imported = Imported()
    waiting: list[str] = []
    for cell in cells:
        plain = re.sub(r"(?m)^\s*[%!].*", "", cell)
        module = read_module(plain)
        if module:
            waiting += module.names
        if plain != cell or not module:
            for file in paths.notebooks().rglob("*.py"):
                waiting += _add(file, paths.notebooks(), imported)
    while waiting:
        name = waiting.pop()
        package = name.partition(".")[0]
        folder = find_folder(package)
        if folder is None:
            imported.versions.update(_versions_of(package))
            continue
        for file in _files(name, folder):
            waiting += _add(file, folder, imported)
    return imported


def _add(file: Path, folder: Path, imported: Imported) -> Iterable[str]:
    """Note a module's file and the files beside it that it names; returns what it
    imports, nothing if it was noted before.
    """
    if file in imported.files:
        return ()
    imported.files[file] = file.relative_to(folder).as_posix()
    content = file.read_text("utf-8", "replace")
    for beside in file.parent.glob("*.[hj]*"):
        if beside.name in content:
            imported.files[beside] = beside.relative_to(folder).as_posix()
    module = read_module(content, imported.files[file])
    return module.names if module else ()


def find_folder(package: str) -> Path | None:
    """The folder that holds a package or module of that name, None if it is not
    followed by file.
    """
    own = paths.notebooks() / package
    if own.is_dir() or own.with_suffix(".py").is_file():
        return paths.notebooks()
    return find_editable_folder(package)


@functools.cache
def find_editable_folder(package: str) -> Path | None:
    """The folder in which Python finds a package or module, None if packages are
    installed there.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.has_location or not spec.origin:
        return None
    file = Path(spec.origin).resolve()
    if any(file.is_relative_to(folder) for folder in _INSTALLED):
        return None
    return file.parent.parent if spec.submodule_search_locations else file.parent


@functools.cache
def read_module(content: str, file: str = "") -> Module | None:
    """What matters of a source; None where it does not parse.

    file: its path in the folder of its package, from which relative imports start.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return None
    package = file.split("/")[:-1]
    names: set[str] = set()
    for node in ast.walk(tree):
        names.update(_imported_names(node, package))
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False):
            del node.body[0]
    return Module(frozenset(names), ast.dump(tree))


def _imported_names(node: ast.AST, package: list[str]) -> Iterator[str]:
    """The dotted names that a statement imports: of modules, and of what may be one."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    elif isinstance(node, ast.ImportFrom):
        parts = []
        if node.level:
            parts += package[: len(package) + 1 - node.level]
        if node.module:
            parts.append(node.module)
        if parts:
            yield ".".join(parts)
        for alias in node.names:
            yield ".".join([*parts, alias.name])


def _files(name: str, folder: Path) -> Iterator[Path]:
    """The files that run when a dotted name is imported: of the packages above it, and
    its own.
    """
    place = folder
    for part in name.split("."):
        place = place / part
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                yield file


@functools.cache
def _versions_of(package: str) -> dict[str, str]:
    """The versions of the distributions that install a package of that name; none of
    Python's own.
    """
    return {name: metadata.version(name) for name in _distributions().get(package, [])}


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
