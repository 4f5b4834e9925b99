"""What runs when a notebook's cells do: the files of modules that somebody may edit,
the versions of all others.
"""

import ast
import functools
import importlib.util
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from labreport import paths

# Where what is installed lies, but for what is installed editable.
_INSTALLED = [
    Path(sysconfig.get_path(kind)).resolve()
    for kind in ("stdlib", "platstdlib", "purelib", "platlib")
]


@dataclass(frozen=True)
class Imported:
    """The modules that some code imports, directly or through others.

    files: by its file the name of each module, and of the JSON, HTML and scripts beside
    it that it names. versions: of each package that is not followed by file.
    """

    files: dict[Path, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def find_imported(cells: Iterable[str]) -> Imported:
    """What cells of code import.

    Modules beside the notebooks, in the report's folder, or installed editable, are
    followed by file. Where a cell is not plain Python, which magics make of it, it may
    import any module beside the notebooks, and any of the packages that other cells
    import.
    """
    sources = [read_imports(cell) for cell in cells]
    names = [name for source in sources if source for name in source.names]
    imported = Imported()
    waiting = [*names]
    if None in sources:
        for file in paths.notebooks().rglob("*.py"):
            waiting += _add(file, paths.notebooks(), imported)
        for package in {name.partition(".")[0] for name in names}:
            folder = find_folder(package)
            if folder:
                for file in (folder / package).rglob("*.py"):
                    waiting += _add(file, folder, imported)
    while waiting:
        name = waiting.pop()
        package = name.partition(".")[0]
        folder = find_folder(package)
        if folder is None:
            imported.versions.update(_version_of(package))
            continue
        for file in _files(name, folder):
            waiting += _add(file, folder, imported)
    return imported


def _add(file: Path, folder: Path, imported: Imported) -> list[str]:
    """Note a module's file and what lies beside it; returns the names that it imports,
    none if it was known.
    """
    if file in imported.files:
        return []
    imported.files[file] = file.relative_to(folder).as_posix()
    content = file.read_text("utf-8", "replace")
    for beside in file.parent.glob("*.[hj]*"):
        if beside.name in content:
            imported.files[beside] = beside.relative_to(folder).as_posix()
    source = read_imports(content, imported.files[file])
    return sorted(source.names) if source else []


def find_folder(package: str) -> Path | None:
    """The folder that holds a package or module of that name, if it is one that is
    followed by file.
    """
    own = paths.notebooks() / package
    if own.is_dir() or own.with_suffix(".py").is_file():
        return paths.notebooks()
    return find_editable_folder(package)


@functools.cache
def find_editable_folder(package: str) -> Path | None:
    """The folder that Python finds a package or module in, if it is not one where
    packages are installed.
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


@dataclass(frozen=True)
class Source:
    """What a source imports, as dotted names.

    doors: what a package hands on under a name of its own only when it is asked for, by
    that name; it stands below `if TYPE_CHECKING:`, and runs where somebody imports it
    from the package.
    """

    names: frozenset[str]
    doors: Mapping[str, str]


@functools.cache
def read_imports(content: str, file: str = "") -> Source | None:
    """What a source imports, wherever it does; None where it does not parse. file: its
    path in the package's folder.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return None
    package = file.split("/")[:-1]
    guarded = {
        inner
        for node in ast.walk(tree)
        if _is_type_checking(node)
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    doors: dict[str, str] = {}
    for node in ast.walk(tree):
        found = dict(_imported_names(node, package))
        if node in guarded:
            doors.update(found)
        else:
            names.update(found.values())
            if isinstance(node, ast.ImportFrom):
                names.update(name.rpartition(".")[0] for name in found.values())
    return Source(frozenset(names), doors)


def _is_type_checking(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"
    )


def _imported_names(node: ast.AST, package: list[str]) -> Iterator[tuple[str, str]]:
    """What a statement imports: by the name that it gets there, the dotted name of a
    module or of what is in one.
    """
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, alias.name
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) + 1 - node.level] if node.level else []
        module = [*above, *([node.module] if node.module else [])]
        for alias in node.names:
            yield alias.asname or alias.name, ".".join([*module, alias.name])


def _files(name: str, folder: Path) -> Iterator[Path]:
    """The files that run when a dotted name is imported: of the packages above it, its
    own, and behind a door.
    """
    parts = name.split(".")
    for number in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:number])
        module, package = place.with_suffix(".py"), place / "__init__.py"
        if module.is_file():
            yield module
        if package.is_file():
            yield package
            source = read_imports(
                package.read_text("utf-8", "replace"),
                package.relative_to(folder).as_posix(),
            )
            behind = (
                source.doors.get(parts[number])
                if source and number < len(parts)
                else None
            )
            if behind:
                yield from _files(behind, folder)


def _version_of(package: str) -> dict[str, str]:
    """The versions of the distributions that install a package of that name; none of
    Python's own.
    """
    return {name: metadata.version(name) for name in _distributions().get(package, [])}


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
