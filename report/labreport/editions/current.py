"""Whether an edition is what it would be if it were written again: a digest of all it
depends on, saved beside it.

Saved with the digest is which sentences of the edition its run contradicts.

A second build of what did not change imports this module alone, so it imports little.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from labreport import environment, paths
from labreport.profiles import get_profile

# The files of each edition below the folder of the build, in the order of writing: the
# PDF last, so that all else is there without TeX.
EDITIONS = {
    "html": ("html/*.html",),
    "notebooks": ("notebooks/*.ipynb",),
    "pdf": ("report.pdf", "results.json", "environment.txt"),
}


def find_outdated(
    editions: Iterable[str], profile: str, say: Callable[[str], None]
) -> list[str]:
    """The editions whose inputs or files changed since they were written."""
    outdated = []
    for edition in editions:
        state = _read_state(edition)
        inputs = digest_inputs(profile, state["modules"])
        if state["digest"] == _digest_edition(edition, profile, inputs):
            say(f"{edition}: up to date")
        else:
            outdated.append(edition)
    return outdated


def save_state(
    edition: str,
    profile: str,
    inputs: str,
    modules: Sequence[str],
    refuted: Sequence[str],
) -> None:
    """Save that an edition was just written from these inputs (see `digest_inputs`),
    and its refuted sentences.
    """
    digest = _digest_edition(edition, profile, inputs)
    state = {"digest": digest, "modules": list(modules), "refuted": list(refuted)}
    paths.write_atomically(
        _state_file(edition), json.dumps(state, indent=1, ensure_ascii=False).encode()
    )


def read_refuted(editions: Iterable[str]) -> list[str]:
    """A line for each sentence of these editions that the run contradicts from which
    they were written.
    """
    lines = (line for edition in editions for line in _read_state(edition)["refuted"])
    return list(dict.fromkeys(lines))


def digest_inputs(profile: str, modules: Iterable[str]) -> str:
    """What all editions are made from, the outputs of the notebooks' runs left out, as
    a SHA-256.

    That is the notebooks with their modules and the files that these name, report.toml,
    the bibliography, the results, the settings of the run (`read_settings`), this
    package and all that is installed; of the committed reading copies, to which pages
    link, the names. modules: the files of the modules that notebooks import and may be
    edited.
    """
    engine = (
        path for path in paths.PACKAGE.rglob("*") if "__pycache__" not in path.parts
    )
    notebooks, beside = (
        paths.notebooks().glob("*.ipynb"),
        paths.notebooks().rglob("*.py"),
    )
    own = {
        paths.project() / paths.MARK,
        paths.report() / "references.bib",
        *notebooks,
        *beside,
    }
    texts = [path.read_text("utf-8", "replace") for path in own if path.is_file()]
    own |= find_named("'".join(texts))
    copies = sorted(
        path.name for path in (paths.report() / "notebooks").glob("*.ipynb")
    )
    facts = [read_settings(profile), copies, environment.installed_versions()]
    files = [*engine, *map(Path, modules), *own, *paths.find_results().values()]
    return _digest(files, json.dumps(facts))


def read_settings(profile: str) -> dict[str, Any]:
    """What changes the numbers of a run besides its code: profile, seed, threads, and
    what libraries say.
    """
    own = {
        "profile": vars(get_profile(profile)),
        "seed": paths.seed(),
        "threads": environment.num_threads(),
    }
    # As a notebook's metadata have it: a tuple is a list there.
    return json.loads(json.dumps(own | environment.library_settings()))


def find_named(text: str) -> set[Path]:
    """The files of the report that a text names between quotes or brackets, from the
    notebooks' folder, or a folder.
    """
    folder, found = paths.notebooks(), set()
    # os.path takes what is too long, or no name at all, for a file that does not exist.
    pieces = {
        os.path.join(folder, piece)
        for piece in re.split(r"[\"'\\()<>]+", unquote(text))
    }
    for path in map(Path, map(os.path.normpath, filter(os.path.exists, pieces))):
        if path.is_relative_to(paths.project()) and not folder.is_relative_to(path):
            found |= {path, *path.rglob("*")}
    return {
        path for path in found if path.is_file() and "__pycache__" not in path.parts
    }


def _digest_edition(edition: str, profile: str, inputs: str) -> str:
    written = [
        path for pattern in EDITIONS[edition] for path in paths.build().glob(pattern)
    ]
    if edition == "pdf":
        written += paths.figures().glob("*.pdf")
    return _digest([*(paths.build() / profile).glob("*.ipynb"), *written], inputs)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(files: Iterable[Path], begin: str) -> str:
    digest = hashlib.sha256(begin.encode())
    for path in sorted(set(files)):
        if path.is_file():
            digest.update(f"{path}{hash_file(path)}".encode())
    return digest.hexdigest()


def _read_state(edition: str) -> dict[str, Any]:
    """What `save_state` saved, or that nothing was."""
    try:
        return json.loads(_state_file(edition).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"digest": "", "modules": [], "refuted": []}


def _state_file(edition: str) -> Path:
    return paths.build() / f"{edition}.json"
