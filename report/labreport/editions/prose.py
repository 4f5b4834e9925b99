"""What all editions share: the filter of their Markdown (numbers, references,
citations), and which cells they show.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

from nbconvert.preprocessors import TagRemovePreprocessor
from nbformat import NotebookNode

from labreport import LabreportError
from labreport.editions.contents import (
    FLOATS,
    Contents,
    ExecutedChapter,
    Label,
    fragments,
    name_place,
)
from labreport.editions.sources import code_cells, read_citation_keys
from labreport.notebook.chapter import MIME
from labreport.notebook.prose import reference_label, require_known, write_references
from labreport.notebook.syntax import Node, Tree, nodes, walk, words, write

_UNITS = r"(?:px|pixels?|ms|s|min|h|[kMG]i?B|[kM]|GHz|epochs?|steps?|classes|pictures|images|digits|seeds?|cores?)"
_NUMBER = re.compile(r"\{\{(\d+)\}\}")  # as contents.py has them
_BARE_POINT = re.compile(r"(?<![\w.)\]}])\.(?=\d)")
# Of HTML, what a paragraph or a block may have beside text; anything else is text that
# has angle brackets.
_ELEMENT = re.compile(
    r"</?(a|abbr|b|blockquote|br|center|code|d[dlt]|del|details|div|em|h[1-6r]|i|ins|kbd|li|mark"
    r"|[ou]l|p|pre|q|s|samp|small|span|strong|su[bp]|summary|table|tbody|t[dhr]|thead|u|var)\b[^<>]*>"
)
_SPACES = {"Space": " ", "SoftBreak": "\n"}
# What all editions print behind a sentence that their run contradicts.
REFUTED = "[In this run this does not hold.]"


@dataclass(frozen=True)
class Edition:
    """How an edition writes what pandoc does not know: references, equations with or
    without a number, headings.

    refuted: what stands behind a sentence that the run contradicts. number: what a
    placeholder's number becomes, of its words and what is known of it; the words alone,
    by default. picture: what pandoc reads as the target of an embedded picture.
    """

    refer: Callable[[str, Label], Node]
    equation: Callable[[str, str, str], Node]  # of TeX, label and number
    heading: Callable[[str], Tree]  # what stands before a title, of its number
    refuted: Node
    number: Callable[[Tree, dict[str, Any]], Tree] = lambda words, _: words
    picture: Callable[[str], str] = str


def raw(language: str, text: str) -> Node:
    """A piece of `language` that other editions do not show."""
    return {"t": "RawInline", "c": [language, text]}


def span(content: Tree, kind: str, label: str = "") -> Node:
    """A part of a line that has a class, and maybe a label."""
    return {"t": "Span", "c": [[label, [kind], []], content]}


def link(text: str, target: str) -> Node:
    """A link whose words stay on one line."""
    return {
        "t": "Link",
        "c": [
            ["", [], []],
            [{"t": "Str", "c": text.replace(" ", "\u00a0")}],
            [target, ""],
        ],
    }


@dataclass(frozen=True)
class ProseFilter:
    """Applied by `walk` to the lists of nodes of a chapter; a ReportError for what is
    not known or does not fit.
    """

    edition: Edition
    contents: Contents
    chapter: ExecutedChapter
    citation_keys: set[str]

    def __call__(self, tree: Tree) -> Tree:
        """The nodes as this edition has them."""
        changed = [other for node in tree for other in self._change(node)]
        return list(self._fill_runs(changed))

    def _change(self, node: Node) -> Tree:
        kind, content = node["t"], node.get("c", [])
        if kind == "Math":
            return [{"t": "Math", "c": [content[0], _write_math(content[1])]}]
        if kind == "Span" and "equation" in content[0][1]:
            (label, _, attributes), (formula,) = content
            return [
                self.edition.equation(
                    formula["c"][1], label, dict(attributes).get("number", "")
                )
            ]
        if kind == "Span" and "refuted" in content[0][1]:
            return [self.edition.refuted]
        if kind == "Header":
            level, (label, _, attributes), title = content
            number = self.edition.heading(dict(attributes).get("number", ""))
            return [{"t": "Header", "c": [level, [label, [], []], [*number, *title]]}]
        if kind == "Image":
            attributes, alt, (url, title) = content
            return [
                {
                    "t": "Image",
                    "c": [attributes, alt, [self.edition.picture(url), title]],
                }
            ]
        if kind in ("RawInline", "RawBlock"):
            return _show_raw(node)
        return write_references(node, self._refer)

    def _refer(self, key: str) -> Node | None:
        label = reference_label(key, self.chapter.number)
        require_known(key, label, self.contents.labels, self.citation_keys)
        return self.edition.refer(label, self.contents.labels[label]) if label else None

    def _fill_runs(self, tree: Tree) -> Iterator[Node]:
        """Join each run of words and spaces to one text, fill it in, and take it apart
        again.
        """
        run = ""
        for node in [*tree, None]:
            if node and (node["t"] == "Str" or node["t"] in _SPACES):
                run += node.get("c") or _SPACES[node["t"]]
                continue
            yield from self._fill_words(run)
            run = ""
            if node:
                yield node

    def _fill_words(self, text: str) -> Iterator[Node]:
        parts = iter(_NUMBER.split(text))  # text, place, text, place, text
        pieces: list[tuple[str, dict[str, Any]]] = [(write_alike(next(parts)), {})]
        for place, behind in zip(parts, parts, strict=True):
            number = self.chapter.numbers[int(place)]
            pieces += [(number["text"], number), (write_alike(behind), {})]
        together = keep_together("".join(piece for piece, _ in pieces))
        for piece, number in pieces:
            words, together = _words(together[: len(piece)]), together[len(piece) :]
            yield from self.edition.number(words, number) if number else words


def _show_raw(node: Node) -> Tree:
    """HTML's elements as they are; TeX, and what is no element, as text: List<int>."""
    language, text = node["c"]
    if text.startswith("<!--"):  # for those who write
        return []
    if language == "html" and (found := _ELEMENT.fullmatch(text.strip())):
        return [{"t": "LineBreak"}] if found[1] == "br" else [node]
    shown = {"t": "Str", "c": text}
    return [shown if node["t"] == "RawInline" else {"t": "Para", "c": [shown]}]


def _write_math(formula: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3})", "{,}", _BARE_POINT.sub("0.", formula))


def write_alike(text: str) -> str:
    """Typed numbers as evaluated ones are written: 95% and 0.5, whether typed so or as
    "95 %" and ".5".

    text: what stands between two evaluated numbers, of which the first may be followed
    by its sign.
    """
    return _BARE_POINT.sub("0.", re.sub(r"(?:(?<=\d)|^)[ \n\u00a0]%", "%", text))


def keep_together(text: str) -> str:
    """Numbers with their units on one line, and minus signs; no character moves."""
    text = re.sub(rf"(?<=\d)[ \n](?={_UNITS}(?!\w))", "\u00a0", text)
    text = re.sub(r"(?<=[\d%])[ \n](?=[±×] )|(?<=[  ][±×≈<>≤≥]) (?=\d)", "\u00a0", text)
    return re.sub(r"(?<![\w/.@{}#-])-(?=\d)", "−", text)


def _words(text: str) -> Tree:
    nodes = {" ": {"t": "Space"}, "\n": {"t": "SoftBreak"}}
    return [
        nodes.get(part) or {"t": "Str", "c": part}
        for part in re.split(r"([ \n])", text)
        if part
    ]


class Heading(NamedTuple):
    """A numbered heading, for the contents."""

    level: int
    number: str
    label: str
    title: str


def write_prose(
    chapter: ExecutedChapter,
    contents: Contents,
    edition: Edition,
    language: str,
    options: Sequence[str] = (),
    polish: Callable[[str], str] = str,
) -> tuple[NotebookNode, list[Heading], str]:
    """A copy of the chapter's notebook with all Markdown as the edition has it, its
    headings, and the works cited.

    pandoc writes all of it in one run; polish: the last touch to each piece. A
    ReportError names the text that cannot be written.
    """
    notebook = deepcopy(chapter.notebook)
    filtered = ProseFilter(edition, contents, chapter, read_citation_keys())
    places, trees = list(fragments(notebook)), []
    for (place, box, key), tree in zip(places, chapter.prose, strict=True):
        with name_place(chapter.name, place, box[key]):
            trees.append(walk(tree, filtered))
        if key != "source":
            trees[-1] = [{"t": "Plain", "c": block["c"]} for block in trees[-1]]
        if key == "caption":
            box["alt"] = words(trees[-1])
    try:
        *parts, works = map(polish, write(trees, language, options))
    except LabreportError:
        for (place, box, key), tree in zip(places, trees, strict=True):
            with name_place(chapter.name, place, box[key]):
                write([tree], language, options)
        raise
    for (_, box, key), part in zip(places, parts, strict=True):
        box[key] = part
    headers = (node["c"] for node in nodes(chapter.prose) if node["t"] == "Header")
    headings = [
        Heading(level, number, label, words(walk(title, filtered)))
        for level, (label, _, attributes), title in headers
        for _, number in attributes
    ]
    return notebook, headings, works


def select_shown(notebook: NotebookNode) -> NotebookNode:
    """The cells, inputs and outputs that no tag keeps out of the report."""
    removal = TagRemovePreprocessor(
        remove_cell_tags={"remove-cell", "parameters"},
        remove_input_tags={"remove-input"},
        remove_all_outputs_tags={"remove-output"},
    )
    notebook, _ = removal.preprocess(notebook, {})
    for cell in code_cells(notebook):
        cell.outputs = [output for output in cell.outputs if is_shown(output)]
    return notebook


def is_shown(output: NotebookNode) -> bool:
    """Whether it is a figure, a table, or what the chapter's code prints or displays;
    stderr is the libraries'.
    """
    message = output.get("data", {}).get(MIME)
    return message["kind"] in FLOATS if message else output.get("name") != "stderr"
