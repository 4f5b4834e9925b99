"""The LaTeX of a chapter (by nbconvert) and of the whole report (by the template around the chapters)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import partial
from pathlib import Path

import jinja2
from nbconvert import LatexExporter
from nbconvert.filters.latex import escape_latex
from pygments import highlight
from pygments.formatters import LatexFormatter
from pygments.lexer import Lexer
from pygments.lexers import PythonLexer, TextLexer
from pygments.style import Style
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Token

from dlapps.report import preprocessors as pre
from dlapps.report.contents import Contents, ExecutedChapter, messages
from dlapps.report.prose import Edition, raw
from dlapps.report.signs import SIGNS
from dlapps.report.sources import read_title_page
from dlapps.syntax import Node


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
LEXERS: dict[str, Lexer] = {"listing": PythonLexer(), "plain_listing": TextLexer()}


def _equation(tex: str, label: str, number: str) -> Node:
    labelled = tex.replace("}", rf"}}\label{{{label}}}", 1) if label else tex
    return raw("latex", labelled)


LATEX = Edition(
    refer=lambda label, _: raw("latex", rf"\Cref{{{label}}}"), equation=_equation, heading=lambda number: []
)


def _listing(code: str, lexer: Lexer) -> str:
    """Pygments' LaTeX; a word too long for a line may break at a zero-width space."""
    return highlight(re.sub(r"\S{60}(?=\S)", "\\g<0>\u200b", code), lexer, LISTING)


@dataclass(frozen=True)
class Document:
    """The report's LaTeX and the figures that it includes, by file name."""

    latex: str
    figures: dict[str, bytes]


def make_document(contents: Contents, profile: str) -> Document:
    """All chapters in the report's template; a ReportError for an unknown number, reference or citation."""
    bodies, figures = [], {}
    for chapter in contents.chapters:
        body, resources = _convert(chapter, contents)
        bodies.append(body)
        figures.update(resources.get("outputs", {}))
    template = _environment().get_template("report.tex.j2")
    latex = template.render(
        report=read_title_page(),
        bodies=bodies,
        cited=any(r"\cite" in body for body in bodies),
        chapters=[colophon(chapter) for chapter in contents.chapters],
        claims=sum(len(chapter.claims) for chapter in contents.chapters),
        highlighting=LISTING.get_style_defs(),
        signs=SIGNS.items(),
        profile=profile,
        day=f"{day_of(contents):%-d %B %Y}",
    )
    return Document(latex, figures)


def _convert(chapter: ExecutedChapter, contents: Contents) -> tuple[str, dict]:
    options = ["--natbib", "--wrap=preserve", "--syntax-highlighting=none", "--top-level-division=chapter"]
    prose = pre.ProsePreprocessor(contents, LATEX, "latex", options)
    steps = [prose, pre.removal(), pre.FloatsPreprocessor(), pre.OutputsPreprocessor()]
    exporter = LatexExporter(
        template_file=str(TEMPLATES / "chapter.tex.j2"),
        default_preprocessors=[],
        preprocessors=steps,
        filters={
            "question_facts": pre.question_facts,
            **{name: partial(_listing, lexer=lexer) for name, lexer in LEXERS.items()},
        },
    )
    return exporter.from_notebook_node(chapter.notebook, {"chapter": chapter})


def colophon(chapter: ExecutedChapter) -> dict:
    """The facts of a chapter's run for the last page."""
    sources = sorted({record["data"] for record in messages(chapter.notebook, "record")})
    failed = [claim["claim"] for claim in chapter.claims if not claim["holds"]]
    machine = [chapter.run[key] for key in ("cpu", "threads", "platform", "python", "packages", "commit")]
    facts = {"machine": machine, "name": chapter.name, "number": chapter.number, "duration": _duration(chapter.seconds)}
    return {**chapter.run, **facts, "sources": sources, "claims": len(chapter.claims), "failed": failed}


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def day_of(contents: Contents) -> date:
    """SOURCE_DATE_EPOCH's day, else that of the last run: building again changes nothing."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return datetime.fromtimestamp(int(epoch), timezone.utc).date()
    return max(date.fromisoformat(chapter.run["date"]) for chapter in contents.chapters)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        block_start_string="((*",
        block_end_string="*))",
        variable_start_string="(((",
        variable_end_string=")))",
        comment_start_string="((=",
        comment_end_string="=))",
    )
    environment.filters["tex"] = lambda value: escape_latex(str(value))
    return environment
