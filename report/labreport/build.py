"""Build editions: read the report, run the stale chapters, convert and typeset them,
and only then replace the last good files.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import nbformat

from labreport import LabreportError, environment, located
from labreport.document import Document, read_documents
from labreport.pandoc import Node
from labreport.record import digest, is_stale
from labreport.report import Source, write_atomically
from labreport.run import Run, Say, find_parameters, run_notebooks

# The files of each edition below the folder of the build, in the order of writing: the
# PDF last, so that all else is there without TeX.
EDITIONS = {
    "html": ("results.json", "html/*.html"),
    "notebooks": ("results.json", "notebooks/*.ipynb"),
    "pdf": ("results.json", "report.pdf", "environment.txt"),
}


class MistakesError(LabreportError):
    """The mistakes in notebooks that are seen without running them, a line each."""


def read_report(
    sources: Sequence[Source], run: Run
) -> tuple[list[Document], dict[str, Node]]:
    """Read all chapters and the bibliography.

    Raises MistakesError for whatever a build would stop at.
    """
    run.report.title_page()
    documents, works = read_documents(sources, run.report.bibliography)
    mistakes: list[str] = []
    for document in documents:
        mistakes += document.mistakes
        try:
            with located(f"{document.source.name}, cell 2"):
                find_parameters(document.source.notebook)
        except LabreportError as error:
            mistakes.append(str(error))
    if mistakes:
        raise MistakesError("\n".join(mistakes))
    return documents, works


def find_stale(documents: Iterable[Document], run: Run) -> list[Source]:
    """Return those of the chapters that have to run again."""
    settings = run.settings
    stale: list[Source] = []
    for document in documents:
        executed = run.executed(document.source.name)
        if is_stale(document, executed, run.report, settings):
            stale.append(document.source)
    return stale


def build(editions: Sequence[str], run: Run, say: Say) -> None:
    """Write these editions (html, notebooks, pdf) of all chapters, and results.json.

    The stale chapters run first. Raises LabreportError for a mistake; the last good
    edition stays.
    """
    sources = run.report.sources()
    documents, works = read_report(sources, run)
    stale = find_stale(documents, run)
    inputs = _digest_inputs(sources, run)
    for source in sources:
        if source not in stale:
            say(f"{source.name}: up to date")
    if stale:
        say(f"Notebooks to run ({run.profile}): {len(stale)} of {len(sources)}")
        run_notebooks(stale, run, say)
        inputs = _digest_inputs(sources, run)
    outdated = [each for each in editions if not _is_written(each, run, inputs)]
    if not outdated:
        say(f"{', '.join(editions)}: up to date")
        return
    # Slow to import, and not needed where all is up to date.
    from labreport.contents import collect

    contents = collect(run, documents, works)
    results = json.dumps(
        contents.results, indent=1, ensure_ascii=False, allow_nan=False
    )
    write_atomically(run.build / "results.json", f"{results}\n".encode())
    for edition in outdated:
        WRITERS[edition](contents, say)
        saved = run.build / f"{edition}.sha256"
        write_atomically(saved, _digest_edition(edition, run, inputs).encode())


def _write_pdf(contents, say: Say) -> None:
    """Write report/build/report.pdf, and beside it environment.txt, which lists every
    installed version.

    Raises LabreportError if TeX fails; both then stay as they were.
    """
    from labreport.latex import make_document
    from labreport.typeset import find_overflows, typeset

    latex, figures = make_document(contents)
    say("Typesetting")
    run = contents.run
    pdf = typeset(latex, figures, run)
    report = run.build / "report.pdf"
    content = pdf.read_bytes()
    write_atomically(report, content)
    versions = "".join(f"{version}\n" for version in environment.installed_versions())
    write_atomically(run.build / "environment.txt", versions.encode())
    say(f"Wrote {report} ({len(content) / 1e6:.1f} MB)")
    for complaint in find_overflows(pdf.parent):
        say(complaint)


def _write_html(contents, say: Say) -> None:
    from labreport.html import make_pages

    _replace(contents.run.build / "html", make_pages(contents), say)


def _write_copies(contents, say: Say) -> None:
    from labreport.copies import make_copies

    texts: dict[str, str] = {}
    for name, copy in make_copies(contents).items():
        texts[name] = nbformat.writes(copy)
    _replace(contents.run.build / "notebooks", texts, say)


WRITERS: dict[str, Callable] = {
    "html": _write_html,
    "notebooks": _write_copies,
    "pdf": _write_pdf,
}


def _replace(folder: Path, files: dict[str, str], say: Say) -> None:
    """Write an edition's files, and delete those of chapters that no longer exist."""
    written = [
        write_atomically(folder / name, content.encode())
        for name, content in files.items()
    ]
    for path in folder.glob(f"*{written[0].suffix}"):
        if path not in written:
            path.unlink()
    size = sum(path.stat().st_size for path in written) / 1e6
    say(f"Wrote {written[0]} ({len(files)} files, {size:.1f} MB)")


def _digest_inputs(sources: Iterable[Source], run: Run) -> str:
    """Compute a SHA-256 of what all editions are written from, if no chapter is stale:
    notebooks as they were read, their executed copies and the pictures of their prose,
    report.toml, the bibliography, this package, and all versions that are installed.
    """
    package = Path(__file__).parent
    report = run.report
    parts = environment.installed_versions()
    files = [*package.rglob("*.*"), report.bibliography, report.folder / "report.toml"]
    for source in sources:
        parts.append(nbformat.writes(source.notebook))
        files.append(run.executed(source.name))
        for kind in ("png", "jpg", "jpeg"):
            files += report.notebooks.rglob(f"*.{kind}")
    return _digest(files, "\n".join(parts))


def _is_written(edition: str, run: Run, inputs: str) -> bool:
    saved = run.build / f"{edition}.sha256"
    return saved.is_file() and saved.read_text() == _digest_edition(
        edition, run, inputs
    )


def _digest_edition(edition: str, run: Run, inputs: str) -> str:
    written: list[Path] = []
    for pattern in EDITIONS[edition]:
        written += run.build.glob(pattern)
    return _digest(written, inputs)


def _digest(files: Iterable[Path], start: str) -> str:
    """Compute a SHA-256 of a text and of the paths and contents of these files."""
    found = hashlib.sha256(start.encode())
    for path in sorted(set(files)):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(f"{path}{digest(path)}".encode())
    return found.hexdigest()
