"""Write the chapters of a report for an edition: the last step, which alone knows it."""

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from nbformat import NotebookNode
from PIL import Image, ImageOps

from labreport import LabreportError, expected, located
from labreport.contents import Chapter, Contents, Number
from labreport.document import Part, Text, cited_works, is_comment, visibility
from labreport.live import FALSE
from labreport.messages import encode, is_shown, places
from labreport.numbering import Heading, Label, read_heading
from labreport.pandoc import Node, Tree, has_class, string, walk, words, write

# Of HTML, what a paragraph or a block may have beside text; anything else is text that
# has angle brackets.
_ELEMENT = re.compile(
    r"</?(a|abbr|b|blockquote|br|center|code|d[dlt]|del|details|div|em|h[1-6r]|i|ins|kbd|li|mark"
    r"|[ou]l|p|pre|q|s|samp|small|span|strong|su[bp]|summary|table|tbody|t[dhr]|thead|u|var)\b[^<>]*>"
)
# What all editions print behind a sentence that their run contradicts.
REFUTED = f"[{FALSE}.]"
# Bytes of PNG above which a figure holds photos, which lossy formats make smaller.
PHOTOGRAPHIC = 100_000
QUALITY = 90


@dataclass(frozen=True)
class Edition:
    """How an edition writes what pandoc does not know.

    language, options: pandoc's. refer: a function that writes a reference from its
    words and a label. equation: one that writes an equation from its formula, label and
    number (empty without one). heading: one that writes what stands before a title.
    refuted: what stands behind a sentence that the run contradicts. number: a function
    that writes a number in the text. picture: one that writes the target of an embedded
    picture from its data: URL.
    """

    language: str
    options: Sequence[str]
    refer: Callable[[Tree, str, Label], Node]
    equation: Callable[[Node, str, str], Node]
    heading: Callable[[Heading], Tree]
    refuted: Node
    number: Callable[[Tree, Number], Node | None] = lambda words, number: None
    picture: Callable[[str], str] = str


@dataclass(frozen=True)
class _Writer:
    """Writes the nodes of a cell as an edition has them."""

    edition: Edition
    contents: Contents
    chapter: Chapter
    part: Part

    def change(self, node: Node) -> Tree:
        """Write a node."""
        kind = node["t"]
        if has_class(node, "number"):
            number = self.chapter.numbers[self.part.position, node["c"][1]]
            content = split_words(number.text)
            written = self.edition.number(content, number)
            return [written] if written else content
        if has_class(node, "reference"):
            label = node["c"][2][0].removeprefix("#")
            named = self.contents.labels[label]
            return [self.edition.refer(node["c"][1], label, named)]
        if has_class(node, "refuted"):
            return [self.edition.refuted]
        if has_class(node, "equation"):
            (label, _, attributes), content = node["c"]
            number = dict(attributes)["number"]
            return [self.edition.equation(content[0], label, number)]
        if kind == "Header":
            heading = read_heading(node)
            title = self.edition.heading(heading) + node["c"][2]
            return [{"t": "Header", "c": [heading.level, [heading.label, [], []], title]}]
        if kind == "Image":
            attributes, alt, (url, title) = node["c"]
            embedded = self._embed(unquote(url))
            target = [self.edition.picture(embedded), title]
            return [{"t": "Image", "c": [attributes, alt, target]}]
        if kind in ("RawInline", "RawBlock"):
            return self._change_raw(node)
        return [node]

    def _change_raw(self, node: Node) -> Tree:
        """Keep elements of HTML, and show other raw pieces, such as List<int>, as
        text.
        """
        is_block = node["t"] == "RawBlock"
        shown = string(node["c"][1])
        if is_comment(node):
            return []
        if node["c"][0] == "html":
            element = _ELEMENT.fullmatch(node["c"][1].strip())
            if element:
                return [{"t": "LineBreak"}] if element[1] == "br" else [node]
        return [{"t": "Para", "c": [shown]}] if is_block else [shown]

    def _embed(self, name: str) -> str:
        """Return a picture, attached to the cell or a file of the report, as a data:
        URL.
        """
        report = self.contents.run.report
        attached = self.part.cell.get("attachments", {})
        found = attached.get(name.removeprefix("attachment:"))
        try:
            if name.startswith("data:"):
                encoded = name.partition("base64,")[2]
            elif found:
                encoded = "".join(found.values())
            else:
                path = (report.notebooks / name).resolve()
                path.relative_to(report.root.resolve())
                encoded = encode(path.read_bytes())
            content = io.BytesIO(base64.b64decode(encoded))
            with Image.open(content, formats=("PNG", "JPEG")) as picture:
                kind = str(picture.format).lower()
        except (OSError, ValueError) as error:
            wanted = "a PNG or JPEG of the report, named from the notebook's folder, "
            wanted += "or one attached to the cell"
            raise expected(wanted, name[:60], "save it there") from error
        return f"data:image/{kind};base64,{encoded}"


def write_chapter(
    chapter: Chapter, contents: Contents, edition: Edition
) -> NotebookNode:
    """Write all texts of a chapter as the edition has them, in one run of pandoc.

    Returns a copy of the notebook in which prose, captions, cells of tables and rich
    outputs are these. Raises LabreportError, which names the cell.
    """
    notebook = deepcopy(chapter.notebook)
    boxes: list[tuple[Any, Any]] = []
    parts: list[Part] = []
    trees: list[Tree] = []
    for part, cell in zip(chapter.document.parts, notebook.cells, strict=True):
        cell.metadata.asked = part.question and part.question._asdict()
        writer = _Writer(edition, contents, chapter, part)
        for index, (box, key) in enumerate(places(cell)):
            text = chapter.texts.get((part.position, index))
            if text is None:
                continue
            with located(part.where):
                tree = walk(text.tree, writer.change)
            if key not in ("source", "text"):
                tree = [{"t": "Plain", "c": block["c"]} for block in tree]
            if key == "caption":
                box["alt"] = words(tree)
            boxes.append((box, key))
            parts.append(part)
            trees.append(tree)
    written = _write_located(trees, parts, edition)
    for (box, key), text in zip(boxes, written, strict=True):
        box[key] = text
    return notebook


def _write_located(
    trees: Sequence[Tree], parts: Sequence[Part], edition: Edition
) -> list[str]:
    try:
        return write(trees, edition.language, edition.options)
    except LabreportError:
        # Written one by one, the text that cannot be written is found.
        for part, tree in zip(parts, trees, strict=True):
            with located(part.where):
                write([tree], edition.language, edition.options)
        raise


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


def split_words(text: str) -> Tree:
    """Return a number's text as words; no line breaks at its signs."""
    text = re.sub(r" (?=[±×])|(?<=[±×]) ", "\u00a0", text)
    tree: Tree = []
    for word in text.split(" "):
        tree += [string(word), {"t": "Space"}]
    return tree[:-1]


def compress(content: bytes, kind: str, size: tuple[int, int] | None = None) -> bytes:
    """Compress a picture as JPEG or WEBP, cropped and scaled to `size`.

    What is transparent becomes white, as the page is.
    """
    file = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        drawn = picture.convert("RGBA")
    opaque = Image.new("RGB", drawn.size, "white")
    opaque.paste(drawn, mask=drawn)
    fitted = ImageOps.fit(opaque, size or opaque.size)
    fitted.save(file, kind, quality=QUALITY)
    return file.getvalue()


def write_works(
    contents: Contents, chapters: Sequence[Chapter], edition: Edition
) -> dict[str, str]:
    """Write the works that chapters cite, by key, in the order of authors."""
    texts: list[Text] = []
    for chapter in chapters:
        texts += chapter.texts.values()
    keys = cited_works(texts)
    trees: dict[str, Tree] = {}
    for key, entry in contents.works.items():
        if key in keys:
            trees[key] = entry["c"][1]
    if not trees:
        return {}
    texts_of_works = write(list(trees.values()), edition.language, edition.options)
    return dict(zip(trees, texts_of_works, strict=True))


def write_citations(contents: Contents, edition: Edition) -> dict[str, str]:
    """Write the citations of works that headlines name, by key."""
    trees = [text.tree for text in contents.citations.values()]
    written = write(trees, edition.language, edition.options)
    return dict(zip(contents.citations, written, strict=True))


def printed(data: Mapping[str, str]) -> str:
    """Return what an output prints as text."""
    return data.get("text/plain", ", ".join(data))
