"""Run what is stale, convert (and typeset), and only then replace the last good report
or pages.
"""

import json
import re
from collections.abc import Sequence

import nbformat

from labreport import environment, paths
from labreport.editions import ReportError
from labreport.editions.contents import Contents, collect
from labreport.editions.copies import make_copies
from labreport.editions.current import digest_inputs, save_state
from labreport.editions.execute import Say, last_duration, read_executed, run_notebooks
from labreport.editions.html import make_pages
from labreport.editions.imports import find_imported
from labreport.editions.latex import (
    choose_fonts,
    find_overflows,
    make_document,
    tex_folder,
    typeset,
)
from labreport.editions.sources import Source, code_cells, find_sources, read_title_page
from labreport.editions.staleness import is_stale
from labreport.notebook.outline import read_outline
from labreport.profiles import get_profile


def build(editions: Sequence[str], profile: str, say: Say) -> None:
    """Write these editions (html, notebooks, pdf) of all chapters; a ReportError leaves
    the last good one.
    """
    # Before anything is read: what changes meanwhile makes the next build write again.
    modules = _find_modules()
    inputs = digest_inputs(profile, modules)
    contents = _collect_executed(profile, say)
    for edition in editions:
        if edition == "pdf":
            write_pdf(contents, profile, say)
        elif edition == "html":
            _replace(edition, make_pages(contents, profile), say)
        else:
            copies = make_copies(contents).items()
            _replace(
                edition, {name: nbformat.writes(copy) for name, copy in copies}, say
            )
        save_state(edition, profile, inputs, modules, contents.refuted)


def write_pdf(contents: Contents, profile: str, say: Say) -> None:
    """report/build/report.pdf, with results.json and environment.txt (every installed
    version) beside it.

    A ReportError leaves all three as they were.
    """
    latex, figures = make_document(contents, profile)
    say("Typesetting")
    folder = tex_folder(profile)
    try:
        pdf = typeset(latex, figures, folder)
    except ReportError as error:
        if not (found := re.search(r"Unicode character.*\(U\+(\w+)\)", str(error))):
            raise
        fonts = choose_fonts(latex, chr(int(found[1], 16)), contents).encode()
        pdf = typeset(latex, figures | {"fonts.tex": fonts}, folder)
    report, content = paths.build() / "report.pdf", pdf.read_bytes()
    paths.write_atomically(report, content)
    results = json.dumps(contents.results, indent=1, ensure_ascii=False)
    paths.write_atomically(paths.build() / "results.json", f"{results}\n".encode())
    versions = "".join(f"{version}\n" for version in environment.installed_versions())
    paths.write_atomically(paths.build() / "environment.txt", versions.encode())
    say(f"Wrote {report} ({len(content) / 1e6:.1f} MB)")
    for complaint in find_overflows(pdf.parent):
        say(complaint)


def _replace(edition: str, files: dict[str, str], say: Say) -> None:
    """Write an edition's files, and delete those of chapters that no longer exist."""
    folder, size = paths.build() / edition, sum(map(len, files.values())) / 1e6
    for name, content in files.items():
        written = paths.write_atomically(folder / name, content.encode())
    for path in folder.glob(f"*{written.suffix}"):
        if path.name not in files:
            path.unlink()
    say(f"Wrote {folder / next(iter(files))} ({len(files)} files, {size:.1f} MB)")


def _find_modules() -> list[str]:
    """The files of all modules that chapters import and that are followed by file."""
    code = [
        cell.source for source in find_sources() for cell in code_cells(source.read())
    ]
    return sorted(map(str, find_imported(code).files))


def _collect_executed(profile: str, say: Say) -> Contents:
    """The contents of all chapters, after those that are stale have been run."""
    read_title_page()
    sources = find_sources()
    for source in sources:
        for mistake in read_outline(source.path, source.number).mistakes:
            raise ReportError(mistake)
    stale = [source for source in sources if is_stale(source, profile)]
    for source in sources:
        if source not in stale:
            say(f"{source.name}: up to date")
    if stale:
        say(_expectation(stale, len(sources), profile))
        run_notebooks(stale, profile, say)
    say(f"Converting {len(sources)} notebook{'s'[: len(sources) > 1]}")
    return collect((source, read_executed(source, profile)) for source in sources)


def _expectation(stale: list[Source], number: int, profile: str) -> str:
    """What will be run, in minutes: from the last run; without one, as far as the
    profile says it.
    """
    usual = 60 * getattr(get_profile(profile), "minutes", 0) / number
    seconds = [last_duration(source, profile) or usual for source in stale]
    said = f"{len(stale)} of {number} notebook{'s'[: number > 1]} to run ({profile})"
    if not all(seconds):
        return said
    minutes = max(max(seconds), sum(seconds) / environment.num_processes()) / 60
    return f"{said}: about {max(1, round(minutes))} min"
