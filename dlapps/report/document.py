"""The LaTeX of a chapter (by nbconvert) and of the whole report (by the template around the chapters)."""

import re
from datetime import date
from functools import partial
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from nbconvert import LatexExporter
from nbconvert.filters.latex import escape_latex
from pygments import highlight
from pygments.formatters import LatexFormatter
from pygments.lexer import Lexer
from pygments.lexers import PythonLexer, TextLexer
from pygments.style import Style
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Token

from dlapps.notebook.syntax import Node
from dlapps.report import preprocessors as pre
from dlapps.report.contents import Contents, ExecutedChapter, messages
from dlapps.report.prose import Edition, raw
from dlapps.report.signs import SIGNS
from dlapps.report.sources import read_title_page


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


TEMPLATES = Path(__file__).parent / "template"
LISTING = LatexFormatter(style=SoberStyle, verboptions="breaklines,breakindentnchars=4")
OPTIONS = ["--natbib", "--wrap=preserve", "--syntax-highlighting=none"]
OPTIONS += ["--top-level-division=chapter"]


def _equation(tex: str, label: str, number: str) -> Node:
    labelled = tex.replace("}", rf"}}\label{{{label}}}", 1) if label else tex
    return raw("latex", labelled)


LATEX = Edition(
    refer=lambda label, _: raw("latex", rf"\Cref{{{label}}}"), equation=_equation, heading=lambda number: []
)


def _listing(code: str, lexer: Lexer) -> str:
    """Pygments' LaTeX; a word too long for a line may break at a zero-width space."""
    return highlight(re.sub(r"\S{60}(?=\S)", "\\g<0>\u200b", code), lexer, LISTING)


FILTERS = {
    "listing": partial(_listing, lexer=PythonLexer()),
    "plain_listing": partial(_listing, lexer=TextLexer()),
    "question_facts": pre.question_facts,
    "tex": lambda value: escape_latex(str(value)),
}


def make_document(contents: Contents, profile: str) -> tuple[str, dict[str, bytes]]:
    """The report's LaTeX, all chapters in its template, and the figures that it includes, by file name.

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
        notebook = pre.select_shown(pre.write_prose(chapter, contents, LATEX, "latex", OPTIONS)[0])
        figures |= pre.typeset_floats(notebook, chapter.number)
        bodies.append(exporter.from_notebook_node(notebook)[0])
    environment = exporter.environment.overlay(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    latex = environment.get_template("report.tex.j2").render(
        report=read_title_page(),
        bodies=bodies,
        cited=any(r"\cite" in body for body in bodies),
        chapters=[colophon(chapter) for chapter in contents.chapters],
        claims=sum(len(chapter.claims) for chapter in contents.chapters),
        highlighting=LISTING.get_style_defs(),
        signs=SIGNS.items(),
        profile=profile,
        day="{0.day} {0:%B %Y}".format(day_of(contents)),
    )
    return latex, figures


def colophon(chapter: ExecutedChapter) -> dict:
    """The facts of a chapter's run for the last page."""
    sources = sorted({record["data"] for record in messages(chapter.notebook, "record")})
    failed = [claim["claim"] for claim in chapter.claims if not claim["holds"]]
    machine = "; ".join(str(chapter.run[key]) for key in ("cpu", "cores", "threads", "platform", "python", "packages"))
    facts = {"machine": machine, "name": chapter.name, "number": chapter.number}
    facts |= {"duration": _duration(chapter.seconds), "claims": len(chapter.claims)}
    return {**chapter.run, **facts, "sources": sources, "failed": failed}


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def day_of(contents: Contents) -> date:
    """That of the last run: building again changes nothing."""
    return max(date.fromisoformat(chapter.run["date"]) for chapter in contents.chapters)
