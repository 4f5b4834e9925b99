"""The HTML edition: one self-contained page a chapter, and the page of contents."""

import base64
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbconvert.exporters import TemplateExporter
from nbformat import NotebookNode
from PIL import Image, ImageOps
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from labreport import paths
from labreport.editions import TEMPLATES, prose
from labreport.editions.contents import (
    Contents,
    ExecutedChapter,
    Label,
    colophon,
    day_of,
    outputs,
)
from labreport.editions.sources import page_file, read_title_page, tags
from labreport.notebook.chapter import MIME
from labreport.notebook.players import SCRIPT, hash_script
from labreport.notebook.prose import citeproc
from labreport.notebook.syntax import Node, Tree, parse, write

PHOTOGRAPHIC = (
    100_000  # bytes of PNG above which a figure holds photos: lossy WebP takes a fifth
)
_TALL = '<mfrac|<munder|<mover|<mtable|stretchy="true"'
_OPENING, _CLOSING = (
    f'<mo stretchy="{{}}" form="{form}">' for form in ("prefix", "postfix")
)
_BRACKETS = re.compile(
    f"(?s){_OPENING.format('true')}((?:(?!{_TALL}).)*){_CLOSING.format('true')}"
)
_LONG = re.compile(
    r"(?s)<math(?=(?:(?!</math>).)*<annotation[^>]*>[^<]{30})"
)  # too long for a phone


@dataclass(frozen=True)
class Page:
    """A chapter whose Markdown is HTML and whose parts have their numbers."""

    chapter: ExecutedChapter
    notebook: NotebookNode
    headings: list[prose.Heading]
    bibliography: str

    @property
    def file(self) -> str:
        """The page's file name, as 1-transfer-learning.html."""
        return page_file(self.chapter.name)

    @property
    def copy(self) -> str:
        """Where the page finds the chapter's committed reading copy; "" without one."""
        copy = paths.report() / "notebooks" / f"{self.chapter.name}.ipynb"
        return (
            Path(os.path.relpath(copy, paths.build() / "html")).as_posix()
            if copy.is_file()
            else ""
        )

    @property
    def picture(self) -> tuple[NotebookNode, Any] | None:
        """The figure that stands for the chapter, output and message: of a cell tagged
        "cover", or the first.
        """
        for cell in sorted(
            self.notebook.cells, key=lambda cell: "cover" not in tags(cell)
        ):
            for output, message in (
                *outputs(cell, "figure"),
                *outputs(cell, "animation"),
            ):
                if "label" in message:
                    return output, message
        return None

    @property
    def title(self) -> str:
        """The chapter's heading as plain text, or its name where it has none."""
        return self.headings[0].title if self.headings else self.chapter.name


def edition(chapter: str) -> prose.Edition:
    """How the page of that chapter writes references, equations and headings."""

    def refer(label: str, named: Label) -> Node:
        target = "" if named.chapter == chapter else page_file(named.chapter)
        return prose.link(named.words, f"{target}#{label}")

    def equation(tex: str, label: str, number: str) -> Node:
        formula = {"t": "Math", "c": [{"t": "DisplayMath"}, tex]}
        return prose.span(
            [formula, *[_number(number)] * bool(number)], "equation", label
        )

    def value(words: Tree, number: dict[str, Any]) -> Tree:
        target = [f"#cell-{number['cell']}", number.get("beside", "")]
        return [{"t": "Link", "c": [["", ["value"], []], words, target]}]

    refuted = prose.span([{"t": "Str", "c": prose.REFUTED}], "refuted")
    return prose.Edition(refer, equation, _heading, refuted, value)


def _heading(number: str) -> Tree:
    words = number if "." in number else paths.chapter_words(number)
    return [_number(words), {"t": "Space"}] * bool(number)


def _number(number: str) -> Node:
    return prose.span([{"t": "Str", "c": number}], "number")


def _fold_code(cell: NotebookNode) -> None:
    """A hidden cell stays, its code folded, where the prose below has numbers of it:
    that is where their links lead.
    """
    has_numbers = any(message["values"] for _, message in outputs(cell, "values"))
    if has_numbers and "remove-cell" in tags(cell):
        cell.metadata.tags = ["remove-input", "remove-output"]


def make_pages(contents: Contents, profile: str) -> dict[str, str]:
    """index.html and a page a chapter, by file name; a ReportError for an unknown
    number, reference or citation.
    """
    pages = [read_page(chapter, contents) for chapter in contents.chapters]
    exporter = TemplateExporter(
        template_name="base",
        template_file=str(TEMPLATES / "chapter.html.j2"),
        default_preprocessors=[],
        filters={each.__name__: each for each in (image_attributes, listing)},
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    shared = {"pages": pages, "report": read_title_page(), "mime": MIME}
    shared |= {
        "script": script,
        "allowed": [hash_script(each) for each in (SCRIPT, script)],
    }
    chapters = [colophon(page.chapter) for page in pages]
    facts = {"chapters": chapters, "profile": profile, "day": day_of(contents)}
    facts |= {
        "headlines": contents.headlines,
        "refuted": contents.refuted,
        **_cite(contents),
    }
    index = exporter.environment.get_template("index.html.j2")
    written = {"index.html": index.render(shared | facts)}
    for page, before, after in zip(
        pages, [None, *pages], [*pages[1:], None], strict=False
    ):
        resources = {**shared, "page": page, "before": before, "after": after}
        shown = prose.select_shown(page.notebook)
        written[page.file], _ = exporter.from_notebook_node(shown, resources)
    return written


def _options() -> list[str]:
    return ["--wrap=none", "--metadata=lang:en-GB", *citeproc()]


def _cite(contents: Contents) -> dict[str, Any]:
    """The citation of each work that a headline names, and the bibliography that they
    lead to.
    """
    works = sorted({headline["work"] for headline in contents.headlines} - {None})
    *cited, bibliography = write(
        parse([f"[@{work}]" for work in works]), "html", _options()
    )
    return {"cited": dict(zip(works, cited, strict=True)), "bibliography": bibliography}


def read_page(chapter: ExecutedChapter, contents: Contents) -> Page:
    """A chapter as a page."""
    options = ["--mathml", "--syntax-highlighting=none", *_options()]
    notebook, headings, works = prose.write_prose(
        chapter, contents, edition(chapter.name), "html", options, fit_brackets
    )
    for cell in notebook.cells:
        _fold_code(cell)
    return Page(chapter, notebook, headings, works)


def fit_brackets(markup: str) -> str:
    """Let only brackets around tall formulas stretch, close the gap inside norms, and
    let keys scroll long formulas.

    pandoc lets all of them stretch, and browsers set what may stretch apart from what
    it encloses.
    """
    count, rigid = 1, rf"{_OPENING.format('false')}\1{_CLOSING.format('false')}"
    while count:
        markup, count = _BRACKETS.subn(rigid, markup)
    markup = re.sub('(form="(?:prefix|postfix)">)∥', r"\1‖", markup)
    return _LONG.sub('<math tabindex="0"', markup)


def image_attributes(encoded: str, size: tuple[int, int] | None = None) -> str:
    """`src`, `width` and `height` of a picture (base64 of PNG, GIF or JPEG), embedded
    in the page.

    size: the new width and height of a PNG, which is cropped to that shape.
    """
    content = base64.b64decode(encoded)
    with Image.open(io.BytesIO(content)) as picture:
        kind, (width, height) = (picture.format or "png").lower(), size or picture.size
    if kind == "png" and (size or len(content) > PHOTOGRAPHIC):
        kind, content = "webp", compress(content, "WEBP", 90, size)
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return f'src="{source}" width="{width}" height="{height}"'


def compress(
    content: bytes, kind: str, quality: int, size: tuple[int, int] | None = None
) -> bytes:
    """A picture as JPEG or WEBP of that quality, cropped and scaled to a size where one
    is given.
    """
    file = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        ImageOps.fit(picture.convert("RGB"), size or picture.size).save(
            file, kind, quality=quality
        )
    return file.getvalue()


def listing(code: str) -> str:
    """Pygments' HTML, an element a line with its indentation, so that a wrapped line
    continues further in.
    """
    written = code.strip("\n").split("\n")
    lines = (
        highlight(code, PythonLexer(), HtmlFormatter(nowrap=True))
        .rstrip("\n")
        .split("\n")
    )
    indents = [len(line) - len(line.lstrip()) for line in written]
    pairs = zip(indents, lines, strict=True)
    return "".join(
        f'<span style="--indent: {indent}ch">{line}\n</span>' for indent, line in pairs
    )
