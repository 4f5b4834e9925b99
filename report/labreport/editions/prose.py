"""Write a chapter's prose for an edition, with numbers, references and citations filled
in.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from nbformat import NotebookNode

from labreport import LabreportError, expected
from labreport.editions.contents import Contents
from labreport.editions.executed import ExecutedChapter, Number
from labreport.editions.outputs import fragments, locate_errors
from labreport.notebook.claims import FALSE
from labreport.notebook.numbering import Heading, Label, read_heading
from labreport.notebook.references import (
    reference_label,
    require_known,
    write_references,
)
from labreport.notebook.syntax import Node, Tree, walk, words, write

_UNITS = r"(?:px|pixels?|ms|s|min|h|[kMG]i?B|[kM]|GHz)"
_NUMBER = re.compile(r"\{\{(\d+)\}\}")  # as executed.py has them
_LEFT_OVER = re.compile(r"\{\{[^{}\s]*\}{0,2}")
_BARE_POINT = re.compile(r"(?<![\w.)\]}])\.(?=\d)")
# Of HTML, what a paragraph or a block may have beside text; anything else is text that
# has angle brackets.
_ELEMENT = re.compile(
    r"</?(a|abbr|b|blockquote|br|center|code|d[dlt]|del|details|div|em|h[1-6r]|i|ins|kbd|li|mark"
    r"|[ou]l|p|pre|q|s|samp|small|span|strong|su[bp]|summary|table|tbody|t[dhr]|thead|u|var)\b[^<>]*>"
)
_SPACES = {"Space": " ", "SoftBreak": "\n"}
# What all editions print behind a sentence that their run contradicts.
REFUTED = f"[{FALSE}.]"


@dataclass(frozen=True)
class Edition:
    """How an edition writes what pandoc does not know.

    refer: a function that writes a reference from a label and its `Label`. equation:
    one that writes an equation from its TeX, label and number (empty without one).
    heading: one that writes what stands before a title, from its `Heading`. refuted:
    what stands behind a sentence that the run contradicts. number: a function that
    writes a number in the text from its words and its `Number`; by default these words.
    picture: one that writes the target of an embedded picture from its data: URL.
    """

    refer: Callable[[str, Label], Node]
    equation: Callable[[str, str, str], Node]
    heading: Callable[[Heading], Tree]
    refuted: Node
    number: Callable[[Tree, Number], Tree] = lambda content, _: content
    picture: Callable[[str], str] = str


def raw(language: str, text: str) -> Node:
    """Make a piece of `language` that other editions do not show."""
    return {"t": "RawInline", "c": [language, text]}


def span(content: Tree, kind: str, label: str = "") -> Node:
    """Make a part of a line that has a class, and maybe a label."""
    return {"t": "Span", "c": [[label, [kind], []], content]}


def link(text: str, target: str) -> Node:
    """Make a link whose words stay on one line."""
    content = [{"t": "Str", "c": text.replace(" ", "\u00a0")}]
    return {"t": "Link", "c": [["", [], []], content, [target, ""]]}


@dataclass(frozen=True)
class ProseFilter:
    """Writes lists of nodes as an edition has them; `walk` applies it to a chapter.

    headings: the numbered headings that it has written, in reading order. Raises
    LabreportError for a reference or a citation that is not known.
    """

    edition: Edition
    contents: Contents
    chapter: ExecutedChapter
    headings: list[Heading] = field(default_factory=list)

    def __call__(self, tree: Tree) -> Tree:
        """Write the nodes as this edition has them."""
        changed: Tree = []
        for node in tree:
            changed += self._change(node)
        return list(self._fill_runs(changed))

    def _change(self, node: Node) -> Tree:
        kind = node["t"]
        if kind == "Math":
            display, formula = node["c"]
            return [{"t": "Math", "c": [display, _write_math(formula)]}]
        if kind == "Span":
            return [self._change_span(node)]
        if kind == "Header":
            return [self._change_heading(node)]
        if kind == "Image":
            attributes, alt, (url, title) = node["c"]
            target = [self.edition.picture(url), title]
            return [{"t": "Image", "c": [attributes, alt, target]}]
        if kind in ("RawInline", "RawBlock"):
            return _show_raw(node)
        return write_references(node, self._refer)

    def _change_heading(self, node: Node) -> Node:
        heading = read_heading(node)
        if heading.number:
            self.headings.append(heading)
        attributes = [heading.label, [], []]
        title = self.edition.heading(heading) + node["c"][2]
        return {"t": "Header", "c": [heading.level, attributes, title]}

    def _change_span(self, node: Node) -> Node:
        (label, classes, attributes), content = node["c"]
        if "equation" in classes:
            tex = content[0]["c"][1]
            number = dict(attributes)["number"]
            return self.edition.equation(tex, label, number)
        if "refuted" in classes:
            return self.edition.refuted
        return node

    def _refer(self, key: str) -> Node | None:
        label = reference_label(key, self.chapter.number)
        require_known(key, label, self.contents.labels, self.contents.works)
        return self.edition.refer(label, self.contents.labels[label]) if label else None

    def _fill_runs(self, tree: Tree) -> Iterator[Node]:
        """Join each run of words and spaces to one text, fill it in, and take it apart
        again.
        """
        run = ""
        for node in tree:
            if node["t"] == "Str":
                run += node["c"]
            elif node["t"] in _SPACES:
                run += _SPACES[node["t"]]
            else:
                yield from self._fill_words(run)
                yield node
                run = ""
        yield from self._fill_words(run)

    def _fill_words(self, text: str) -> Iterator[Node]:
        """Write the numbers of a text into it, and keep their units on one line with
        them.

        Raises LabreportError for a placeholder that was not evaluated.
        """
        left_over = _LEFT_OVER.search(_NUMBER.sub("", text))
        if left_over:
            raise expected(
                "a placeholder that is evaluated",
                f"{left_over[0]} as text",
                "close the code before it, or write it as code",
            )
        pieces: list[tuple[str, Number | None]] = []  # what was typed has no number
        end = 0
        for match in _NUMBER.finditer(text):
            number = self.chapter.numbers[int(match[1])]
            pieces.append((write_alike(text[end : match.start()]), None))
            pieces.append((number.text, number))
            end = match.end()
        pieces.append((write_alike(text[end:]), None))
        together = keep_together("".join(piece for piece, _ in pieces))
        start = 0
        for piece, evaluated in pieces:
            end = start + len(piece)
            content = _split_words(together[start:end])
            if evaluated:
                content = self.edition.number(content, evaluated)
            yield from content
            start = end


def _show_raw(node: Node) -> Tree:
    """Keep elements of HTML, and show other raw pieces, such as List<int>, as text."""
    language, text = node["c"]
    if text.startswith("<!--"):  # for those who write
        return []
    element = _ELEMENT.fullmatch(text.strip())
    if language == "html" and element:
        return [{"t": "LineBreak"}] if element[1] == "br" else [node]
    shown = {"t": "Str", "c": text}
    return [shown if node["t"] == "RawInline" else {"t": "Para", "c": [shown]}]


def _write_math(formula: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3})", "{,}", _BARE_POINT.sub("0.", formula))


def write_alike(text: str) -> str:
    """Write typed numbers as evaluated ones are written: 95% for "95 %", and 0.5 for
    ".5".

    text: what stands between two evaluated numbers; a percent sign at its start belongs
    to the first of them.
    """
    return _BARE_POINT.sub("0.", re.sub(r"(?:(?<=\d)|^)[ \n\u00a0]%", "%", text))


def keep_together(text: str) -> str:
    """Keep numbers and their units on one line, and write minus signs.

    The number of characters stays the same.
    """
    text = re.sub(rf"(?<=\d)[ \n](?={_UNITS}(?!\w))", "\u00a0", text)
    text = re.sub(r"(?<=[\d%])[ \n](?=[±×] )|(?<=[  ][±×≈<>≤≥]) (?=\d)", "\u00a0", text)
    return re.sub(r"(?<![\w/.@{}#-])-(?=\d)", "−", text)


def _split_words(text: str) -> Tree:
    spaces = {" ": "Space", "\n": "SoftBreak"}
    tree: Tree = []
    for part in re.split(r"([ \n])", text):
        if part in spaces:
            tree.append({"t": spaces[part]})
        elif part:
            tree.append({"t": "Str", "c": part})
    return tree


def write_prose(
    chapter: ExecutedChapter,
    contents: Contents,
    edition: Edition,
    language: str,
    options: Sequence[str] = (),
) -> tuple[NotebookNode, list[Heading], str]:
    """Write all Markdown of a chapter as the edition has it, in one run of pandoc.

    Returns a copy of the notebook with these texts, its headings, and the works cited.
    Raises LabreportError, which names the text, where one cannot be written.
    """
    notebook = deepcopy(chapter.notebook)
    places = list(fragments(notebook))
    prose_filter = ProseFilter(edition, contents, chapter)
    trees: list[Tree] = []
    for fragment, (tree, part) in zip(places, chapter.prose, strict=True):
        with locate_errors(chapter.name, fragment):
            written = walk(tree, prose_filter)
        if fragment.key != "source":
            written = [{"t": "Plain", "c": block["c"]} for block in written]
        if part:
            label, number = part
            fragment.box.update(label=label, number=number, alt=words(written))
        trees.append(written)
    try:
        texts = write(trees, language, options)
    except LabreportError:
        # Written one by one, the text that cannot be written is found.
        for fragment, tree in zip(places, trees, strict=True):
            with locate_errors(chapter.name, fragment):
                write([tree], language, options)
        raise
    works = texts.pop()
    for fragment, text in zip(places, texts, strict=True):
        fragment.box[fragment.key] = text
    return notebook, prose_filter.headings, works
