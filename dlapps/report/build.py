"""The whole way: run what is stale, convert (and typeset), and only then replace the last good report or pages."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from dlapps import paths
from dlapps.report.contents import Contents, collect
from dlapps.report.document import make_document
from dlapps.report.execute import execute, is_stale, read_executed
from dlapps.report.html import make_pages
from dlapps.report.sources import Source, find_sources
from dlapps.report.tex import typeset


def run_notebooks(sources: Iterable[Source], profile: str, say: Callable[[str], None]) -> None:
    """Execute these notebooks, stale or not."""
    for source in sources:
        say(f"{source.name}: running its cells ({profile})")
        execute(source, profile)


def build_report(profile: str, say: Callable[[str], None]) -> Path:
    """report/build/dlapps-report.pdf, with results.json beside it; a ReportError leaves both as they were."""
    contents = _collect_executed(profile, say)
    document = make_document(contents, profile)
    say("Typesetting")
    pdf = typeset(document, paths.build() / profile / "tex")
    report = paths.build() / "dlapps-report.pdf"
    _replace(report, pdf.read_bytes())
    _replace(paths.build() / "results.json", _results(contents))
    say(f"Wrote {report} ({_count_pages(pdf)} pages)")
    return report


def build_html(profile: str, say: Callable[[str], None]) -> Path:
    """report/build/html/index.html and a page a chapter; a ReportError leaves all of them as they were."""
    pages = make_pages(_collect_executed(profile, say), profile)
    folder = paths.build() / "html"
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in pages.items():
        _replace(folder / name, page.encode())
    for path in folder.glob("*.html"):
        if path.name not in pages:
            path.unlink()
    say(f"Wrote {folder / 'index.html'} ({len(pages)} pages, {sum(map(len, pages.values())) / 1e6:.1f} MB)")
    return folder / "index.html"


def _collect_executed(profile: str, say: Callable[[str], None]) -> Contents:
    """What all the chapters told, after those that are stale have been run."""
    sources = find_sources()
    for source in sources:
        if is_stale(source, profile):
            run_notebooks([source], profile, say)
        else:
            say(f"{source.name}: up to date")
    say(f"Converting {len(sources)} notebook{'s'[: len(sources) > 1]}")
    return collect((source, read_executed(source, profile)) for source in sources)


def _results(contents: Contents) -> bytes:
    return (json.dumps(contents.numbers, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _count_pages(pdf: Path) -> str:
    log = pdf.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"Output written on report\.pdf \((\d+) page", log)
    return found[1] if found else "?"
