"""From LaTeX to PDF: latexmk in its own folder, and its errors in one sentence."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dlapps.core import paths
from dlapps.notebook.syntax import first_line
from dlapps.report import ReportError


def typeset(latex: str, figures: Mapping[str, bytes], folder: Path) -> Path:
    """The PDF that latexmk makes in `folder`, which keeps what the next build can use again.

    A ReportError quotes TeX's first error; the log stays in the folder.
    """
    _lay_out(latex, figures, folder)
    command = ["latexmk", "-norc", "-pdf", "-interaction=nonstopmode", "-halt-on-error"]
    command += ["-file-line-error", "report.tex"]
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    except FileNotFoundError as error:
        raise ReportError(
            "expected latexmk, got no such program; install TeX Live (Debian: apt-get install latexmk "
            "texlive-latex-extra texlive-fonts-recommended)."
        ) from error
    if run.returncode:
        for leftover in folder.glob("report.*"):
            if leftover.suffix not in (".tex", ".log", ".blg"):
                leftover.unlink()
        raise ReportError(f"expected TeX to typeset the report, got {_first_error(folder)}")
    return folder / "report.pdf"


def _lay_out(latex: str, figures: Mapping[str, bytes], folder: Path) -> None:
    """Write what TeX reads; latexmk compares contents itself.

    Figures lie in the project's figures/; where another profile's run has drawn them since, this report's return.
    """
    frames = folder / "frames"
    shutil.rmtree(frames, ignore_errors=True)
    frames.mkdir(parents=True)
    for name, content in figures.items():
        paths.write_atomically((paths.figures() if name.endswith(".pdf") else frames) / name, content)
    (folder / "report.tex").write_text(latex, encoding="utf-8")
    if (paths.report() / "references.bib").exists():
        shutil.copyfile(paths.report() / "references.bib", folder / "references.bib")


def find_overflows(folder: Path) -> list[str]:
    """What TeX's log says of lines over 5 pt wider than the text, and of figures and tables taller than a page."""
    log = folder / "report.log"
    found = re.findall(r"Overfull \\hbox \(([\d.]+)pt (too wide)|Float (too large) for page by ([\d.]+)pt", _read(log))
    wide = [f"a line {points} pt too wide" for points, is_wide, *_ in found if is_wide and float(points) > 5]
    tall = [f"a figure or table {points} pt taller than the page" for *_, is_tall, points in found if is_tall]
    return [f"expected what fits the page, got {what}; make it smaller, see {log}." for what in (*wide, *tall)]


def _first_error(folder: Path) -> str:
    """TeX's (or BibTeX's) first error with the line of LaTeX that it stopped at."""
    log = folder / "report.log"
    text = _read(log)
    if found := re.search(r"^\./report\.tex:(\d+): (.+(?:\n(?!l\.).+)?)", text, re.MULTILINE):
        line = _read(folder / "report.tex").splitlines()[int(found[1]) - 1]
        message = " ".join(found[2].split())
        return f"{first_line(message, 120)!r} at line {found[1]}, {first_line(line)!r}; see {log}."
    if found := re.search(r"^! (.+)", text, re.MULTILINE):
        return f"{found[1]!r}; see {log}."
    if found := re.search(r".*---line \d+ of file .*", _read(log.with_suffix(".blg"))):
        return f"{found[0]!r} from BibTeX; correct the entry there."
    return f"an error of latexmk; see {log}."


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
