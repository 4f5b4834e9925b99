"""Pieces of a chapter's Markdown as pandoc's trees."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from labreport import LabreportError, expected, first_line
from labreport.expressions import one_line, split_format
from labreport.pandoc import Tree, has_class, nodes, parse
from labreport.report import Source

KEY = r"[A-Za-z0-9_](?:[\w:.#$%&+?<>~/-]*\w)?"
REFERENCE_OR_CITATION = (
    rf"\[[^\[\]]*?@[A-Za-z][^\[\]]*\]|(?<![\w@\\])@{KEY}(?:\s\[[^\[\]@]*\](?!\())?"
)
# In a caption or a cell of a table what is Markdown (placeholders, references,
# citations, formulas and code), or a sign that is text.
_TEXT = re.compile(
    rf"(?P<markdown>{REFERENCE_OR_CITATION}|\{{\{{[^{{}}]+\}}\}}|\$(?=\S)[^$]*(?<=\S)\$(?!\d)"
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))|[!#$&(-+.:<>@\[-`{-~-]"
)


@dataclass
class Text:
    """A piece of Markdown of a chapter.

    source: its chapter. where: the cell that errors name. language: "markdown", or
    "html" for an output. tree: its blocks. answers: what stands for each reference and
    citation as it was typed, in Markdown.
    """

    markdown: str
    source: Source
    where: str
    language: str = "markdown"
    tree: Tree = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def placeholders(self) -> list[str]:
        """Return what stands between the braces of each placeholder."""
        return [node["c"][1] for node in nodes(self.tree) if has_class(node, "number")]


def write_text(text: str) -> str:
    """Write a caption or a table's cell as Markdown, on one line.

    It is text, except for placeholders, references, citations, $x$ and `code`.
    """

    def escape(match: re.Match[str]) -> str:
        return match["markdown"] or f"\\{match[0]}"

    return _TEXT.sub(escape, one_line(text))


def parse_texts(texts: Sequence[Text]) -> list[str]:
    """Parse texts; return a sentence for each mistake."""
    mistakes: list[str] = []
    languages = [text.language for text in texts]
    pieces = parse([text.markdown for text in texts], languages)
    for text, piece in zip(texts, pieces, strict=True):
        text.tree = piece.tree
        for error in _find_mistakes(text, piece.warning):
            mistakes.append(f"{text.where}: {error}")
    return mistakes


def _find_mistakes(text: Text, warning: str) -> Iterator[LabreportError]:
    """Find what is wrong with a text that was parsed."""
    if warning and text.language == "markdown":
        got = f"{first_line(text.markdown, 90)!r} ({warning})"
        yield expected("Markdown that pandoc can read", got, "correct it")
    if re.search(r"\{\.number\}|%7B\.number%7D", json.dumps(text.tree)):
        got = "one in a formula, code, a link or HTML"
        yield expected("a placeholder in a sentence", got, "write the number beside it")
    for node in nodes(text.tree):
        if node["t"] in ("RawInline", "RawBlock") and "\\begin" in node["c"][1]:
            got = first_line(node["c"][1])
            yield expected("a formula between $$", got, "write aligned inside $$")
    for placeholder in text.placeholders:
        try:
            split_format(placeholder)
        except LabreportError as error:
            yield error
