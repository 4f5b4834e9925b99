"""Typeset the PDF by latexmk, and read from TeX's log what went wrong."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from labreport import LabreportError, expected, first_line, paths
from labreport.runs import Run

_UNKNOWN = re.compile(r"Unicode character.*\(U\+(\w+)\)")


class UnknownCharacterError(LabreportError):
    """TeX stopped at a character that its fonts lack."""

    def __init__(self, sentence: str, character: str) -> None:
        super().__init__(sentence)
        self.character = character


def typeset(latex: str, figures: Mapping[str, bytes], run: Run) -> Path:
    """Typeset the PDF of a run by latexmk, in a folder that keeps what the next build
    can use.

    If `figures` contains fonts.tex, LuaLaTeX does it. Raises LabreportError, which
    quotes TeX's first error, or UnknownCharacterError; the log stays in the folder.
    """
    folder = run.tex
    _lay_out(latex, figures, run)
    engine = "-lualatex" if "fonts.tex" in figures else "-pdf"
    command = ["latexmk", "-norc", engine, "-interaction=nonstopmode", "-halt-on-error"]
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
            if leftover.suffix not in (".tex", ".log", ".blg"):
                leftover.unlink()
        raise _read_error(folder)
    return folder / "report.pdf"


def _lay_out(latex: str, figures: Mapping[str, bytes], run: Run) -> None:
    """Write the files that TeX reads.

    Another profile's run may have drawn the figures since, so this one's are written
    again. latexmk compares contents itself.
    """
    frames = run.tex / "frames"
    shutil.rmtree(frames, ignore_errors=True)
    frames.mkdir(parents=True)
    for name, content in figures.items():
        target = run.figures if name.endswith(".pdf") else frames
        paths.write_atomically(target / name, content)
    (run.tex / "report.tex").write_text(latex, encoding="utf-8")
    if (paths.report() / "references.bib").exists():
        shutil.copyfile(paths.report() / "references.bib", run.tex / "references.bib")


def find_overflows(folder: Path) -> list[str]:
    """Read from TeX's log what does not fit.

    These are lines over 5 pt wider than the text, figures and tables taller than a
    page, and characters that the fonts lack.
    """
    log = folder / "report.log"
    text = _read(log)
    overflows: list[str] = []
    for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide", text):
        if float(points) > 5:
            overflows.append(f"a line {points} pt too wide")
    for points in re.findall(r"Float too large for page by ([\d.]+)pt", text):
        overflows.append(f"a figure or table {points} pt taller than the page")
    for sign in re.findall(r"Missing character: There is no (.)", text):
        overflows.append(f"no {sign} in the fonts of formulas")
    complaints = []
    for overflow in dict.fromkeys(overflows):
        remedy = f"change it, see {log}"
        complaints.append(f"expected what fits the page, got {overflow}; {remedy}.")
    return complaints


def _read_error(folder: Path) -> LabreportError:
    """Return the error for what stopped TeX."""
    sentence = f"expected TeX to typeset the report, got {_first_error(folder)}"
    unknown = _UNKNOWN.search(_read(folder / "report.log"))
    if unknown:
        return UnknownCharacterError(sentence, chr(int(unknown[1], 16)))
    return LabreportError(sentence)


def _first_error(folder: Path) -> str:
    """Return the first error of TeX, or of BibTeX, with the line of LaTeX where it
    stopped.
    """
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
    error = re.search(r".*---line \d+ of file .*", _read(log.with_suffix(".blg")))
    if error:
        return f"{error[0]!r} from BibTeX; correct the entry there."
    return f"an error of latexmk; see {log}."


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
