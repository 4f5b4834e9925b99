"""A chapter as it is written: its prose as pandoc's trees, with all numbers of parts,
references and citations in place, and what each cell of code shows.

A chapter is read once. Its placeholders stay in the trees as code of the class
"number", its claims as comments; an edition replaces both.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode

from labreport import LabreportError, check_name, expected, first_line
from labreport.expressions import (
    find_claim,
    mark_placeholders,
    one_line,
    require_comments,
    split_format,
)
from labreport.numbering import Heading, Label, Numbering, read_heading
from labreport.pandoc import (
    Node,
    Tree,
    cite,
    has_class,
    link,
    nodes,
    parse,
    string,
    walk,
    word_of,
    words,
)
from labreport.report import Source, tags

# What a call shows; its last two arguments are name and caption.
SHOWN = {"show_figure": "fig", "show_animation": "fig", "show_table": "tab"}
KEY = r"[A-Za-z0-9_](?:[\w:.#$%&+?<>~/-]*\w)?"
REFERENCE_OR_CITATION = rf"\[[^\[\]]*?@[A-Za-z][^\[\]]*\]|(?<![\w@\\])@{KEY}"
_REFERENCE = re.compile(r"(fig|tab|sec|eq)-(?:(\d+|[A-Z])-)?(.+)")  # of a key
# In a caption or a cell of a table what is Markdown (placeholders, references,
# citations, formulas and code), or a sign that is text.
_TEXT = re.compile(
    rf"(?P<markdown>{REFERENCE_OR_CITATION}|\{{\{{[^{{}}]+\}}\}}|\$(?=\S)[^$]*(?<=\S)\$(?!\d)"
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))|[!#$&(-+.:<>@\[-`{-~-]"
)
TAGS = {"parameters", "remove-cell", "remove-input", "remove-output", "setup", "title"}
TAGS |= {"question", "answer", "exercise", "cover", "appendix", "raises-exception"}
_QUESTION = re.compile(r"\*\*Question (\d+[a-z]?)( ★)?( Bonus)?\*\*\s*")


@dataclass
class Text:
    """A piece of Markdown of a chapter.

    chapter: its number. where: the cell that errors name. language: "markdown", or
    "html" for an output. tree: its blocks. answers: what stands for each reference and
    citation as it was typed.
    """

    markdown: str
    chapter: str
    where: str
    language: str = "markdown"
    tree: Tree = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def placeholders(self) -> list[str]:
        """Return what stands between the braces of each placeholder."""
        return [node["c"][1] for node in nodes(self.tree) if has_class(node, "number")]


class Question(NamedTuple):
    """The first line of a question, **Question 5 ★ Bonus**."""

    number: str
    starred: bool
    bonus: bool


class Claim(NamedTuple):
    """A claim: the expression that must hold, and its comment."""

    expression: str
    comment: Node


@dataclass
class Float:
    """A figure ("fig") or a table ("tab") that a cell of code shows.

    words: its number, as Figure 1.1. caption: its words, if the code has them as one
    string.
    """

    kind: str
    name: str
    caption: Text | None
    label: str = ""
    words: str = ""


@dataclass
class Part:
    """A cell of a chapter: prose with its text, or code with what it shows."""

    cell: NotebookNode
    position: int
    where: str
    text: Text | None = None
    question: Question | None = None
    floats: list[Float] = field(default_factory=list)

    @property
    def texts(self) -> list[Text]:
        """Return the texts of the cell, its own or those of captions."""
        texts = [self.text] if self.text else []
        return texts + [shown.caption for shown in self.floats if shown.caption]

    @property
    def placeholders(self) -> list[str]:
        """Return the placeholders of its texts, each once."""
        found: dict[str, None] = {}
        for text in self.texts:
            found.update(dict.fromkeys(text.placeholders))
        return list(found)

    @property
    def claims(self) -> list[Claim]:
        """Return the claims of its prose in reading order."""
        claims: list[Claim] = []
        for node in nodes(self.text.tree if self.text else []):
            expression = find_claim(node["c"][1]) if is_comment(node) else ""
            if expression:
                claims.append(Claim(expression, node))
        return claims


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
        found: list[Heading] = []
        for text in self.texts:
            for node in nodes(text.tree):
                if node["t"] == "Header" and node["c"][0] <= 3:
                    found.append(read_heading(node))
        return found

    @property
    def floats(self) -> dict[str, Float]:
        """Return figures and tables by their labels."""
        return {shown.label: shown for part in self.parts for shown in part.floats}

    @property
    def answers(self) -> dict[str, str]:
        """Return what stands for each reference and citation of its prose."""
        answers: dict[str, str] = {}
        for text in self.texts:
            answers |= text.answers
        return answers

    def above(self, position: int) -> int:
        """Return the position of the last cell of code at or above a cell; 0 if there
        is none.
        """
        for part in reversed(self.parts[:position]):
            if part.cell.cell_type == "code":
                return part.position
        return 0


def read_documents(
    sources: Sequence[Source],
    bibliography: Path,
    others: Mapping[str, Label] | None = None,
) -> tuple[list[Document], dict[str, Node]]:
    """Read chapters. others: labels of chapters that are not read.

    Returns their documents, and all works of the bibliography by key. Mistakes are
    noted, each in one sentence with its cell: no one hides another.
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
    try:
        found, works = resolve_texts(texts, labels, bibliography)
    except LabreportError as error:
        found, works = [], {}
        documents[0].mistakes.append(f"{bibliography.name}: {error}")
    mistakes += found
    for document in documents:
        own = f"{document.source.name}, cell "
        document.mistakes += [line for line in mistakes if line.startswith(own)]
    return documents, works


def _read_parts(source: Source) -> Document:
    document = Document(source, [])
    for position, cell in enumerate(source.notebook.cells, start=1):
        start = first_line(cell.source, 40)
        where = f"{source.name}, cell {position} ({start})"
        part = Part(cell, position, where)
        try:
            for tag in tags(cell):
                check_name("a tag", tag, sorted(TAGS))
            if cell.cell_type == "code" and visibility(cell).outputs:
                part.floats = _read_floats(source, cell.source, where)
            elif cell.cell_type == "markdown" and visibility(cell).source:
                part.question = _read_question(cell)
                require_comments(cell.source)
                markdown = cell.source
                if part.question:
                    markdown = _QUESTION.sub("", markdown, count=1)
                marked = mark_placeholders(markdown)
                part.text = Text(marked, source.number, where)
        except LabreportError as error:
            document.mistakes.append(f"{where}: {error}")
        document.parts.append(part)
    return document


def _read_question(cell: NotebookNode) -> Question | None:
    """Read the first line of a question; None for another cell."""
    if "question" not in tags(cell):
        return None
    match = _QUESTION.match(cell.source)
    if not match:
        got = repr(first_line(cell.source, 30))
        raise expected("the first line **Question 3** or 3a", got, "write it")
    return Question(match[1], bool(match[2]), bool(match[3]))


def _read_floats(source: Source, code: str, where: str) -> list[Float]:
    """Find the figures and tables that a cell's code shows, in its order."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a magic
        return []
    calls = [node for node in ast.walk(tree) if is_showing(node)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    found: list[Float] = []
    for call in calls:
        kind = SHOWN[call.func.attr]
        name, caption = name_and_caption(call)
        if not isinstance(name, ast.Constant) or caption is None:
            wanted = f"a name as it is, such as 'cat', and a caption in {call.func.attr}"
            got = first_line(ast.unparse(call))
            raise expected(wanted, got, "write each call with both")
        literal = find_literal(tree, caption)
        text = None
        if literal is not None:
            text = Text(write_text(literal.value), source.number, where)
        found.append(Float(kind, str(name.value), text))
    return found


def is_showing(node: ast.AST) -> bool:
    """Return whether a node of code calls what shows a figure or a table."""
    is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return is_method and node.func.attr in SHOWN


def name_and_caption(call: ast.Call) -> tuple[ast.expr | None, ast.expr | None]:
    """Return the arguments name and caption of a call: its second and third, unless
    they have keywords.
    """
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    positional = dict(enumerate(call.args))
    name = named.get("name", positional.get(1))
    caption = named.get("caption", positional.get(2))
    return name, caption


def find_literal(tree: ast.Module, caption: ast.expr | None) -> ast.Constant | None:
    """Find the string of a caption, which may be a name that the cell sets once; None
    if code makes it.
    """
    if isinstance(caption, ast.Name):
        values: list[ast.expr | None] = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                values += [None] if node.id == caption.id else []
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == caption.id:
                values.append(node.value)
        # The name as it is set, and its value.
        caption = values[0] or values[1] if len(values) == 2 else None
    is_text = isinstance(caption, ast.Constant) and isinstance(caption.value, str)
    return caption if is_text else None


def write_text(text: str) -> str:
    """Write a caption or a table's cell as Markdown, on one line.

    It is text, except for placeholders, references, citations, $x$ and `code`.
    """

    def escape(match: re.Match[str]) -> str:
        markdown = match["markdown"]
        if markdown is None:
            return f"\\{match[0]}"
        return mark_placeholders(markdown)

    return _TEXT.sub(escape, one_line(text))


def parse_texts(texts: Sequence[Text]) -> list[str]:
    """Parse texts; return a sentence for each mistake."""
    mistakes: list[str] = []
    languages = [text.language for text in texts]
    pieces = parse([text.markdown for text in texts], languages)
    for text, piece in zip(texts, pieces, strict=True):
        text.tree = piece.tree
        if piece.warning:
            got = f"{first_line(text.markdown, 90)!r} ({piece.warning})"
            error = expected("Markdown that pandoc can read", got, "correct it")
            mistakes.append(f"{text.where}: {error}")
        mistakes += [f"{text.where}: {error}" for error in _find_misplaced(text.tree)]
        for placeholder in text.placeholders:
            try:
                split_format(placeholder)
            except LabreportError as error:
                mistakes.append(f"{text.where}: {error}")
    return mistakes


def _find_misplaced(tree: Tree) -> Iterator[LabreportError]:
    """Find placeholders in formulas, code, HTML and targets of links."""
    for node in nodes(tree):
        typed = ""
        if node["t"] in ("Math", "Code", "CodeBlock", "RawInline", "RawBlock"):
            typed = node["c"][1]
        elif node["t"] in ("Link", "Image"):
            typed = node["c"][2][0]
        if "{.number}" in typed or "%7B.number%7D" in typed:
            wanted = "a placeholder in a sentence"
            got = f"one in {first_line(typed)!r}"
            yield expected(wanted, got, "write the number beside it")


def _number(document: Document) -> None:
    """Number the parts of a chapter whose texts are parsed."""
    source = document.source
    numbering = Numbering(source.number, source.name)
    for part in document.parts:
        try:
            if part.text:
                numbering.number_prose(part.text.tree, part.position)
            for shown in part.floats:
                shown.label, shown.words = numbering.number_float(
                    shown.kind, shown.name, part.position
                )
        except LabreportError as error:
            document.mistakes.append(f"{part.where}: {error}")
    if not numbering.counts[1]:
        error = expected("a top heading (# Title)", "none", "begin with one")
        document.mistakes.append(f"{source.name}, cell 1: {error}")
    document.labels = numbering.labels


def resolve_texts(
    texts: Sequence[Text], labels: Mapping[str, Label], bibliography: Path
) -> tuple[list[str], dict[str, Node]]:
    """Put the words of references and citations into parsed texts.

    A reference becomes a link of the class "reference" to its label, a citation links
    to #ref-KEY. Returns a sentence for each mistake, and the works by key.
    """
    mistakes: list[str] = []
    for text in texts:
        resolver = _Resolver(text, labels)
        text.tree = walk(text.tree, resolver.change)
        mistakes += resolver.mistakes
    trees, works = cite([text.tree for text in texts], bibliography)
    for text, tree in zip(texts, trees, strict=True):
        collector = _Collector(text, works)
        text.tree = walk(tree, collector.change)
        mistakes += collector.mistakes
    return mistakes, works


@dataclass
class _Resolver:
    """Puts references into a text, before works are cited."""

    text: Text
    labels: Mapping[str, Label]
    mistakes: list[str] = field(default_factory=list)

    def change(self, node: Node) -> Tree:
        """Put each citation with references into a span that keeps what was typed."""
        if node["t"] != "Cite":
            return [node]
        citations, typed = node["c"]
        works = [each for each in citations if not self._label(each)]
        written: Tree = []
        for citation in citations:
            label = self._label(citation)
            if label:
                written += self._write_reference(citation, label)
            elif citation is works[0]:
                written.append({"t": "Cite", "c": [works, typed]})
            else:
                continue
            written.append({"t": "Space"})
        attributes = ["", ["answer"], [["typed", words(typed)]]]
        return [{"t": "Span", "c": [attributes, written[:-1]]}]

    def _label(self, citation: Node) -> str:
        """Return the label to which a citation refers, or "" for a work."""
        return reference_label(citation["citationId"], self.text.chapter)

    def _write_reference(self, citation: Node, label: str) -> Tree:
        """Write a reference, with what was typed before and behind it as text or in
        brackets.
        """
        if label not in self.labels:
            wanted = "a reference to something shown"
            error = expected(wanted, f"@{citation['citationId']}", "correct it")
            self.mistakes.append(f"{self.text.where}: {error}")
            return [string(f"@{citation['citationId']}")]
        shown = self.labels[label].words.replace(" ", "\u00a0")
        named = link([string(shown)], f"#{label}", "reference")
        before = citation["citationPrefix"]
        behind = citation["citationSuffix"]
        if citation["citationMode"]["t"] == "AuthorInText":
            if not behind:
                return [named]
            return [named, {"t": "Space"}, string("("), *behind, string(")")]
        if before:
            before = [*before, {"t": "Space"}]
        return [string("("), *before, named, *behind, string(")")]


def reference_label(key: str, chapter: str) -> str:
    """Return the label to which `@key` refers in a chapter, such as fig-1-cat; "" for a
    work.
    """
    reference = _REFERENCE.fullmatch(key)
    if not reference:
        return ""
    kind, number, name = reference.groups()
    return f"{kind}-{number or chapter}-{name}"


@dataclass
class _Collector:
    """Takes the answers of a text out of its spans, after works are cited."""

    text: Text
    works: Mapping[str, Node]
    mistakes: list[str] = field(default_factory=list)

    def change(self, node: Node) -> Tree:
        """Keep what a citation or a span of an answer contains."""
        if node["t"] == "Cite":
            for citation in node["c"][0]:
                key = citation["citationId"]
                if key not in self.works:
                    wanted = "a work in report/references.bib"
                    remedy = "add it or correct the key"
                    error = expected(wanted, f"@{key}", remedy)
                    self.mistakes.append(f"{self.text.where}: {error}")
            return node["c"][1]
        if has_class(node, "answer"):
            (_, _, attributes), content = node["c"]
            self.text.answers[dict(attributes)["typed"]] = words(content)
            return content
        return [node]


def cited_works(texts: Iterable[Text]) -> set[str]:
    """Return the keys of the works that texts cite."""
    keys: set[str] = set()
    for text in texts:
        for node in nodes(text.tree):
            if node["t"] == "Link" and node["c"][2][0].startswith("#ref-"):
                keys.add(node["c"][2][0].removeprefix("#ref-"))
    return keys


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
    line = ""
    for node in nodes(tree):
        if node is comment:
            break
        if has_class(node, "number"):
            line += values.get(node["c"][1], "…")
        else:
            line += word_of(node)
    last = line.rstrip().rpartition("\n")[2]
    return re.split(r"(?<=[.!?])\s", one_line(last))[-1]
