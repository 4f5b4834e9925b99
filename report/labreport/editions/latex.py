"""Write the PDF: nbconvert writes each chapter's LaTeX, a template the whole document,
and latexmk typesets it.
"""

import base64
import os
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Mapping
from functools import partial
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

from labreport import LabreportError, expected, paths
from labreport.editions import TEMPLATES
from labreport.editions.contents import Contents, colophon, day_of, messages
from labreport.editions.prose import REFUTED, Edition, raw, select_shown, write_prose
from labreport.editions.sources import read_title_page
from labreport.notebook.chapter import MIME
from labreport.notebook.syntax import Node, first_line


class SoberStyle(Style):
    """A style for code in the report's two colours."""

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
UNBROKEN = 24  # lines of code that stay on one page


def _equation(tex: str, label: str, number: str) -> Node:
    if label:
        tex = tex.replace("}", rf"}}\label{{{label}}}", 1)
    return raw("latex", tex)


# pandoc's LaTeX has no data: URL.
_EMBEDDED = re.compile(r"\{(?:data:image/)?(png|jpeg);base64,([\w+/=]+)\}")
LATEX = Edition(
    refer=lambda label, _: raw("latex", rf"\Cref{{{label}}}"),
    equation=_equation,
    heading=lambda number: [],
    refuted=raw("latex", rf"\refuted{{{REFUTED}}}"),
    picture=lambda url: url.removeprefix("data:image/"),
)


def _breakable(text: str) -> str:
    """The option of a box of output that may break over two pages, if it is long."""
    if text.count("\n") > UNBROKEN:
        return "[breakable]"
    return ""


def _parts(code: str) -> list[tuple[str, str]]:
    """Part code where a page may end: at a blank line above a statement.

    Returns each part's code and the options of its box. The boxes of a cell follow one
    another without a gap.
    """
    parts: list[str] = []
    for piece in re.split(r"\n\n+(?=\S)", code):
        if parts and (parts[-1].count("\n") < 2 or piece.count("\n") < 2):
            parts[-1] += f"\n\n{piece}"
        else:
            parts.append(piece)
    boxes = []
    for place, part in enumerate(parts):
        options = []
        if place > 0:
            options.append("continued")
        if place + 1 < len(parts):
            options.append("continues")
        if part.count("\n") > UNBROKEN:
            options.append("breakable")
        boxes.append((part, ",".join(options)))
    return boxes


def _listing(code: str, lexer: Lexer) -> str:
    """Highlight code as LaTeX; a word that is too long for a line may break."""
    breakable = re.sub(r"\S{60}(?=\S)", "\\g<0>\u200b", code)
    return highlight(breakable, lexer, LISTING)


def _column_types(table: dict[str, Any]) -> str:
    """Return a letter for each column of a tabularx; X breaks long cells into lines."""
    types = ""
    for column, side in enumerate(table["align"]):
        is_long = any(len(row[column]) > 32 for row in table["rows"])
        types += "X" if side == "l" and is_long else side
    return types


def _escape(value: object) -> str:
    return escape_latex(str(value))


FILTERS = {
    "breakable": _breakable,
    "column_types": _column_types,
    "parts": _parts,
    "listing": partial(_listing, lexer=PythonLexer()),
    "plain_listing": partial(_listing, lexer=TextLexer()),
    "tex": _escape,
}


def make_document(contents: Contents, profile: str) -> tuple[str, dict[str, bytes]]:
    """Write the report's LaTeX, with all chapters in its template.

    Returns it, and the figures that it includes by file name. Raises LabreportError for
    an unknown number, reference or citation.
    """
    exporter = LatexExporter(
        template_file=str(TEMPLATES / "chapter.tex.j2"),
        default_preprocessors=[],
        filters=FILTERS,
    )
    bodies: list[str] = []
    figures: dict[str, bytes] = {}
    for chapter in contents.chapters:
        written, _, _ = write_prose(chapter, contents, LATEX, "latex", OPTIONS)
        notebook = select_shown(written)
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
        headlines=list(contents.headlines.values()),
        cited=any(r"\cite" in body for body in bodies),
        chapters=[colophon(chapter) for chapter in contents.chapters],
        figures=Path(os.path.relpath(paths.figures(), tex_folder(profile))).as_posix(),
        claims=sum(chapter.num_claims for chapter in contents.chapters),
        refuted=contents.refuted,
        highlighting=LISTING.get_style_defs(),
        profile=profile,
        day="{0.day} {0:%B %Y}".format(day_of(contents)),
    )

    def save(picture: re.Match[str]) -> str:
        kind, encoded = picture.groups()
        name = f"picture-{len(figures)}.{kind}"
        figures[name] = base64.b64decode(encoded)
        return f"{{frames/{name}}}"

    return _EMBEDDED.sub(save, latex), figures


def _read_figures(notebook: NotebookNode, chapter: str) -> dict[str, bytes]:
    """Return the PDFs of a chapter's figures, by the file names in its TeX."""
    figures: dict[str, bytes] = {}
    for _, message in messages(notebook, "figure", "animation"):
        name = f"{chapter}-{message['name']}.pdf"
        figures[name] = base64.b64decode(message["pdf"])
    return figures


def tex_folder(profile: str) -> Path:
    """Return the folder in which TeX runs for that profile."""
    return paths.build() / profile / "tex"


def typeset(latex: str, figures: Mapping[str, bytes], folder: Path) -> Path:
    """Typeset the PDF by latexmk in `folder`, which keeps what the next build can use.

    If `figures` contains fonts.tex, LuaLaTeX does it. Raises LabreportError, which
    quotes TeX's first error; the log stays in the folder.
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
        raise expected(
            "latexmk",
            "no such program",
            (
                "install TeX Live (Debian: apt-get install latexmk "
                "texlive-latex-extra texlive-fonts-recommended)"
            ),
        ) from error
    if run.returncode:
        for leftover in folder.glob("report.*"):
            if leftover.suffix not in (".tex", ".log", ".blg"):
                leftover.unlink()
        raise LabreportError(
            f"expected TeX to typeset the report, got {_first_error(folder)}"
        )
    return folder / "report.pdf"


def choose_fonts(latex: str, unknown: str, contents: Contents) -> str:
    """Write TeX that gives LuaLaTeX fonts for all characters of the document.

    These are DejaVu, which Matplotlib contains, and behind it fonts of the machine.
    unknown: a character that pdfTeX lacks. Raises LabreportError, which names the cell,
    for a character that no font here can print.
    """
    program = subprocess.run(["kpsewhich", "luaotfload.sty"], capture_output=True)
    if not program.stdout:
        raise _not_printable(unknown, "no LuaLaTeX", "texlive-luatex", contents)
    folder = Path(mpl.get_data_path(), "fonts", "ttf").as_posix()
    dejavu = [f"{folder}/DejaVuSerif.ttf", f"{folder}/DejaVuSans.ttf"]
    missing = _characters_of_text(latex)
    fonts: list[str] = []
    for path in dejavu + sorted(findSystemFonts()):
        if not missing:
            break
        printed = missing & _characters_of_font(path)
        if printed:
            missing -= printed
            fonts.append(f'"[{path}]:mode=harf;"')
    if missing:
        got = "no font that has it, from left to right"
        packages = "fonts-noto-core fonts-noto-cjk fonts-noto-color-emoji"
        raise _not_printable(min(missing), got, packages, contents)
    template = (TEMPLATES / "fonts.tex").read_text(encoding="utf-8")
    return template.replace("FOLDER", f"{folder}/").replace("OTHERS", ", ".join(fonts))


def _not_printable(
    sign: str, got: str, packages: str, contents: Contents
) -> LabreportError:
    """Return the error for a character that cannot be printed; it names the cell."""
    where = _find(sign, contents)
    wanted = f"what prints {sign} (U+{ord(sign):04X}) in a PDF"
    install = f"install it (Debian: apt-get install {packages})"
    return LabreportError(
        f"{where}: expected {wanted}, got {got}; {install}, or write another sign."
    )


def _characters_of_text(latex: str) -> set[str]:
    """Return the characters beyond ASCII of the document and its bibliography, without
    those that the document defines.
    """
    bibliography = paths.report() / "references.bib"
    text = latex
    if bibliography.exists():
        text += bibliography.read_text(encoding="utf-8")
    defined = re.findall(r"\\newunicodechar\{(.)", text)
    return set(re.findall(r"[^\x00-\x7f]", text)) - set(defined)


def _characters_of_font(path: str) -> set[str]:
    """Return a font's characters, of scripts that are written from left to right."""
    try:
        codes = FT2Font(path).get_charmap()
    except (RuntimeError, OSError):  # no font that Matplotlib can read
        return set()
    characters = set(map(chr, codes))
    return {c for c in characters if unicodedata.bidirectional(c) not in ("R", "AL")}


def _find(sign: str, contents: Contents) -> str:
    """Return the first cell that contains a sign."""
    for chapter in contents.chapters:
        for position, cell in enumerate(chapter.notebook.cells, start=1):
            if sign in str(cell):
                return f"{chapter.name}, cell {position}"
    return "report.toml or references.bib"


def _lay_out(latex: str, figures: Mapping[str, bytes], folder: Path) -> None:
    """Write the files that TeX reads.

    Figures lie in `paths.figures`. Another profile's run may have drawn them since, so
    this report's are written again. latexmk compares contents itself.
    """
    frames = folder / "frames"
    shutil.rmtree(frames, ignore_errors=True)
    frames.mkdir(parents=True)
    for name, content in figures.items():
        target = paths.figures() if name.endswith(".pdf") else frames
        paths.write_atomically(target / name, content)
    (folder / "report.tex").write_text(latex, encoding="utf-8")
    if (paths.report() / "references.bib").exists():
        shutil.copyfile(paths.report() / "references.bib", folder / "references.bib")


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
