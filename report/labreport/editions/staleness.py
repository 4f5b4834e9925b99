"""Find out whether a notebook has to run again: what its outputs depend on."""

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from labreport import environment, paths
from labreport.chapters import code_cells, read_notebook, tags
from labreport.editions.sources import Source
from labreport.imports import Imported, digest_code, find_imported, read_module
from labreport.magics import as_python
from labreport.notebook.claims import find_claims
from labreport.notebook.code import walk_code
from labreport.notebook.expressions import find_placeholders
from labreport.profiles import get_profile
from labreport.runs import Run


def find_stale(sources: Iterable[Source], run: Run) -> list[Source]:
    """Return those of the notebooks that have to run again."""
    return [source for source in sources if is_stale(source, run)]


def is_stale(source: Source, run: Run) -> bool:
    """Return whether a notebook's executed copy is missing, or was made from other
    inputs.
    """
    notebook = source.read()
    path = run.executed(source.name)
    if not path.exists():
        return True
    inputs = read_notebook(path).metadata.get("labreport", {}).get("inputs")
    return inputs != fingerprint(notebook, run)


def fingerprint(notebook: NotebookNode, run: Run) -> dict[str, Any]:
    """Describe what a notebook's outputs depend on, which its prose does not change.

    "settings": see `read_settings`. "code": a SHA-256 of the code cells, of the
    expressions in the prose, of what the cells import, directly or through others
    (`find_imported`), and of the results of the studies that the cells or modules
    beside the notebooks mention (`find_named_results`). "files": a SHA-256 of each file
    of the report that a string names there (`find_named`).
    """
    code = [cell.source for cell in code_cells(notebook)]
    imported = find_imported(code)
    # A Markdown cell without expressions adds nothing: it may come and go.
    evaluated = [part for part in map(_evaluated, notebook.cells) if part]
    parts = [evaluated, imported.versions, digest_code(imported.files)]
    beside = read_modules_beside(imported)
    for path in find_named_results(code, beside):
        parts.append([path.name, hash_file(path)])
    content = json.dumps(parts, sort_keys=True).encode()
    files = {}
    for source in code + beside:
        for path in find_named(_strings_of(source)):
            files[path.relative_to(paths.project()).as_posix()] = hash_file(path)
    return {
        "settings": read_settings(run),
        "code": hashlib.sha256(content).hexdigest(),
        "files": files,
    }


def read_modules_beside(imported: Imported) -> list[str]:
    """Read those of the imported files that lie beside the notebooks."""
    sources = []
    for path in imported.files:
        if path.is_relative_to(paths.notebooks()):
            sources.append(path.read_text("utf-8", "replace"))
    return sources


def _strings_of(code: str) -> list[str]:
    """Return the strings in code.

    If it is not plain Python, such as a magic, what stands between quotes counts too.
    """
    strings = []
    nodes = walk_code(code)
    if not nodes or as_python(code) != code:
        strings += re.split("[\"']", code)
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.append(node.value)
    return strings


def _evaluated(cell: NotebookNode) -> list[str]:
    """Return what the kernel evaluates: a cell's code, or the expressions in prose."""
    if cell.cell_type == "code":
        # A run replaces what the cell tagged so assigns.
        kind = "parameters" if "parameters" in tags(cell) else "code"
        # Only a cell tagged so may fail.
        may_fail = ["may fail"] if "raises-exception" in tags(cell) else []
        return [kind, cell.source, *may_fail]
    return [*find_placeholders(cell.source), *find_claims(cell.source)]


def read_settings(run: Run) -> dict[str, Any]:
    """Return what changes the numbers of a run besides its code: profile, seed,
    threads, and the settings of libraries.
    """
    settings = {
        "profile": vars(get_profile(run.profile)),
        "seed": run.seed,
        "threads": environment.num_threads(),
        **environment.library_settings(),
    }
    # As the metadata of a notebook have it, where a tuple is a list.
    return json.loads(json.dumps(settings))


def find_named(names: Iterable[str]) -> set[Path]:
    """Find the files of the report among these names, as seen from the notebooks'
    folder, and all files in the folders among them.
    """
    folder = paths.notebooks()
    files: set[Path] = set()
    for name in set(names):
        path = Path(os.path.normpath(os.path.join(folder, name)))
        # A dot or two are no name of all notebooks or of the whole report.
        if not path.is_relative_to(paths.project()) or folder.is_relative_to(path):
            continue
        # os.path takes what is too long for a name for a file that does not exist.
        if os.path.isdir(path):
            files.update(file for file in path.rglob("*") if file.is_file())
        elif os.path.isfile(path):
            files.add(path)
    return {file for file in files if "__pycache__" not in file.parts}


def find_named_results(cells: Iterable[str], modules: Iterable[str]) -> list[Path]:
    """Find the results of the studies that cells or modules beside them mention: for
    "scenes15" scenes15-features.npz and others.

    A docstring of a module mentions nothing.
    """
    mentioned = list(cells)
    for source in modules:
        module = read_module(source)
        mentioned.append(module.code if module else source)
    text = "\n".join(mentioned)
    named = []
    for _, path in sorted(paths.find_results().items()):
        study = re.escape(path.stem.partition("-")[0])
        if re.search(rf"(?<![a-z]){study}(?![a-z])", text):
            named.append(path)
    return named


def hash_file(path: Path) -> str:
    """Compute the SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
