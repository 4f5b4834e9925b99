"""Put the words of references and citations into texts."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labreport import expected
from labreport.numbering import Label, full_label
from labreport.pandoc import (
    Node,
    Tree,
    cite,
    has_class,
    link,
    nodes,
    span,
    string,
    walk,
    word_of,
    words,
)
from labreport.texts import Text

_REFERENCE = re.compile(r"(fig|tab|sec|eq)-(?:(\d+|[A-Z])-)?(.+)")  # of a key


def resolve_texts(
    texts: Sequence[Text], labels: Mapping[str, Label], bibliography: Path
) -> tuple[list[str], dict[str, Node]]:
    """Put the words of references and citations into parsed texts.

    A reference becomes a link of the class "reference" to its label, a citation links
    to #ref-KEY. Returns a sentence for each mistake, and the works by key.
    """
    mistakes: list[str] = []
    for text in texts:
        resolver = _Resolver(text, labels, mistakes)
        text.tree = walk(text.tree, resolver.change)
    trees, works = cite([text.tree for text in texts], bibliography)
    for text, tree in zip(texts, trees, strict=True):
        collector = _Collector(text, works, mistakes)
        text.tree = walk(tree, collector.change)
    return mistakes, works


@dataclass
class _Resolver:
    """Puts references into a text, before works are cited."""

    text: Text
    labels: Mapping[str, Label]
    mistakes: list[str]

    def change(self, node: Node) -> Tree:
        """Put each citation into a span that keeps what was typed; a reference becomes
        a link, between what was typed before and behind it.
        """
        if node["t"] != "Cite":
            return [node]
        citations, typed = node["c"]
        written: Tree = []
        if not reference_label(citations[0]["citationId"], self.text.source.number):
            written = [node]  # works, which are cited later
        else:
            for citation in citations:
                separator = [string("; ")] if written else []
                written += [*separator, *self._refer(citation)]
            if citations[0]["citationMode"]["t"] != "AuthorInText":
                written = [string("("), *written, string(")")]
        answer = span(written, "answer")
        answer["c"][0][2] = [["typed", words(typed)]]
        return [answer]

    def _refer(self, citation: Node) -> Tree:
        """Return a link to what a reference names, between the words around it."""
        key = citation["citationId"]
        label = reference_label(key, self.text.source.number)
        if label not in self.labels:
            wanted = "a reference to something shown"
            error = expected(wanted, f"@{key}", "correct it, or cite it by itself")
            self.mistakes.append(f"{self.text.where}: {error}")
            return [string(f"@{key}")]
        named = self.labels[label]
        target = f"#{label}"
        if named.chapter != self.text.source.name:
            target = f"{named.chapter}.ipynb#{label}"
        shown = named.words.replace(" ", "\u00a0")
        written = [link([string(shown)], target, "reference")]
        if citation["citationPrefix"]:
            written = [*citation["citationPrefix"], {"t": "Space"}, *written]
        return written + citation["citationSuffix"]


def reference_label(key: str, chapter: str) -> str:
    """Return the label to which `@key` refers in a chapter, such as fig-1-cat; "" for a
    work.
    """
    reference = _REFERENCE.fullmatch(key)
    if not reference:
        return ""
    kind, number, name = reference.groups()
    return full_label(kind, number or chapter, name)


@dataclass
class _Collector:
    """Takes the answers of a text out of its spans, after works are cited."""

    text: Text
    works: Mapping[str, Node]
    mistakes: list[str]

    def change(self, node: Node) -> Tree:
        """Keep what a citation or a span of an answer contains."""
        if node["t"] == "Cite":
            for citation in node["c"][0]:
                key = citation["citationId"]
                if key not in self.works:
                    wanted = "a work in report/references.bib"
                    error = expected(wanted, f"@{key}", "add it or correct the key")
                    self.mistakes.append(f"{self.text.where}: {error}")
            return node["c"][1]
        if has_class(node, "answer"):
            (_, _, attributes), content = node["c"]
            self.text.answers[dict(attributes)["typed"]] = _write_inlines(content)
            return content
        return [node]


def _write_inlines(tree: Tree) -> str:
    """Write what stands for a reference or a citation as Markdown."""
    text = ""
    for node in tree:
        shown = "".join(word_of(part) for part in nodes(node))
        text += f"[{shown}]({node['c'][2][0]})" if node["t"] == "Link" else shown
    return text


def cited_works(texts: Iterable[Text], works: Mapping[str, Node]) -> dict[str, Tree]:
    """Return the works that texts cite, by key, in the order of the bibliography."""
    keys: set[str] = set()
    for text in texts:
        for node in nodes(text.tree):
            if node["t"] == "Link":
                keys.add(node["c"][2][0].removeprefix("#ref-"))
    return {key: entry["c"][1] for key, entry in works.items() if key in keys}
