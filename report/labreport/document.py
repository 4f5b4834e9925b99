"""A chapter as it is written: its prose as pandoc's trees, with all numbers of parts,
references and citations in place, and what each cell of code shows.

A chapter is read once. Its placeholders stay in the trees as code of the class
"number", its claims as comments; an edition replaces both.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode

from labreport import LabreportError, check_name, expected, first_line
from labreport.calls import (
    SHOWN,
    called_method,
    find_calls,
    name_and_caption,
    parse_code,
)
from labreport.expressions import (
    CODE,
    find_claim,
    mark_markdown,
    one_line,
    require_comments,
)
from labreport.numbering import Heading, Label, Numbering, read_heading
from labreport.pandoc import Node, Tree, has_class, nodes, word_of
from labreport.references import resolve_texts
from labreport.report import Source, tags
from labreport.texts import REFERENCE_OR_CITATION, Text, parse_texts, write_text

TAGS = "parameters remove-cell remove-input remove-output setup title question answer "
TAGS += "exercise appendix raises-exception"
# Of HTML, what a paragraph or a block may have beside text; anything else is text that
# has angle brackets.
ELEMENT = re.compile(
    r"</?(a|b|br|center|code|del|details|div|em|i|img|ins|kbd|mark|p|pre|s|small|span"
    r"|strong|su[bp]|summary|table|tbody|t[dhr]|thead|u)\b[^<>]*>"
)
# What an edition in Markdown writes anew; between these pieces, all stays as typed.
PIECE = re.compile(
    rf"{CODE}|\{{\{{(?P<inner>[^{{}}]+)\}}\}}|(?P<token>{REFERENCE_OR_CITATION})"
    r"|(?P<comment><!--.*?-->)|(?P<tag></?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>)"
    r"|(?:\$\$|\\begin\{equation\*?\})(?P<tex>.+?)(?:\$\$|\\end\{equation\*?\})"
    r"|\s*\{#sec-[^}]*\}|(?m:^(?P<heading>#{1,3} +))"
)
_QUESTION = re.compile(r"\*\*Question (\d+[a-z]?)( ★)?( Bonus)?\*\*\s*")


class Question(NamedTuple):
    """The first line of a question, **Question 5 ★ Bonus**."""

    number: str
    starred: bool
    bonus: bool


@dataclass
class Float:
    """A figure ("fig") or a table ("tab") that a cell of code shows.

    caption: its words, if the call has them as one string; written: these in Markdown.
    """

    kind: str
    name: str
    caption: Text | None = None
    written: str = ""


@dataclass
class Part:
    """A cell of a chapter: prose with its text, or code with what it shows.

    above: the position of the last cell of code at or above it; 0 if there is none.
    """

    cell: NotebookNode
    position: int
    where: str
    above: int
    text: Text | None = None
    question: Question | None = None
    floats: list[Float] = field(default_factory=list)
    referred: Text | None = None  # what the strings of its code refer to

    @property
    def tree(self) -> Tree:
        """Return the tree of its prose; empty for code."""
        return self.text.tree if self.text else []

    @property
    def texts(self) -> list[Text]:
        """Return the texts of the cell, its own or those of captions."""
        texts = [text for text in (self.text, self.referred) if text]
        return texts + [shown.caption for shown in self.floats if shown.caption]

    @property
    def placeholders(self) -> list[str]:
        """Return the placeholders of its texts."""
        found: list[str] = []
        for text in self.texts:
            found += text.placeholders
        return found

    @property
    def claims(self) -> dict[str, Node]:
        """Return the comments of the claims of its prose, by their expressions."""
        claims: dict[str, Node] = {}
        for node in nodes(self.tree):
            if is_comment(node):
                claims[find_claim(node["c"][1])] = node
        claims.pop("", None)
        return claims

    @property
    def headings(self) -> list[Heading]:
        """Return the headings of its prose that have a number."""
        found: list[Heading] = []
        for node in nodes(self.tree):
            if node["t"] == "Header" and node["c"][0] <= 3:
                found.append(read_heading(node))
        return found


@dataclass
class Document:
    """A chapter that was read.

    labels: what its labels stand for. mistakes: sentences about what a build stops at.
    """

    source: Source
    parts: list[Part]
    labels: dict[str, Label] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    @property
    def texts(self) -> list[Text]:
        """Return all texts, in reading order."""
        return [text for part in self.parts for text in part.texts]

    @property
    def headings(self) -> list[Heading]:
        """Return the headings that have a number."""
        return [heading for part in self.parts for heading in part.headings]

    @property
    def answers(self) -> dict[str, str]:
        """Return what stands for each reference and citation of its prose."""
        answers: dict[str, str] = {}
        for text in self.texts:
            answers |= text.answers
        return answers


def read_documents(
    sources: Sequence[Source],
    bibliography: Path,
    others: Mapping[str, Label] | None = None,
) -> tuple[list[Document], dict[str, Node]]:
    """Read chapters. others: labels of chapters that are not read.

    Returns their documents, and all works of the bibliography by key. Mistakes are
    noted, each in one sentence with its cell: no one hides another. Raises
    LabreportError for a bibliography that is not valid.
    """
    documents = [_read_parts(source) for source in sources]
    labels = dict(others or {})
    texts: list[Text] = []
    for document in documents:
        texts += document.texts
    mistakes = parse_texts(texts)
    for document in documents:
        _number(document)
        labels |= document.labels
    found, works = resolve_texts(texts, labels, bibliography)
    mistakes += found
    for document in documents:
        own = f"{document.source.name}, cell "
        document.mistakes += [line for line in mistakes if line.startswith(own)]
    return documents, works


def _read_parts(source: Source) -> Document:
    document = Document(source, [])
    above = 0
    for position, cell in enumerate(source.notebook.cells, start=1):
        start = first_line(cell.source, 40)
        where = f"{source.name}, cell {position} ({start})"
        if cell.cell_type == "code":
            above = position
        part = Part(cell, position, where, above)
        try:
            for tag in tags(cell):
                check_name("a tag", tag, TAGS.split())
            if cell.cell_type == "code" and visibility(cell).outputs:
                part.floats = _read_floats(source, cell.source, where)
                if part.floats:
                    part.referred = _read_strings(source, cell.source, where)
            elif cell.cell_type == "markdown" and visibility(cell).source:
                _read_prose(part, source)
        except LabreportError as error:
            document.mistakes.append(f"{where}: {error}")
        document.parts.append(part)
    return document


def _read_prose(part: Part, source: Source) -> None:
    markdown = part.cell.source
    require_comments(markdown)
    if "question" in tags(part.cell):
        line = _QUESTION.match(markdown)
        if not line:
            got = repr(first_line(markdown, 30))
            raise expected("the first line **Question 3** or 3a", got, "write it")
        part.question = Question(line[1], bool(line[2]), bool(line[3]))
        markdown = markdown[line.end() :]
    part.text = Text(mark_markdown(markdown), source, part.where)


def _read_floats(source: Source, code: str, where: str) -> list[Float]:
    """Find the figures and tables that a cell's code shows, in its order."""
    found: list[Float] = []
    for call in find_calls(parse_code(code)):
        name, caption = name_and_caption(call)
        if not isinstance(name, ast.Constant) or caption is None:
            wanted = "a name as it is, such as 'cat', and a caption"
            got = first_line(ast.unparse(call))
            raise expected(wanted, got, "write each call with both")
        shown = Float(SHOWN[called_method(call)], str(name.value))
        if isinstance(caption, ast.Constant):
            shown.written = write_text(str(caption.value))
            shown.caption = Text(mark_markdown(shown.written), source, where)
        found.append(shown)
    return found


def _read_strings(source: Source, code: str, where: str) -> Text:
    """Find the references and citations in the strings of a cell's code, such as those
    of a caption that it makes.
    """
    tokens: list[str] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            tokens += re.findall(REFERENCE_OR_CITATION, node.value)
    return Text("\n\n".join(tokens), source, where)


def _number(document: Document) -> None:
    """Number the parts of a chapter whose texts are parsed."""
    name = document.source.name
    numbering = Numbering(document.source.number, name)
    for part in document.parts:
        try:
            numbering.number_prose(part.tree, part.position)
            _require_headings(part)
            for shown in part.floats:
                numbering.number_float(shown.kind, shown.name, part.position)
        except LabreportError as error:
            document.mistakes.append(f"{part.where}: {error}")
    wanted: list[str] = []
    if not numbering.counts[1]:
        wanted.append("a top heading (# Title)")
    if not any("parameters" in tags(part.cell) for part in document.parts):
        wanted.append(
            "a cell tagged 'parameters' with profile = \"quick\" and seed = 0"
        )
    for missing in wanted:
        sentence = expected(missing, "none", "write it")
        document.mistakes.append(f"{name}, cell 1: {sentence}")
    document.labels = numbering.labels


def _require_headings(part: Part) -> None:
    """Raise LabreportError where lines that begin like a heading are not as many as the
    headings: the editions in Markdown would number others.
    """
    typed = _count_headings(part.cell.source)
    if part.text and typed != len(part.headings):
        wanted = "each heading, and nothing else, on a line that begins with # Title"
        got = f"headings: {len(part.headings)}, such lines: {typed}"
        raise expected(wanted, got, "write it so, outside quotations")


def _count_headings(markdown: str) -> int:
    count = 0
    for match in PIECE.finditer(markdown):
        if match["heading"]:
            count += 1
        elif match["token"]:  # brackets may hold more than a citation
            count += _count_headings(match["token"][1:])
    return count


class Visibility(NamedTuple):
    """Whether the report shows a cell's source, and what it prints or displays."""

    source: bool
    outputs: bool


def visibility(cell: NotebookNode) -> Visibility:
    """Return what of a cell the report shows, by its tags."""
    hiding = set(tags(cell))
    if cell.cell_type == "raw" or hiding & {"remove-cell", "parameters"}:
        return Visibility(source=False, outputs=False)
    return Visibility("remove-input" not in hiding, "remove-output" not in hiding)


def is_comment(node: Node) -> bool:
    """Return whether a node is a comment of HTML."""
    is_raw = node["t"] in ("RawInline", "RawBlock")
    return is_raw and node["c"][1].startswith("<!--")


def sentence_before(comment: Node, tree: Tree, values: Mapping[str, str]) -> str:
    """Return the last sentence before a comment, with the values of placeholders."""
    text = ""
    for node in nodes(tree):
        if node is comment:
            break
        if node["t"] in ("Para", "Plain"):
            text = ""
        elif has_class(node, "number"):
            text += values.get(node["c"][1], "…")
        else:
            text += word_of(node)
    return re.split(r"(?<=[.!?])\s", one_line(text))[-1]
