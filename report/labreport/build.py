"""Build editions: read the report, run the stale chapters, convert and typeset them,
and only then replace the last good files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from labreport import LabreportError, environment
from labreport.document import Document, read_documents
from labreport.pandoc import Node
from labreport.record import digest, is_stale
from labreport.report import Source, read_notebook, write_atomically
from labreport.run import Run, Say, run_notebooks

if TYPE_CHECKING:
    from labreport.contents import Contents


# What shows that an edition was written.
MADE = {"html": "html/index.html", "notebooks": "notebooks", "pdf": "report.pdf"}


def read_report(
    sources: Sequence[Source], run: Run
) -> tuple[list[Document], dict[str, Node]]:
    """Read all chapters and the bibliography.

    Raises LabreportError with all that a build would stop at, a line each.
    """
    run.report.title_page()
    documents, works = read_documents(sources, run.report.bibliography)
    mistakes: list[str] = []
    for document in documents:
        mistakes += document.mistakes
    if mistakes:
        raise LabreportError("\n".join(mistakes))
    return documents, works


def find_stale(documents: Iterable[Document], run: Run) -> list[Source]:
    """Return those of the chapters that have to run again."""
    # As the metadata of a notebook have them.
    settings = json.loads(json.dumps(run.settings))
    stale: list[Source] = []
    for document in documents:
        file = run.executed(document.source.name)
        executed = read_notebook(file) if file.exists() else None
        if not executed or is_stale(document, executed, run.report, settings):
            stale.append(document.source)
    return stale


def build(editions: Sequence[str], run: Run, say: Say) -> list[str]:
    """Write these editions (html, notebooks, pdf) of all chapters, and results.json.

    The stale chapters run first. Returns the sentences that the run contradicts, which
    are said before an edition can fail. Raises LabreportError for a mistake; the last
    good edition stays.
    """
    sources = run.report.sources()
    documents, works = read_report(sources, run)
    stale = find_stale(documents, run)
    for source in sources:
        if source not in stale:
            say(f"{source.name}: up to date")
    if stale:
        say(f"Notebooks to run ({run.profile}): {len(stale)} of {len(sources)}")
        run_notebooks(stale, run, say)
    inputs = _digest_inputs(sources, run)
    outdated: list[str] = []
    for edition in editions:
        saved = run.build / f"{edition}.sha256"
        is_there = (run.build / MADE[edition]).exists()
        if is_there and saved.is_file() and saved.read_text() == inputs:
            say(f"{edition}: up to date")
        else:
            outdated.append(edition)
    # Another profile may have written the results since.
    made = run.build / "results.sha256"
    if not outdated and made.is_file() and made.read_text() == inputs:
        return _list_refuted(run, say)
    # Slow to import, and not needed where all is up to date.
    from labreport.contents import collect

    contents = collect(run, documents, works)
    results = json.dumps(contents.results, indent=1, ensure_ascii=False)
    write_atomically(run.build / "results.json", f"{results}\n".encode())
    write_atomically(made, inputs.encode())
    refuted = _list_refuted(run, say)
    for edition in outdated:
        WRITERS[edition](contents, say)
        write_atomically(run.build / f"{edition}.sha256", inputs.encode())
    return refuted


def _list_refuted(run: Run, say: Say) -> list[str]:
    refuted = json.loads((run.build / "results.json").read_bytes())["refuted"]
    if refuted:
        say("Sentences that do not hold in this run, and are marked in the text:")
    for line in refuted:
        say(f"  {line}")
    return refuted


def _digest_inputs(sources: Iterable[Source], run: Run) -> str:
    """Compute a SHA-256 of what all editions are written from, if no chapter is stale:
    notebooks as they were read, their executed copies, pictures beside them,
    report.toml, the bibliography, this package, and all versions that are installed.
    """
    report = run.report
    parts = environment.installed_versions()
    files = [report.bibliography, report.folder / "report.toml"]
    files += Path(__file__).parent.rglob("*.*")
    files += report.notebooks.rglob("*.[jp][pn]*g")
    for source in sources:
        parts.append(nbformat.writes(source.notebook))
        files.append(run.executed(source.name))
    for path in sorted(files):
        if path.is_file() and path.suffix != ".pyc":
            parts.append(f"{path} {digest(path)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _write_pdf(contents: Contents, say: Say) -> None:
    """Write report/build/report.pdf, and beside it environment.txt, which lists every
    installed version.

    Raises LabreportError if TeX fails; both then stay as they were.
    """
    from labreport.latex import make_document
    from labreport.typeset import typeset

    latex, figures = make_document(contents)
    say("Typesetting")
    run = contents.run
    content = typeset(latex, figures, run).read_bytes()
    report = write_atomically(run.build / "report.pdf", content)
    versions = "\n".join(environment.installed_versions())
    write_atomically(run.build / "environment.txt", f"{versions}\n".encode())
    say(f"Wrote {report} ({len(content) / 1e6:.1f} MB)")


def _write_html(contents: Contents, say: Say) -> None:
    from labreport.html import make_pages

    _replace(contents.run.build / "html", make_pages(contents), say)


def _write_copies(contents: Contents, say: Say) -> None:
    from labreport.copies import make_copies

    texts: dict[str, str] = {}
    for name, copy in make_copies(contents).items():
        texts[name] = nbformat.writes(copy)
    _replace(contents.run.build / "notebooks", texts, say)


# In the order of writing: the PDF last, so that all else is there without TeX.
WRITERS: dict[str, Callable[[Contents, Say], None]] = {
    "html": _write_html,
    "notebooks": _write_copies,
    "pdf": _write_pdf,
}


def _replace(folder: Path, files: Mapping[str, str], say: Say) -> None:
    """Write an edition's files, and delete those of chapters that no longer exist."""
    for path in folder.glob("*.*"):
        if path.name not in files:
            path.unlink()
    for name, content in files.items():
        write_atomically(folder / name, content.encode())
    size = sum(map(len, files.values())) / 1e6
    say(f"Wrote {folder} ({len(files)} files, {size:.1f} MB)")
