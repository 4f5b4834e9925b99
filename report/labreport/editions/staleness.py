"""What the outputs of a notebook depend on, and so whether it has to run again."""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from nbformat import NotebookNode

from labreport import environment, paths
from labreport.editions.imports import find_imported, read_module
from labreport.editions.sources import Source, code_cells, read_notebook
from labreport.notebook.expressions import find_claims, find_placeholders
from labreport.profiles import get_profile


def executed_path(source: Source, profile: str) -> Path:
    """The file of the executed copy of a notebook."""
    return paths.build() / profile / f"{source.name}.ipynb"


def is_stale(source: Source, profile: str) -> bool:
    """Whether a notebook's executed copy is missing, or was made from other inputs."""
    notebook = source.read()
    path = executed_path(source, profile)
    if not path.exists():
        return True
    inputs = read_notebook(path).metadata.get("labreport", {}).get("inputs")
    return inputs != fingerprint(notebook, profile)


def fingerprint(notebook: NotebookNode, profile: str) -> dict[str, Any]:
    """What a notebook's outputs depend on; the words of its prose do not belong to it.

    "settings": see `read_settings`. "code": a SHA-256 of the code cells, of the
    expressions in the prose, of what the cells import (`find_imported`), directly or
    through others, and of the results of the studies that the code mentions
    (`find_named_results`). "files": a SHA-256 of each file of the report that the
    cells, or modules beside them, name (`find_named`).
    """
    digest = hashlib.sha256()
    code = [cell.source for cell in code_cells(notebook)]
    # A Markdown cell without expressions adds nothing: it may come and go.
    evaluated = [part for part in map(_evaluated, notebook.cells) if part]
    digest.update(json.dumps(evaluated).encode())
    named = find_named("'".join(code))
    imported = find_imported(code)
    digest.update(json.dumps(imported.versions, sort_keys=True).encode())
    for path, name in sorted(imported.files.items()):
        content = path.read_text("utf-8", "replace")
        module = read_module(content, name)
        digest.update(name.encode())
        digest.update((module.code if module else content).encode())
        if path.is_relative_to(paths.notebooks()):
            named |= find_named(content)
    for path in find_named_results(code):
        digest.update(path.name.encode() + path.read_bytes())
    files = {}
    for path in named:
        files[path.relative_to(paths.project()).as_posix()] = hash_file(path)
    return {
        "settings": read_settings(profile),
        "code": digest.hexdigest(),
        "files": files,
    }


def _evaluated(cell: NotebookNode) -> list[str]:
    """What the kernel gets of a cell: code, or the expressions in its prose."""
    if cell.cell_type == "code":
        return ["code", cell.source]
    return [*find_placeholders(cell.source), *find_claims(cell.source)]


def read_settings(profile: str) -> dict[str, Any]:
    """What changes the numbers of a run besides its code: profile, seed, threads, and
    what libraries say.
    """
    settings = {
        "profile": vars(get_profile(profile)),
        "seed": paths.seed(),
        "threads": environment.num_threads(),
        **environment.library_settings(),
    }
    # As the metadata of a notebook have it, where a tuple is a list.
    return json.loads(json.dumps(settings))


def find_named(text: str) -> set[Path]:
    """The files of the report that a text names between quotes or brackets, as seen
    from the notebooks' folder, and all files in the folders that it names.
    """
    folder = paths.notebooks()
    files: set[Path] = set()
    for name in set(re.split(r"[\"'\\()<>]+", unquote(text))):
        path = os.path.normpath(os.path.join(folder, name))
        # os.path takes what is too long for a name for a file that does not exist.
        if not os.path.exists(path):
            continue
        place = Path(path)
        # A dot or two are no name of all notebooks or of the whole report.
        if place.is_relative_to(paths.project()) and not folder.is_relative_to(place):
            files.add(place)
            files.update(place.rglob("*"))
    return {
        file for file in files if file.is_file() and "__pycache__" not in file.parts
    }


def find_named_results(code: Iterable[str]) -> list[Path]:
    """The results of the studies that some code mentions: for "scenes15"
    scenes15-features.npz and others.
    """
    text = "".join(code)
    named = []
    for _, path in sorted(paths.find_results().items()):
        study = re.escape(path.stem.partition("-")[0])
        if re.search(rf"(?<![a-z]){study}(?![a-z])", text):
            named.append(path)
    return named


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
