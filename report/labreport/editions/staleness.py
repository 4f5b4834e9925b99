"""What the outputs of a notebook depend on, and so whether it has to run again."""

import ast
import functools
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from labreport import paths
from labreport.editions.current import find_named, hash_file, read_settings
from labreport.editions.imports import find_imported
from labreport.editions.sources import Source, code_cells, read_notebook
from labreport.notebook.expressions import find_claims, find_placeholders

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def executed_path(source: Source, profile: str) -> Path:
    """The file of the executed copy of a notebook."""
    return paths.build() / profile / f"{source.name}.ipynb"


def is_stale(source: Source, profile: str) -> bool:
    """Whether the executed copy of a notebook is missing or was made from other inputs."""
    path = executed_path(source, profile)
    if not path.exists():
        return True
    inputs = read_notebook(path).metadata.get("labreport", {}).get("inputs")
    return inputs != fingerprint(source.read(), profile)


def fingerprint(notebook: NotebookNode, profile: str) -> dict[str, Any]:
    """What outputs depend on, the words of the prose left out.

    "settings": see `read_settings`. "code": a SHA-256 of the code cells, of the
    expressions in the prose, of what the cells import (`find_imported`), directly or
    through others, and of the results of the studies that the code mentions ("scenes15"
    for scenes15-features.npz). "files": a SHA-256 of each file of the report that the
    cells, or modules beside them, name (`find_named`).
    """
    digest = hashlib.sha256()
    code = [cell.source for cell in code_cells(notebook)]
    # A cell of Markdown without expressions adds nothing: it may come and go.
    evaluated = [part for part in map(_evaluated, notebook.cells) if part]
    digest.update(json.dumps(evaluated).encode())
    named = find_named("'".join(code))
    imported = find_imported(code)
    digest.update(json.dumps(imported.versions, sort_keys=True).encode())
    for path, name in sorted(imported.files.items()):
        digest.update(name.encode() + code_of(path.read_bytes()))
        if path.is_relative_to(paths.notebooks()):
            named |= find_named(path.read_text("utf-8", "replace"))
    for path in find_named_results(code):
        digest.update(path.name.encode() + path.read_bytes())
    files = {
        path.relative_to(paths.project()).as_posix(): hash_file(path) for path in named
    }
    return {
        "settings": read_settings(profile),
        "code": digest.hexdigest(),
        "files": files,
    }


def find_named_results(code: Iterable[str]) -> list[Path]:
    """The results of the studies that some code mentions: for "scenes15"
    scenes15-features.npz and others.
    """
    found, text = [], "".join(code)
    for _, path in sorted(paths.find_results().items()):
        study = re.escape(path.stem.partition("-")[0])
        if re.search(rf"(?<![a-z]){study}(?![a-z])", text):
            found.append(path)
    return found


def _evaluated(cell: NotebookNode) -> list[str]:
    """What the kernel gets of a cell: code, or the expressions in its prose."""
    if cell.cell_type == "code":
        return ["code", cell.source]
    return [*find_placeholders(cell.source), *find_claims(cell.source)]


@functools.cache
def code_of(content: bytes) -> bytes:
    """What of a module runs: its syntax tree without docstrings; the content itself
    where it does not parse.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return content
    for node in ast.walk(tree):
        if (
            isinstance(node, DOCUMENTED)
            and ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
    return ast.dump(tree).encode()
