"""Write the report's LaTeX: nbconvert writes each chapter's, a template the whole
document.
"""

import ast
import base64
import os
import re
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from nbconvert import LatexExporter
from nbconvert.filters import strip_ansi
from nbconvert.filters.latex import escape_latex
from pygments import highlight
from pygments.formatters import LatexFormatter
from pygments.lexer import Lexer
from pygments.lexers import PythonLexer, TextLexer
from pygments.style import Style
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Token

from labreport.contents import Contents, front_and_back
from labreport.editions import (
    REFUTED,
    Edition,
    select_shown,
    write_chapter,
    write_citations,
    write_works,
)
from labreport.messages import MIME, messages
from labreport.numbering import Label
from labreport.pandoc import Node, Tree, raw, span
from labreport.report import TEMPLATES

LEAST = 4  # lines of a cell that stay together above and below the end of a page


class SoberStyle(Style):
    """A style for code in the report's two colours."""

    styles = {  # noqa: RUF012 (Pygments reads a plain dictionary)
        Token: "#1f292f",
        Comment: "italic #56626a",
        Keyword: "bold #1d4e6b",
        Name.Builtin: "#1d4e6b",
        Name.Decorator: "#1d4e6b",
        Number: "#8a4b1f",
        Operator.Word: "bold #1d4e6b",
        String: "#8a4b1f",
    }


LISTING = LatexFormatter(style=SoberStyle, verboptions="breaklines,breakindentnchars=4")


def _refer(words: Tree, label: str, _: Label) -> Node:
    named = [raw("latex", rf"\hyperref[{label}]{{"), *words, raw("latex", "}")]
    return span(named, "")


def _equation(tex: str, label: str, number: str) -> Tree:
    tag = rf"\tag{{{number}}}\label{{{label}}}"
    return [raw("latex", rf"\begin{{equation}}{tex}{tag}\end{{equation}}")]


def _table(tree: Tree, label: str) -> Tree:
    """Put a caption into its table, which may break over pages."""
    if not label.startswith("tab-"):
        return tree
    caption, table = tree
    named = raw("latex", rf"\label{{{label}}}")
    table["c"][1] = [None, [{"t": "Plain", "c": [named, *caption["c"]]}]]
    return [table]


# pandoc's LaTeX has no data: URL.
_EMBEDDED = re.compile(r"\{(?:data:image/)?(png|jpeg);base64,([\w+/=]+)\}")
LATEX = Edition(
    language="latex",
    options=[
        "--wrap=preserve",
        "--syntax-highlighting=none",
        "--top-level-division=chapter",
    ],
    refer=_refer,
    equation=_equation,
    heading=lambda heading: [],
    refuted=raw("latex", rf"\refuted{{{REFUTED}}}"),
    picture=lambda url: url.removeprefix("data:image/"),
    table=_table,
)


def find_breaks(code: str) -> list[int]:
    """Find the lines, counted from 0, above which a page may end: those where a
    statement begins, but for the first of a block; of text every line. Each end of the
    code keeps at least `LEAST` lines.
    """
    lines = code.split("\n")
    try:
        tree = ast.parse(code)
    except SyntaxError:
        starts = set(range(len(lines)))
    else:
        starts = set()
        for node in ast.walk(tree):
            block = getattr(node, "body", [])
            for statement in block[1:] if isinstance(block, list) else []:
                starts.add(_first_line(statement))
    breaks: list[int] = []
    for line in sorted(starts):
        # A comment belongs to what it stands above.
        while line > 0 and lines[line - 1].lstrip().startswith("#"):
            line -= 1
        if LEAST <= line <= len(lines) - LEAST:
            breaks.append(line)
    return breaks


def _first_line(statement: ast.stmt) -> int:
    above = getattr(statement, "decorator_list", [])
    return min(node.lineno for node in [statement, *above]) - 1


def split_listing(code: str, breaks: list[int]) -> list[str]:
    """Part a text above these lines."""
    lines = code.split("\n")
    bounds = [0, *breaks, len(lines)]
    parts: list[str] = []
    for start, end in zip(bounds, bounds[1:], strict=False):
        parts.append("\n".join(lines[start:end]))
    return parts


def _listing(code: str) -> list[str]:
    """Highlight code, parted where a page may end."""
    lexer = PythonLexer(stripnl=False)
    parts = split_listing(code, find_breaks(code))
    return [_highlight(part, lexer) for part in parts]


def _printed(text: str) -> list[str]:
    """Write what is printed, parted where a page may end."""
    text = strip_ansi(text).rstrip("\n")
    lines = len(text.split("\n"))
    lexer = TextLexer(stripnl=False)
    parts = split_listing(text, list(range(LEAST, lines - LEAST + 1)))
    return [_highlight(part, lexer) for part in parts]


def _highlight(text: str, lexer: Lexer) -> str:
    """Highlight text as LaTeX; a word that is too long for a line may break."""
    breakable = re.sub(r"\S{60}(?=\S)", "\\g<0>\u200b", text)
    return highlight(breakable, lexer, LISTING)


FILTERS = {
    "listing": _listing,
    "printed": _printed,
    "text": lambda data: data.get("text/plain", ", ".join(data)),
    "tex": lambda value: escape_latex(str(value)),
}


def make_document(contents: Contents) -> tuple[str, dict[str, bytes]]:
    """Write the report's LaTeX, with all chapters in its template.

    Returns it, and the figures that it includes by file name.
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
        notebook = select_shown(write_chapter(chapter, contents, LATEX))
        for cell in notebook.cells:
            for message in messages(cell, "figure"):
                name = f"{chapter.number}-{message['name']}.pdf"
                figures[name] = base64.b64decode(message["pdf"])
        resources = {"mime": MIME, "number": chapter.number}
        bodies.append(exporter.from_notebook_node(notebook, resources)[0])
    environment = exporter.environment.overlay(
        loader=FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    run = contents.run
    folder = run.build / run.profile / "tex"
    latex = environment.get_template("report.tex.j2").render(
        front_and_back(contents),
        bodies=bodies,
        works=write_works(contents, contents.chapters, LATEX),
        citations=write_citations(contents, LATEX),
        figures=Path(os.path.relpath(run.figures, folder)).as_posix(),
        highlighting=LISTING.get_style_defs(),
    )

    def save(picture: re.Match[str]) -> str:
        kind, encoded = picture.groups()
        name = f"picture-{len(figures)}.{kind}"
        figures[name] = base64.b64decode(encoded)
        return f"{{frames/{name}}}"

    return _EMBEDDED.sub(save, latex), figures
