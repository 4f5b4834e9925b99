"""Write the report's LaTeX: pandoc writes a chapter's texts, nbconvert the chapter with
its code and figures, a template the whole document.
"""

import ast
import base64
import io
import os
import re
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from jinja2 import FileSystemLoader, StrictUndefined
from nbconvert import LatexExporter
from nbconvert.filters import strip_ansi
from nbconvert.filters.latex import escape_latex
from nbformat import NotebookNode
from PIL import Image
from pygments import highlight
from pygments.formatters import LatexFormatter
from pygments.lexer import Lexer
from pygments.lexers import PythonLexer, TextLexer
from pygments.style import Style
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Token

from labreport import expected, located
from labreport.contents import PROSE, Chapter, Contents, front_and_back
from labreport.document import ELEMENT, Part, is_comment, visibility
from labreport.live import FALSE
from labreport.messages import FLOATS, MIME, encode, messages
from labreport.pandoc import Node, Tree, has_class, raw, string, walk, write
from labreport.references import cited_works
from labreport.report import TEMPLATES, Report
from labreport.texts import Text

LEAST = 6  # lines of a cell that stay together above and below the end of a page
OPTIONS = ["--wrap=preserve", "--syntax-highlighting=none"]
OPTIONS.append("--top-level-division=chapter")


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


# pandoc's LaTeX has no data: URL.
_EMBEDDED = re.compile(r"\{(?:data:image/)?(png|jpeg);base64,([\w+/=]+)\}")


@dataclass(frozen=True)
class _Writer:
    """Writes the nodes of a cell as LaTeX has them."""

    report: Report
    part: Part

    def change(self, node: Node) -> Tree:
        """Write a node."""
        if has_class(node, "reference"):
            label = node["c"][2][0].rpartition("#")[2]
            return [
                raw("latex", rf"\hyperref[{label}]{{"),
                *node["c"][1],
                raw("latex", "}"),
            ]
        if has_class(node, "refuted"):
            return [raw("latex", rf"\refuted{{[{FALSE}.]}}")]
        if has_class(node, "equation"):
            (label, _, attributes), (formula,) = node["c"]
            tag = rf"\tag{{{dict(attributes)['number']}}}\label{{{label}}}"
            tex = f"{formula['c'][1]}{tag}"
            return [raw("latex", rf"\begin{{equation}}{tex}\end{{equation}}")]
        if node["t"] == "Image":
            attributes, alt, (url, title) = node["c"]
            return [{"t": "Image", "c": [attributes, alt, [self._embed(url), title]]}]
        if node["t"] in ("RawInline", "RawBlock"):
            return self._change_raw(node)
        return [node]

    def _change_raw(self, node: Node) -> Tree:
        """Keep elements of HTML, leave out styles and scripts, such as a DataFrame's,
        and show other raw pieces, such as List<int>, as text.
        """
        language, text = node["c"]
        if is_comment(node) or text.startswith(("<style", "<script")):
            return []
        if language in ("html", "latex") and ELEMENT.fullmatch(text.strip()):
            return [node]
        is_block = node["t"] == "RawBlock"
        return [{"t": "Para", "c": [string(text)]}] if is_block else [string(text)]

    def _embed(self, name: str) -> str:
        """Return a picture, attached to the cell or a file of the report, in base64."""
        name = unquote(name)
        attached = self.part.cell.get("attachments", {})
        found = attached.get(name.removeprefix("attachment:"), {})
        try:
            if found:
                content = base64.b64decode(next(iter(found.values())))
            elif name.startswith("data:"):
                content = base64.b64decode(name.partition("base64,")[2])
            else:
                path = (self.report.notebooks / name).resolve()
                path.relative_to(self.report.root.resolve())
                content = path.read_bytes()
            with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
                kind = str(picture.format).lower()
        except (OSError, ValueError) as error:
            wanted = "a PNG or JPEG of the report, named from the notebook's folder, "
            wanted += "or one attached to the cell"
            raise expected(wanted, name[:60], "save it there") from error
        return f"{kind};base64,{encode(content)}"


def write_chapter(chapter: Chapter, report: Report) -> NotebookNode:
    """Write all texts of a chapter as LaTeX, in one run of pandoc.

    Returns a copy of the notebook with the cells and outputs that the report shows, in
    which a cell of prose has them as its source, an output as `written`. Raises
    LabreportError, which names the cell.
    """
    notebook = deepcopy(chapter.notebook)
    trees: dict[tuple[int, int], Tree] = {}
    for part in chapter.document.parts:
        writer = _Writer(report, part)
        for index in range(PROSE, len(part.cell.get("outputs", ()))):
            place = (part.position, index)
            if place in chapter.texts:
                with located(part.where):
                    tree = walk(chapter.texts[place].tree, writer.change)
                trees[place] = _caption_table(tree, chapter.labels.get(place, ""))
    texts = write(list(trees.values()), "latex", OPTIONS)
    for (position, index), text in zip(trees, texts, strict=True):
        cell = notebook.cells[position - 1]
        if index == PROSE:
            cell.source = text
        else:
            cell.outputs[index].written = text
    cells: list[NotebookNode] = []
    for cell, part in zip(notebook.cells, chapter.document.parts, strict=True):
        cell.metadata.asked = part.question and part.question._asdict()
        shown = visibility(cell)
        if not shown.source:
            # As the templates of nbconvert read it.
            cell.metadata.transient = {"remove_source": True}
        if cell.cell_type == "code":
            kept = filter(_is_shown, cell.outputs if shown.outputs else [])
            cell.outputs = list(kept)
        if any(shown):
            cells.append(cell)
    notebook.cells = cells
    return notebook


def _is_shown(output: NotebookNode) -> bool:
    """Return whether the report shows an output: a figure, a table, or what the
    chapter's code prints or displays.
    """
    message = output.get("data", {}).get(MIME)
    return message is None or message["kind"] in FLOATS


def _caption_table(tree: Tree, label: str) -> Tree:
    """Put a caption into its table, which may break over pages."""
    if not label.startswith("tab-"):
        return tree
    caption, table = tree
    named = raw("latex", rf"\label{{{label}}}")
    table["c"][1] = [None, [{"t": "Plain", "c": [named, *caption["c"]]}]]
    return [table]


def _write_works(contents: Contents) -> dict[str, str]:
    """Write the works that the report cites, by key, in the order of authors."""
    texts: list[Text] = list(contents.citations.values())
    for chapter in contents.chapters:
        texts += chapter.texts.values()
    works = cited_works(texts, contents.works)
    return dict(zip(works, write(list(works.values()), "latex", OPTIONS), strict=True))


def _write_citations(contents: Contents) -> dict[str, str]:
    """Write the citations of works that headlines name, by key."""
    written = write([text.tree for text in contents.citations.values()], "latex")
    return dict(zip(contents.citations, written, strict=True))


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
    for start, end in pairwise(bounds):
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
        notebook = write_chapter(chapter, contents.run.report)
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
        works=_write_works(contents),
        citations=_write_citations(contents),
        figures=Path(os.path.relpath(run.figures, folder)).as_posix(),
        highlighting=LISTING.get_style_defs(),
    )

    def save(picture: re.Match[str]) -> str:
        kind, encoded = picture.groups()
        name = f"picture-{len(figures)}.{kind}"
        figures[name] = base64.b64decode(encoded)
        return f"{{frames/{name}}}"

    return _EMBEDDED.sub(save, latex), figures
