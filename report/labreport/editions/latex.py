"""Write the report's LaTeX: nbconvert writes each chapter's, a template the whole
document.
"""

import base64
import re
from functools import partial
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
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
from labreport.editions import TEMPLATES
from labreport.editions.contents import Contents, front_and_back
from labreport.editions.outputs import messages, select_shown
from labreport.editions.prose import REFUTED, Edition, raw, write_prose
from labreport.notebook.expressions import write_value
from labreport.notebook.messages import MIME
from labreport.notebook.syntax import Node


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
WHOLE = 9  # lines of a cell that stays on one page, whatever statements it has


def _equation(tex: str, label: str, number: str) -> Node:
    if label:
        tex = tex.replace("}", rf"}}\label{{{label}}}", 1)
    return raw("latex", tex)


# pandoc's LaTeX has no data: URL.
_EMBEDDED = re.compile(r"\{(?:data:image/)?(png|jpeg);base64,([\w+/=]+)\}")
LATEX = Edition(
    refer=lambda label, _: raw("latex", rf"\Cref{{{label}}}"),
    equation=_equation,
    heading=lambda heading: [],
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
    another without a gap. A short cell is one part.
    """
    if code.count("\n") < WHOLE:
        return [(code, "")]
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


FILTERS = {
    "value": write_value,
    "breakable": _breakable,
    "column_types": _column_types,
    "parts": _parts,
    "listing": partial(_listing, lexer=PythonLexer()),
    "plain_listing": partial(_listing, lexer=TextLexer()),
    "tex": lambda value: escape_latex(str(value)),
}


def make_document(contents: Contents) -> tuple[str, dict[str, bytes]]:
    """Write the report's LaTeX, with all chapters in its template.

    Returns it, and the figures that it includes by file name. Raises LabreportError for
    an unknown number, reference or citation.
    """
    exporter = LatexExporter(
        template_file=str(TEMPLATES / "chapter.tex.j2"),
        default_preprocessors=[],
        filters=FILTERS,
    )
    exporter.environment.undefined = StrictUndefined
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
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    run = contents.run
    latex = environment.get_template("report.tex.j2").render(
        front_and_back(contents),
        bodies=bodies,
        cited=any(r"\cite" in body for body in bodies),
        figures=paths.write_relative(run.figures, run.tex),
        claims=sum(chapter.num_claims for chapter in contents.chapters),
        highlighting=LISTING.get_style_defs(),
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
