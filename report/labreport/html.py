"""The HTML edition: a self-contained page for each chapter, and one of contents."""

import base64
import io
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined
from nbconvert.exporters import TemplateExporter
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from labreport.contents import Chapter, Contents, Number, front_and_back
from labreport.editions import (
    PHOTOGRAPHIC,
    REFUTED,
    Edition,
    compress,
    printed,
    select_shown,
    write_chapter,
    write_citations,
    write_works,
)
from labreport.messages import MIME, encode, outputs
from labreport.numbering import Heading, Label, chapter_words
from labreport.pandoc import Node, Tree, link, span, string
from labreport.report import TEMPLATES, page_file, tags

OPTIONS = ["--mathml", "--syntax-highlighting=none", "--wrap=none"]


@dataclass(frozen=True)
class Page:
    """A chapter whose Markdown is written as HTML; works: what it cites, by key."""

    chapter: Chapter
    notebook: NotebookNode
    works: dict[str, str]

    @property
    def file(self) -> str:
        """Return the page's file name, such as 1-transfer-learning.html."""
        return page_file(self.chapter.name)

    @property
    def headings(self) -> list[Heading]:
        """Return the numbered headings, the chapter's own first."""
        return self.chapter.document.headings

    @property
    def picture(self) -> tuple[NotebookNode, Any] | None:
        """Return the figure that represents the chapter, its output and message: that
        of a cell tagged "cover", or the first.
        """
        covers = [cell for cell in self.notebook.cells if "cover" in tags(cell)]
        for cell in covers + self.notebook.cells:
            for output, message in outputs(cell, "figure"):
                return output, message
        return None


def _edition(chapter: str) -> Edition:
    """Return how the page of that chapter writes references, equations and headings."""

    def refer(words: Tree, label: str, named: Label) -> Node:
        target = "" if named.chapter == chapter else page_file(named.chapter)
        return link(words, f"{target}#{label}")

    def equation(formula: Node, label: str, number: str) -> Node:
        shown = [formula, _number(f"({number})")] if number else [formula]
        return span(shown, "equation", label)

    def heading(written: Heading) -> Tree:
        number = written.number
        if not number:
            return []
        words = number if "." in number else chapter_words(number)
        return [_number(words), {"t": "Space"}]

    def value(words: Tree, number: Number) -> Node:
        return link(words, f"#cell-{number.cell}", "value")

    refuted = span([string(REFUTED)], "refuted")
    return Edition("html", OPTIONS, refer, equation, heading, refuted, value)


def _number(number: str) -> Node:
    return span([string(number)], "number")


def make_pages(contents: Contents) -> dict[str, str]:
    """Write index.html and a page for each chapter, by file name."""
    pages: list[Page] = []
    for chapter in contents.chapters:
        edition = _edition(chapter.name)
        notebook = select_shown(write_chapter(chapter, contents, edition))
        pages.append(Page(chapter, notebook, write_works(contents, [chapter], edition)))
    filters = {
        "image_attributes": image_attributes,
        "listing": listing,
        "strip_ansi": strip_ansi,
        "text": printed,
    }
    exporter = TemplateExporter(
        template_name="base",
        template_file=str(TEMPLATES / "chapter.html.j2"),
        default_preprocessors=[],
        filters=filters,
    )
    exporter.environment.undefined = StrictUndefined
    shared = {**front_and_back(contents), "pages": pages, "mime": MIME}
    citations = write_citations(contents, _edition(""))
    index = exporter.environment.get_template("index.html.j2")
    written = {"index.html": index.render(shared, citations=citations)}
    for page in pages:
        resources = {**shared, "page": page}
        body, _ = exporter.from_notebook_node(page.notebook, resources)
        written[page.file] = body
    return written


def image_attributes(encoded: str, size: tuple[int, int] | None = None) -> str:
    """Embed a picture: its `src`, `width` and `height`.

    encoded: base64 of PNG or JPEG. size: the new width and height of a PNG, which
    is cropped to that shape.
    """
    content = base64.b64decode(encoded)
    with Image.open(io.BytesIO(content)) as picture:
        kind = (picture.format or "png").lower()
        width, height = size or picture.size
    if kind == "png" and (size or len(content) > PHOTOGRAPHIC):
        kind = "webp"
        content = compress(content, "WEBP", size)
    source = f"data:image/{kind};base64,{encode(content)}"
    return f'src="{source}" width="{width}" height="{height}"'


def listing(code: str) -> str:
    """Highlight code as HTML."""
    return highlight(code, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip("\n")
