"""Build editions: run the stale chapters, convert and typeset them, and only then
replace the last good files.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import nbformat

from labreport import environment, paths
from labreport.editions.contents import Contents, collect
from labreport.editions.copies import make_copies
from labreport.editions.current import digest_inputs, save_digest
from labreport.editions.execute import (
    Say,
    read_executed,
    require_outlines,
    run_notebooks,
)
from labreport.editions.fonts import choose_fonts
from labreport.editions.html import make_pages
from labreport.editions.latex import make_document
from labreport.editions.sources import Source, find_sources, read_title_page
from labreport.editions.typeset import (
    UnknownCharacterError,
    find_overflows,
    typeset,
)
from labreport.runs import Run


def build(editions: Sequence[str], stale: Sequence[Source], run: Run, say: Say) -> None:
    """Run the stale chapters, and write these editions (html, notebooks, pdf) of all,
    and results.json.

    Raises LabreportError for a mistake; the last good edition stays.
    """
    sources = find_sources()
    _run_stale(sources, stale, run, say)
    # Before anything is read: what changes meanwhile makes the next build write again.
    inputs = digest_inputs(run)
    say(f"Notebooks to convert: {len(sources)}")
    executed = [(source, read_executed(source, run)) for source in sources]
    contents = collect(run, executed)
    results = json.dumps(
        contents.results, indent=1, ensure_ascii=False, allow_nan=False
    )
    paths.write_atomically(run.build / "results.json", f"{results}\n".encode())
    for edition in editions:
        if edition == "pdf":
            write_pdf(contents, say)
        elif edition == "html":
            _replace(run.build / edition, make_pages(contents), say)
        else:
            copies = make_copies(contents)
            texts = {name: nbformat.writes(copy) for name, copy in copies.items()}
            _replace(run.build / edition, texts, say)
        save_digest(edition, run, inputs)


def _run_stale(
    sources: Sequence[Source], stale: Sequence[Source], run: Run, say: Say
) -> None:
    """Run the stale chapters.

    Raises LabreportError first if the notebooks contain a mistake that can be seen
    without running them.
    """
    read_title_page()
    require_outlines(sources)
    for source in sources:
        if source not in stale:
            say(f"{source.name}: up to date")
    if stale:
        say(f"Notebooks to run ({run.profile}): {len(stale)} of {len(sources)}")
        run_notebooks(stale, run, say)


def write_pdf(contents: Contents, say: Say) -> None:
    """Write report/build/report.pdf, and beside it environment.txt, which lists every
    installed version.

    Raises LabreportError if TeX fails; both then stay as they were.
    """
    latex, figures = make_document(contents)
    say("Typesetting")
    run = contents.run
    try:
        pdf = typeset(latex, figures, run)
    except UnknownCharacterError as error:
        fonts = choose_fonts(latex, error.character, contents)
        pdf = typeset(latex, figures | {"fonts.tex": fonts.encode()}, run)
    report = run.build / "report.pdf"
    content = pdf.read_bytes()
    paths.write_atomically(report, content)
    versions = "".join(f"{version}\n" for version in environment.installed_versions())
    paths.write_atomically(run.build / "environment.txt", versions.encode())
    say(f"Wrote {report} ({len(content) / 1e6:.1f} MB)")
    for complaint in find_overflows(pdf.parent):
        say(complaint)


def _replace(folder: Path, files: dict[str, str], say: Say) -> None:
    """Write an edition's files, and delete those of chapters that no longer exist."""
    written = [
        paths.write_atomically(folder / name, content.encode())
        for name, content in files.items()
    ]
    for path in folder.glob(f"*{written[0].suffix}"):
        if path not in written:
            path.unlink()
    size = sum(path.stat().st_size for path in written) / 1e6
    say(f"Wrote {written[0]} ({len(files)} files, {size:.1f} MB)")
