"""Find out whether an edition is up to date, that is, what it would be if it were
written again.

It is up to date if no chapter is stale, and if a digest of its sources and of its own
files is still the one that was saved beside it. Saved with the digest are the sentences
of the edition that its run contradicts.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypedDict
from urllib.parse import unquote

from labreport import environment, paths
from labreport.editions.sources import find_sources
from labreport.editions.staleness import (
    executed_path,
    find_named,
    hash_file,
)

# The files of each edition below the folder of the build, in the order of writing: the
# PDF last, so that all else is there without TeX.
EDITIONS = {
    "html": ("results.json", "html/*.html"),
    "notebooks": ("results.json", "notebooks/*.ipynb"),
    "pdf": ("results.json", "report.pdf", "environment.txt"),
}


class State(TypedDict):
    """The digest and the sentences that are saved beside an edition."""

    digest: str
    refuted: list[str]


def find_outdated(
    editions: Iterable[str], profile: str, say: Callable[[str], None]
) -> list[str]:
    """Return the editions of which a source or a file changed, if no chapter is
    stale.
    """
    inputs = digest_inputs(profile)
    outdated = []
    for edition in editions:
        if _read_state(edition)["digest"] == _digest_edition(edition, inputs):
            say(f"{edition}: up to date")
        else:
            outdated.append(edition)
    return outdated


def save_state(edition: str, inputs: str, refuted: list[str]) -> None:
    """Save that an edition was just written from these inputs (see `digest_inputs`),
    and its refuted sentences.
    """
    state = State(digest=_digest_edition(edition, inputs), refuted=refuted)
    content = json.dumps(state, indent=1, ensure_ascii=False)
    paths.write_atomically(_state_file(edition), content.encode())


def read_refuted(editions: Iterable[str]) -> list[str]:
    """Return a line for each sentence of these editions that their run contradicts."""
    lines: dict[str, None] = {}  # in order, each once
    for edition in editions:
        lines |= dict.fromkeys(_read_state(edition)["refuted"])
    return list(lines)


def digest_inputs(profile: str) -> str:
    """Compute a SHA-256 of what all editions are written from, if no chapter is stale.

    These are the notebooks, their executed copies and the pictures that the prose
    names, report.toml, the bibliography, what is shown beside numbers, this package and
    the versions of all that is installed. The names of the committed reading copies
    count too, since pages link to them.
    """
    files = list(paths.PACKAGE.rglob("*"))
    files.append(paths.project() / paths.MARK)
    files.append(paths.report() / "references.bib")
    files.append(paths.report() / "results.json")
    files.append(paths.results() / "variants.json")
    for source in find_sources():
        files.append(source.path)
        files.append(executed_path(source, profile))
        for cell in source.read().cells:
            if cell.cell_type == "markdown":
                # Targets of links and pictures, of Markdown and of HTML.
                files += find_named(re.split("[\"'()<>]+", unquote(cell.source)))
    copies = (paths.report() / "notebooks").glob("*.ipynb")
    names = sorted(path.name for path in copies)
    return _digest(files, json.dumps([names, environment.installed_versions()]))


def _digest_edition(edition: str, inputs: str) -> str:
    written: list[Path] = []
    for pattern in EDITIONS[edition]:
        written += paths.build().glob(pattern)
    if edition == "pdf":
        written += paths.figures().glob("*.pdf")
    return _digest(written, inputs)


def _digest(files: Iterable[Path], start: str) -> str:
    """Compute a SHA-256 of a text and of the paths and contents of these files."""
    digest = hashlib.sha256(start.encode())
    for path in sorted(set(files)):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path}{hash_file(path)}".encode())
    return digest.hexdigest()


def _read_state(edition: str) -> State:
    """Read what `save_state` saved; an empty state if nothing was."""
    try:
        return json.loads(_state_file(edition).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return State(digest="", refuted=[])


def _state_file(edition: str) -> Path:
    return paths.build() / f"{edition}.json"
