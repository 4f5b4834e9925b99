"""Typeset the PDF by latexmk, and read from TeX's log what went wrong."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from labreport import LabreportError, expected, first_line
from labreport.report import write_atomically
from labreport.run import Run


def typeset(latex: str, figures: Mapping[str, bytes], run: Run) -> Path:
    """Typeset the PDF of a run by latexmk, in a folder that keeps what the next build
    can use.

    Raises LabreportError, which quotes TeX's first error; the log stays in the folder.
    """
    folder = run.build / run.profile / "tex"
    _lay_out(folder, latex, figures, run)
    command = ["latexmk", "-norc", "-pdf", "-interaction=nonstopmode", "-halt-on-error"]
    command += ["-file-line-error", "report.tex"]
    try:
        process = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace"
        )
    except FileNotFoundError as error:
        raise expected(
            "latexmk",
            "no such program",
            (
                "install TeX Live (Debian: apt-get install latexmk "
                "texlive-latex-extra texlive-fonts-recommended)"
            ),
        ) from error
    if process.returncode:
        for leftover in folder.glob("report.*"):
            if leftover.suffix not in (".tex", ".log"):
                leftover.unlink()
        got = _first_error(folder)
        raise LabreportError(f"expected TeX to typeset the report, got {got}")
    return folder / "report.pdf"


def _lay_out(folder: Path, latex: str, figures: Mapping[str, bytes], run: Run) -> None:
    """Write the files that TeX reads.

    Another profile's run may have drawn the figures since, so this one's are written
    again. latexmk compares contents itself.
    """
    frames = folder / "frames"
    shutil.rmtree(frames, ignore_errors=True)
    frames.mkdir(parents=True)
    for name, content in figures.items():
        target = run.figures if name.endswith(".pdf") else frames
        write_atomically(target / name, content)
    (folder / "report.tex").write_text(latex, encoding="utf-8")


def _first_error(folder: Path) -> str:
    """Return the first error of TeX, with the line of LaTeX where it stopped."""
    log = folder / "report.log"
    text = _read(log)
    at_line = r"^\./report\.tex:(\d+): (.+(?:\n(?!l\.).+)?)"
    error = re.search(at_line, text, re.MULTILINE)
    if error:
        number, text = error.groups()
        message = first_line(" ".join(text.split()), 120)
        line = first_line(_read(folder / "report.tex").splitlines()[int(number) - 1])
        return f"{message!r} at line {number}, {line!r}; see {log}."
    error = re.search(r"^! (.+)", text, re.MULTILINE)
    if error:
        return f"{error[1]!r}; see {log}."
    return f"an error of latexmk; see {log}."


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
