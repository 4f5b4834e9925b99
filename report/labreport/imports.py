"""What runs when some code does: the files of modules that somebody may edit, and the
versions of all other packages.
"""

import ast
import functools
import hashlib
import importlib.util
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from labreport import paths
from labreport.magics import as_python

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Where packages are installed, unless they are installed editable.
_INSTALLED = [
    Path(sysconfig.get_path(kind)).resolve()
    for kind in ("stdlib", "platstdlib", "purelib", "platlib")
]


@dataclass(frozen=True)
class Imported:
    """The modules that some code imports, directly or through others.

    files: maps the file of each module to its name, and so each file of JSON, HTML or
    JavaScript beside a module that names it. versions: those of each package that is
    not followed by file.
    """

    files: dict[Path, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Module:
    """What matters of a source.

    names: the dotted names that it imports. code: what of it runs, which is its syntax
    tree without docstrings.
    """

    names: frozenset[str]
    code: str


def find_imported(cells: Iterable[str]) -> Imported:
    """Find what a notebook's cells of code import.

    Modules beside the notebooks, and packages that are installed editable, are followed
    by file. A cell with a magic may run any module beside the notebooks.
    """
    imported = Imported()
    names: list[str] = []
    for cell in cells:
        code = as_python(cell)
        module = read_module(code)
        if module:
            names += module.names
        has_magic = code != cell
        if has_magic or not module:
            for file in paths.notebooks().rglob("*.py"):
                names += _add_file(file, paths.notebooks(), imported)
    _follow(names, imported)
    return imported


def find_in_package(module: str) -> dict[Path, str]:
    """Find the file of a module, and those of its package that it imports, directly or
    through others.

    Returns the name of each, as `Imported.files` does.
    """
    imported = Imported()
    _follow([module], imported)
    package = module.partition(".")[0]
    files = {}
    for path, name in imported.files.items():
        if Path(name).parts[0] in (package, f"{package}.py"):
            files[path] = name
    return files


def digest_code(files: Mapping[Path, str]) -> str:
    """Compute a SHA-256 of files with their names.

    Of a module only that counts which runs: docstrings and comments may change.
    """
    digest = hashlib.sha256()
    for path, name in sorted(files.items()):
        content = path.read_text("utf-8", "replace")
        module = read_module(content, name)
        code = module.code if module else content
        digest.update(f"{name}\n{code}\n".encode())
    return digest.hexdigest()


def _follow(names: Iterable[str], imported: Imported) -> None:
    """Add what is imported by these dotted names."""
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        package = name.partition(".")[0]
        folder = find_folder(package)
        if folder is None:
            imported.versions.update(_versions_of(package))
            continue
        for file in _files_of(name, folder):
            waiting += _add_file(file, folder, imported)


def _add_file(file: Path, folder: Path, imported: Imported) -> Iterable[str]:
    """Add the file of a module, and the files beside it that it names.

    Returns the names that it imports; none if it was added before.
    """
    if file in imported.files:
        return ()
    name = file.relative_to(folder).as_posix()
    imported.files[file] = name
    content = file.read_text("utf-8", "replace")
    for other in file.parent.glob("*.[hj]*"):
        if other.name in content:
            imported.files[other] = other.relative_to(folder).as_posix()
    module = read_module(content, name)
    return module.names if module else ()


def find_folder(package: str) -> Path | None:
    """Find the folder that holds a package or module; None if it is not followed by
    file.
    """
    own = paths.notebooks() / package
    if own.is_dir() or own.with_suffix(".py").is_file():
        return paths.notebooks()
    return find_editable_folder(package)


@functools.cache
def find_editable_folder(package: str) -> Path | None:
    """Find the folder in which Python finds a package or module; None if packages are
    installed there.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec and spec.submodule_search_locations:
        path = Path(spec.submodule_search_locations[0]).resolve()
    elif spec and spec.has_location and spec.origin:
        path = Path(spec.origin).resolve()
    else:
        return None
    if any(path.is_relative_to(folder) for folder in _INSTALLED):
        return None
    return path.parent


@functools.cache
def read_module(content: str, file: str = "") -> Module | None:
    """Read what matters of a source; None if it does not parse.

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
    """Yield the dotted names that a statement imports: of modules, and of what may be
    one.
    """
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


def _files_of(name: str, folder: Path) -> Iterator[Path]:
    """Yield the files that run when a dotted name is imported: those of the packages
    above it, and its own.
    """
    path = folder
    for part in name.split("."):
        path = path / part
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                yield file


@functools.cache
def _versions_of(package: str) -> dict[str, str]:
    """Return the versions of the distributions that install a package of that name;
    none for Python's own.
    """
    return {name: metadata.version(name) for name in _distributions().get(package, [])}


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """Return the names of the distributions that install each package or module.

    Python 3.10's own `packages_distributions` does not find all of them.
    """
    found: dict[str, list[str]] = {}
    for distribution in metadata.distributions():
        installed = distribution.files or ()
        packages = {file.parts[0].partition(".")[0] for file in installed}
        for package in packages:
            found.setdefault(package, []).append(distribution.metadata["Name"])
    return found
