"""The HTML edition: a self-contained page for each chapter, and one of contents."""

import base64
import io
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined
from nbconvert.exporters import TemplateExporter
from nbformat import NotebookNode
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from labreport import paths
from labreport.chapters import chapter_words, tags
from labreport.editions import TEMPLATES, prose
from labreport.editions.contents import Contents, front_and_back
from labreport.editions.executed import ExecutedChapter, Number
from labreport.editions.outputs import outputs, select_shown
from labreport.editions.pictures import PHOTOGRAPHIC, compress
from labreport.editions.sources import page_file
from labreport.notebook.expressions import write_value
from labreport.notebook.messages import MIME
from labreport.notebook.numbering import Heading, Label
from labreport.notebook.outline import question_words
from labreport.notebook.players import SCRIPT, hash_script
from labreport.notebook.references import citeproc
from labreport.notebook.syntax import Node, Tree, parse, write


@dataclass(frozen=True)
class Page:
    """A chapter whose Markdown is written as HTML and whose parts are numbered.

    copy: the address of its committed reading copy; "" if there is none.
    """

    chapter: ExecutedChapter
    notebook: NotebookNode
    headings: list[Heading]
    bibliography: str
    copy: str

    @property
    def file(self) -> str:
        """Return the page's file name, such as 1-transfer-learning.html."""
        return page_file(self.chapter.name)

    @property
    def picture(self) -> tuple[NotebookNode, Any] | None:
        """Return the figure that represents the chapter, its output and message: that
        of a cell tagged "cover", or the first.
        """
        covers = [cell for cell in self.notebook.cells if "cover" in tags(cell)]
        for cell in covers + self.notebook.cells:
            for output, message in outputs(cell, "figure", "animation"):
                if "label" in message:
                    return output, message
        return None

    @property
    def title(self) -> str:
        """Return the chapter's heading as plain text, or its name if it has none."""
        return self.headings[0].title if self.headings else self.chapter.name


def edition(chapter: str) -> prose.Edition:
    """Return how the page of that chapter writes references, equations and headings."""

    def refer(label: str, named: Label) -> Node:
        target = "" if named.chapter == chapter else page_file(named.chapter)
        return prose.link(named.words, f"{target}#{label}")

    def equation(tex: str, label: str, number: str) -> Node:
        content = [{"t": "Math", "c": [{"t": "DisplayMath"}, tex]}]
        if number:
            content.append(_number(number))
        return prose.span(content, "equation", label)

    def value(words: Tree, number: Number) -> Tree:
        target = [f"#cell-{number.cell}", number.beside]
        return [{"t": "Link", "c": [["", ["value"], []], words, target]}]

    refuted = prose.span([{"t": "Str", "c": prose.REFUTED}], "refuted")
    return prose.Edition(refer, equation, _heading, refuted, value)


def _heading(heading: Heading) -> Tree:
    number = heading.number
    if not number:
        return []
    words = number if "." in number else chapter_words(number)
    return [_number(words), {"t": "Space"}]


def _number(number: str) -> Node:
    return prose.span([{"t": "Str", "c": number}], "number")


def make_pages(contents: Contents) -> dict[str, str]:
    """Write index.html and a page for each chapter, by file name.

    Raises LabreportError for an unknown number, reference or citation.
    """
    pages = [read_page(chapter, contents) for chapter in contents.chapters]
    exporter = TemplateExporter(
        template_name="base",
        template_file=str(TEMPLATES / "chapter.html.j2"),
        default_preprocessors=[],
        filters={
            "image_attributes": image_attributes,
            "listing": listing,
            "question_words": question_words,
            "value": write_value,
        },
    )
    exporter.environment.undefined = StrictUndefined
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    shared = front_and_back(contents) | {
        "pages": pages,
        "mime": MIME,
        "script": script,
        "allowed": [hash_script(SCRIPT), hash_script(script)],
    }
    cited, bibliography = _cite(contents)
    index = exporter.environment.get_template("index.html.j2").render(
        shared, cited=cited, bibliography=bibliography
    )
    written = {"index.html": index}
    for place, page in enumerate(pages):
        resources = {
            **shared,
            "page": page,
            "before": pages[place - 1] if place else None,
            "after": pages[place + 1] if place + 1 < len(pages) else None,
        }
        shown = select_shown(page.notebook)
        written[page.file], _ = exporter.from_notebook_node(shown, resources)
    return written


def _options() -> list[str]:
    return ["--wrap=none", "--metadata=lang:en-GB", *citeproc()]


def _cite(contents: Contents) -> tuple[dict[str, str], str]:
    """Return the citation of each work that a headline names, and the bibliography to
    which they link.
    """
    headlines = contents.headlines.values()
    works = sorted({headline["work"] for headline in headlines} - {None})
    citations = parse([f"[@{work}]" for work in works])
    texts = write(citations, "html", _options())
    bibliography = texts.pop()
    return dict(zip(works, texts, strict=True)), bibliography


def read_page(chapter: ExecutedChapter, contents: Contents) -> Page:
    """Write the Markdown of a chapter as HTML, for its page."""
    options = ["--mathml", "--syntax-highlighting=none", *_options()]
    notebook, headings, works = prose.write_prose(
        chapter, contents, edition(chapter.name), "html", options
    )
    copy = paths.report() / "notebooks" / f"{chapter.name}.ipynb"
    address = ""
    if copy.is_file():
        address = paths.write_relative(copy, contents.run.build / "html")
    return Page(chapter, notebook, headings, works, address)


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
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return f'src="{source}" width="{width}" height="{height}"'


def listing(code: str) -> str:
    """Highlight code as HTML.

    Each line is an element with its indentation, so that a line that wraps continues
    further in.
    """
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    markup = highlight(code, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip("\n")
    lines = zip(code.strip("\n").split("\n"), markup.split("\n"), strict=True)
    written = ""
    for line, highlighted in lines:
        indent = len(line) - len(line.lstrip())
        written += f'<span style="--indent: {indent}ch">{highlighted}\n</span>'
    return written
