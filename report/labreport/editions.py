"""Write the chapters of a report for an edition: the last step, which alone knows it."""

import base64
import io
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from urllib.parse import unquote

from nbformat import NotebookNode
from PIL import Image

from labreport import expected, located
from labreport.contents import PROSE, Chapter, Contents
from labreport.document import Part, Text, cited_works, is_comment, visibility
from labreport.live import FALSE
from labreport.messages import FLOATS, MIME, encode
from labreport.numbering import Heading, Label, read_heading
from labreport.pandoc import Node, Tree, has_class, string, walk, words, write

# Of HTML, what a paragraph or a block may have beside text; anything else is text that
# has angle brackets.
_ELEMENT = re.compile(
    r"</?(a|b|br|center|code|del|details|div|em|i|img|ins|kbd|mark|p|pre|s|small|span"
    r"|strong|su[bp]|summary|table|tbody|t[dhr]|thead|u)\b[^<>]*>"
)
# What all editions print behind a sentence that their run contradicts.
REFUTED = f"[{FALSE}.]"


@dataclass(frozen=True)
class Edition:
    """How an edition writes what pandoc does not know.

    language, options: pandoc's. refer: a function that writes a reference from its
    words, label, and what the label stands for. equation: one that writes an equation
    from its TeX, label and number. heading: one that writes what stands before a title.
    refuted: what stands behind a sentence that the run contradicts. picture: a function
    that writes the target of an embedded picture from its data: URL. table: one that
    writes a table from its caption, the table and its label.
    """

    language: str
    options: Sequence[str]
    refer: Callable[[Tree, str, Label], Node]
    equation: Callable[[str, str, str], Tree]
    heading: Callable[[Heading], Tree]
    refuted: Node
    picture: Callable[[str], str] = str
    table: Callable[[Tree, str], Tree] = lambda tree, label: tree


@dataclass(frozen=True)
class _Writer:
    """Writes the nodes of a cell as an edition has them."""

    edition: Edition
    contents: Contents
    part: Part

    def change(self, node: Node) -> Tree:
        """Write a node."""
        kind = node["t"]
        if has_class(node, "reference"):
            label = node["c"][2][0].removeprefix("#")
            named = self.contents.labels[label]
            return [self.edition.refer(node["c"][1], label, named)]
        if has_class(node, "refuted"):
            return [self.edition.refuted]
        if has_class(node, "equation"):
            (label, _, attributes), content = node["c"]
            tex = content[0]["c"][1]
            return self.edition.equation(tex, label, dict(attributes)["number"])
        if kind == "Header":
            heading = read_heading(node)
            title = self.edition.heading(heading) + node["c"][2]
            return [
                {"t": "Header", "c": [heading.level, [heading.label, [], []], title]}
            ]
        if kind == "Image":
            attributes, alt, (url, title) = node["c"]
            embedded = self.edition.picture(self._embed(unquote(url)))
            return [{"t": "Image", "c": [attributes, alt, [embedded, title]]}]
        if kind in ("RawInline", "RawBlock"):
            return self._change_raw(node)
        return [node]

    def _change_raw(self, node: Node) -> Tree:
        """Keep elements of HTML, and show other raw pieces, such as List<int>, as
        text.
        """
        language, text = node["c"]
        if is_comment(node):
            return []
        if language == "html" and _ELEMENT.fullmatch(text.strip()):
            return [node]
        is_block = node["t"] == "RawBlock"
        return [{"t": "Para", "c": [string(text)]}] if is_block else [string(text)]

    def _embed(self, name: str) -> str:
        """Return a picture, attached to the cell or a file of the report, as a data:
        URL.
        """
        report = self.contents.run.report
        attached = self.part.cell.get("attachments", {})
        found = attached.get(name.removeprefix("attachment:"), {})
        try:
            if found:
                content = base64.b64decode(next(iter(found.values())))
            elif name.startswith("data:"):
                content = base64.b64decode(name.partition("base64,")[2])
            else:
                path = (report.notebooks / name).resolve()
                path.relative_to(report.root.resolve())
                content = path.read_bytes()
            with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
                kind = str(picture.format).lower()
        except (OSError, ValueError) as error:
            wanted = "a PNG or JPEG of the report, named from the notebook's folder, "
            wanted += "or one attached to the cell"
            raise expected(wanted, name[:60], "save it there") from error
        return f"data:image/{kind};base64,{encode(content)}"


def write_chapter(
    chapter: Chapter, contents: Contents, edition: Edition
) -> NotebookNode:
    """Write all texts of a chapter as the edition has them, in one run of pandoc.

    Returns a copy of the notebook in which a cell of prose has them as its source, an
    output as `written`, and a figure or a table has its `label`. Raises LabreportError,
    which names the cell.
    """
    notebook = deepcopy(chapter.notebook)
    trees: dict[tuple[int, int], Tree] = {}
    for part in chapter.document.parts:
        writer = _Writer(edition, contents, part)
        asked = part.question and part.question._asdict()
        notebook.cells[part.position - 1].metadata.asked = asked
        with located(part.where):
            for index in range(PROSE, len(part.cell.get("outputs", ()))):
                text = chapter.texts.get((part.position, index))
                if text:
                    label = chapter.labels.get((part.position, index), "")
                    tree = walk(text.tree, writer.change)
                    trees[part.position, index] = edition.table(tree, label)
    texts = write(list(trees.values()), edition.language, edition.options)
    for (position, index), text in zip(trees, texts, strict=True):
        cell = notebook.cells[position - 1]
        if index == PROSE:
            cell.source = text
            continue
        cell.outputs[index].written = text
        cell.outputs[index].label = chapter.labels.get((position, index), "")
        cell.outputs[index].alt = words(trees[position, index][:1])
    return notebook


def write_works(
    contents: Contents, chapters: Sequence[Chapter], edition: Edition
) -> dict[str, str]:
    """Write the works that chapters and their headlines cite, by key, in the order of
    authors.
    """
    texts: list[Text] = list(contents.citations.values())
    for chapter in chapters:
        texts += chapter.texts.values()
    works = cited_works(texts, contents.works)
    written = write(list(works.values()), edition.language, edition.options)
    return dict(zip(works, written, strict=True))


def write_citations(contents: Contents, edition: Edition) -> dict[str, str]:
    """Write the citations of works that headlines name, by key."""
    trees = [text.tree for text in contents.citations.values()]
    written = write(trees, edition.language, edition.options)
    return dict(zip(contents.citations, written, strict=True))


def select_shown(notebook: NotebookNode) -> NotebookNode:
    """Select the cells and outputs that the report shows, in place."""
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        shown = visibility(cell)
        if not shown.source:
            # As the templates of nbconvert read it.
            cell.metadata.transient = {"remove_source": True}
        if cell.cell_type == "code":
            kept = filter(is_shown, cell.outputs if shown.outputs else [])
            cell.outputs = list(kept)
        if any(shown):
            cells.append(cell)
    notebook.cells = cells
    return notebook


def is_shown(output: NotebookNode) -> bool:
    """Return whether the report shows an output: a figure, a table, or what the
    chapter's code prints or displays.
    """
    message = output.get("data", {}).get(MIME)
    return message is None or message["kind"] in FLOATS
