"""Find out whether an edition is up to date, that is, what it would be if it were
written again.

It is up to date if no chapter is stale, and if a digest of its sources and of its own
files is still the one that was saved beside it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

from labreport import environment, paths
from labreport.editions.sources import find_sources
from labreport.editions.staleness import find_named, hash_file
from labreport.runs import Run

# The files of each edition below the folder of the build, in the order of writing: the
# PDF last, so that all else is there without TeX.
EDITIONS = {
    "html": ("results.json", "html/*.html"),
    "notebooks": ("results.json", "notebooks/*.ipynb"),
    "pdf": ("results.json", "report.pdf", "environment.txt"),
}


def find_outdated(
    editions: Iterable[str], run: Run, say: Callable[[str], None]
) -> list[str]:
    """Return the editions of which a source or a file changed, if no chapter is
    stale.
    """
    inputs = digest_inputs(run)
    outdated = []
    for edition in editions:
        saved = run.build / f"{edition}.sha256"
        digest = _digest_edition(edition, run, inputs)
        if saved.is_file() and saved.read_text() == digest:
            say(f"{edition}: up to date")
        else:
            outdated.append(edition)
    return outdated


def save_digest(edition: str, run: Run, inputs: str) -> None:
    """Save that an edition was just written from these inputs (see `digest_inputs`)."""
    digest = _digest_edition(edition, run, inputs)
    paths.write_atomically(run.build / f"{edition}.sha256", digest.encode())


def digest_inputs(run: Run) -> str:
    """Compute a SHA-256 of what all editions are written from, if no chapter is stale.

    These are the notebooks, their executed copies and the pictures that the prose
    names, report.toml, the bibliography, what is shown beside numbers, this package and
    the versions of all that is installed. The names of the committed reading copies
    count too, since pages link to them.
    """
    files = [
        *paths.PACKAGE.rglob("*"),
        paths.project() / paths.MARK,
        paths.report() / "references.bib",
        paths.report() / "results.json",
        paths.results() / "variants.json",
    ]
    for source in find_sources():
        files += [source.path, run.executed(source.name)]
        for cell in source.read().cells:
            if cell.cell_type == "markdown":
                # Targets of links and pictures, of Markdown and of HTML.
                files += find_named(re.split("[\"'()<>]+", unquote(cell.source)))
    copies = (paths.report() / "notebooks").glob("*.ipynb")
    names = sorted(path.name for path in copies)
    return _digest(files, json.dumps([names, environment.installed_versions()]))


def _digest_edition(edition: str, run: Run, inputs: str) -> str:
    written: list[Path] = []
    for pattern in EDITIONS[edition]:
        written += run.build.glob(pattern)
    if edition == "pdf":
        written += run.figures.glob("*.pdf")
    return _digest(written, inputs)


def _digest(files: Iterable[Path], start: str) -> str:
    """Compute a SHA-256 of a text and of the paths and contents of these files."""
    digest = hashlib.sha256(start.encode())
    for path in sorted(set(files)):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path}{hash_file(path)}".encode())
    return digest.hexdigest()
