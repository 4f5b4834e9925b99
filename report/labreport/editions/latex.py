"""The PDF: each chapter's LaTeX by nbconvert, the whole by the template around them,
and latexmk, which typesets it.
"""

import base64
import os
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl
from jinja2 import FileSystemLoader, StrictUndefined
from matplotlib.font_manager import findSystemFonts
from matplotlib.ft2font import FT2Font
from nbconvert import LatexExporter
from nbconvert.filters.latex import escape_latex
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import LatexFormatter
from pygments.lexer import Lexer
from pygments.lexers import PythonLexer, TextLexer
from pygments.style import Style
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Token

from labreport import paths
from labreport.editions import TEMPLATES, ReportError
from labreport.editions.contents import FLOATS, Contents, colophon, day_of, messages
from labreport.editions.prose import REFUTED, Edition, raw, select_shown, write_prose
from labreport.editions.sources import read_title_page
from labreport.notebook.chapter import MIME
from labreport.notebook.syntax import Node, first_line


class SoberStyle(Style):
    """Code in the report's two colours."""

    styles = {  # noqa: RUF012 (Pygments reads a plain dictionary)
        Token: "#26323a",
        Comment: "italic #7a8790",
        Keyword: "bold #1d4e6b",
        Name.Builtin: "#1d4e6b",
        Name.Decorator: "#1d4e6b",
        Number: "#8a4b1f",
        Operator.Word: "bold #1d4e6b",
        String: "#8a4b1f",
    }


LISTING = LatexFormatter(style=SoberStyle, verboptions="breaklines,breakindentnchars=4")
OPTIONS = ["--natbib", "--wrap=preserve", "--syntax-highlighting=none"]
OPTIONS += ["--top-level-division=chapter"]


def _equation(tex: str, label: str, number: str) -> Node:
    labelled = tex.replace("}", rf"}}\label{{{label}}}", 1) if label else tex
    return raw("latex", labelled)


# pandoc's LaTeX has no data: URL.
_EMBEDDED = re.compile(r"\{(?:data:image/)?(png|jpeg);base64,([\w+/=]+)\}")
LATEX = Edition(
    refer=lambda label, _: raw("latex", rf"\Cref{{{label}}}"),
    equation=_equation,
    heading=lambda number: [],
    refuted=raw("latex", rf"\refuted{{{REFUTED}}}"),
    picture=lambda url: url.removeprefix("data:image/"),
)


def _listing(code: str, lexer: Lexer) -> str:
    """Pygments' LaTeX; a word too long for a line may break at a zero-width space."""
    return highlight(re.sub(r"\S{60}(?=\S)", "\\g<0>\u200b", code), lexer, LISTING)


def _column_types(table: dict[str, Any]) -> str:
    """A letter a column for tabularx; long words get lines of their own."""
    columns = zip(table["align"], *table["rows"], strict=True)
    widest = [(side, max(map(len, cells), default=0)) for side, *cells in columns]
    return "".join(
        "X" if side == "l" and width > 32 else side for side, width in widest
    )


FILTERS = {
    "column_types": _column_types,
    "listing": partial(_listing, lexer=PythonLexer()),
    "plain_listing": partial(_listing, lexer=TextLexer()),
    "tex": lambda value: escape_latex(str(value)),
}


def make_document(contents: Contents, profile: str) -> tuple[str, dict[str, bytes]]:
    """The report's LaTeX, all chapters in its template, and the figures that it
    includes, by file name.

    A ReportError for an unknown number, reference or citation.
    """
    exporter = LatexExporter(
        template_file=str(TEMPLATES / "chapter.tex.j2"),
        default_preprocessors=[],
        filters=FILTERS,
    )
    bodies: list[str] = []
    figures: dict[str, bytes] = {}
    for chapter in contents.chapters:
        notebook = select_shown(
            write_prose(chapter, contents, LATEX, "latex", OPTIONS)[0]
        )
        figures |= _read_figures(notebook, chapter.number)
        resources = {"mime": MIME, "number": chapter.number}
        bodies.append(exporter.from_notebook_node(notebook, resources)[0])
    environment = exporter.environment.overlay(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    latex = environment.get_template("report.tex.j2").render(
        report=read_title_page(),
        bodies=bodies,
        headlines=contents.headlines,
        cited=any(r"\cite" in body for body in bodies),
        chapters=[colophon(chapter) for chapter in contents.chapters],
        figures=Path(os.path.relpath(paths.figures(), tex_folder(profile))).as_posix(),
        claims=sum(len(chapter.claims) for chapter in contents.chapters),
        refuted=contents.refuted,
        highlighting=LISTING.get_style_defs(),
        profile=profile,
        day="{0.day} {0:%B %Y}".format(day_of(contents)),
    )

    def save(found: re.Match[str]) -> str:
        name = f"picture-{len(figures)}.{found[1]}"
        figures[name] = base64.b64decode(found[2])
        return f"{{frames/{name}}}"

    return _EMBEDDED.sub(save, latex), figures


def _read_figures(notebook: NotebookNode, chapter: str) -> dict[str, bytes]:
    """The PDFs of a chapter's figures, by the names that its TeX has."""
    shown = chain.from_iterable(messages(notebook, kind) for kind in FLOATS)
    found = {message["name"]: message["pdf"] for message in shown if "pdf" in message}
    return {
        f"{chapter}-{name}.pdf": base64.b64decode(pdf) for name, pdf in found.items()
    }


def tex_folder(profile: str) -> Path:
    """Where TeX runs for that profile."""
    return paths.build() / profile / "tex"


def typeset(latex: str, figures: Mapping[str, bytes], folder: Path) -> Path:
    """The PDF that latexmk makes in `folder`, which keeps what the next build can use
    again.

    It is LuaLaTeX's where `figures` has fonts.tex. A ReportError quotes TeX's first
    error; the log stays in the folder.
    """
    _lay_out(latex, figures, folder)
    engine = "-lualatex" if "fonts.tex" in figures else "-pdf"
    command = ["latexmk", "-norc", engine, "-interaction=nonstopmode", "-halt-on-error"]
    command += ["-file-line-error", "report.tex"]
    try:
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace"
        )
    except FileNotFoundError as error:
        remedy = "apt-get install latexmk texlive-latex-extra texlive-fonts-recommended"
        got = f"no such program; install TeX Live (Debian: {remedy})"
        raise ReportError(f"expected latexmk, got {got}.") from error
    if run.returncode:
        for leftover in folder.glob("report.*"):
            if leftover.suffix not in (".tex", ".log", ".blg"):
                leftover.unlink()
        raise ReportError(
            f"expected TeX to typeset the report, got {_first_error(folder)}"
        )
    return folder / "report.pdf"


def choose_fonts(latex: str, unknown: str, contents: Contents) -> str:
    """TeX that gives LuaLaTeX DejaVu, which comes with Matplotlib, and behind it what
    else the document needs.

    unknown: a character that pdfTeX has not. A ReportError names the cell of one that
    no font here can print.
    """
    folder, fonts = Path(mpl.get_data_path(), "fonts", "ttf").as_posix(), []
    missing, got, packages = {unknown}, "no LuaLaTeX", "texlive-luatex"
    if subprocess.run(["kpsewhich", "luaotfload.sty"], capture_output=True).stdout:
        got = "no font that has it, from left to right"
        packages = "fonts-noto-core fonts-noto-cjk fonts-noto-color-emoji"
        bibliography = paths.report() / "references.bib"
        text = latex + (
            bibliography.read_text(encoding="utf-8") if bibliography.exists() else ""
        )
        known = re.findall(r"\\newunicodechar\{(.)", text)
        missing = set(re.findall(r"[^\x00-\x7f]", text)) - set(known)
        own = [f"{folder}/DejaVuSerif.ttf", f"{folder}/DejaVuSans.ttf"]
        for path in [*own, *sorted(findSystemFonts())]:
            if missing and (found := missing & _characters(path)):
                fonts.append(f'"[{path}]:mode=harf;"')
                missing -= found
    if missing:
        sign = min(missing)
        wanted = f"what prints {sign} (U+{ord(sign):04X}) in a PDF"
        remedy = (
            f"install it (Debian: apt-get install {packages}), or write another sign"
        )
        raise ReportError(
            f"{_find(sign, contents)}: expected {wanted}, got {got}; {remedy}."
        )
    template = (TEMPLATES / "fonts.tex").read_text(encoding="utf-8")
    return template.replace("FOLDER", f"{folder}/").replace("OTHERS", ", ".join(fonts))


def _characters(path: str) -> set[str]:
    """What a font has of scripts that are written from left to right."""
    with suppress(RuntimeError, OSError):  # no font that Matplotlib can read
        signs = map(chr, FT2Font(path).get_charmap())
        return {
            sign for sign in signs if unicodedata.bidirectional(sign) not in ("R", "AL")
        }
    return set()


def _find(sign: str, contents: Contents) -> str:
    for chapter in contents.chapters:
        for place, cell in enumerate(chapter.notebook.cells, start=1):
            if sign in str(cell):
                return f"{chapter.name}, cell {place}"
    return "report.toml or references.bib"


def _lay_out(latex: str, figures: Mapping[str, bytes], folder: Path) -> None:
    """Write what TeX reads; latexmk compares contents itself.

    Figures lie in `paths.figures`; where another profile's run has drawn them since,
    this report's return.
    """
    frames = folder / "frames"
    shutil.rmtree(frames, ignore_errors=True)
    frames.mkdir(parents=True)
    for name, content in figures.items():
        place = paths.figures() if name.endswith(".pdf") else frames
        paths.write_atomically(place / name, content)
    (folder / "report.tex").write_text(latex, encoding="utf-8")
    if (paths.report() / "references.bib").exists():
        shutil.copyfile(paths.report() / "references.bib", folder / "references.bib")


def find_overflows(folder: Path) -> list[str]:
    """What TeX's log says of lines over 5 pt wider than the text, of what is taller
    than a page, and of lost signs.
    """
    log = folder / "report.log"
    text = _read(log)
    wide = re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide", text)
    tall = re.findall(r"Float too large for page by ([\d.]+)pt", text)
    lost = re.findall(r"Missing character: There is no (.)", text)
    got = [f"a line {points} pt too wide" for points in wide if float(points) > 5]
    got += [f"a figure or table {points} pt taller than the page" for points in tall]
    got += [f"no {sign} in the fonts of formulas" for sign in lost]
    unique = dict.fromkeys(got)
    return [
        f"expected what fits the page, got {what}; change it, see {log}."
        for what in unique
    ]


def _first_error(folder: Path) -> str:
    """TeX's (or BibTeX's) first error with the line of LaTeX that it stopped at."""
    log = folder / "report.log"
    text = _read(log)
    if found := re.search(
        r"^\./report\.tex:(\d+): (.+(?:\n(?!l\.).+)?)", text, re.MULTILINE
    ):
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
