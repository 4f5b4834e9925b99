"""Numbers of headings, equations, figures and tables, counted as LaTeX counts them, and
what their labels stand for.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from labreport import expected
from labreport.pandoc import Node, Tree, nodes, span, words

WORDS = {"fig": "Figure", "tab": "Table"}
NAME = "[a-z][a-z0-9]*(?:-[a-z0-9]+)*"  # of a label
_LABEL = re.compile(r"\s*\\label\{([^}]*)\}")


@dataclass(frozen=True)
class Label:
    """What a label stands for: the words of a reference to it, as Figure 2.1, its
    number, the name of its chapter, and the position of its cell, counted from 1.
    """

    words: str
    number: str
    chapter: str
    position: int


class Heading(NamedTuple):
    """A heading: its level from 1, its number and label, and the words of its title.

    A heading below the third level has neither number nor label.
    """

    level: int
    number: str
    label: str
    title: str


@dataclass
class Numbering:
    """The numbers of the parts of a chapter so far, and its labels.

    number, name: those of the chapter, such as "2" and "2_networks".
    """

    number: str
    name: str
    labels: dict[str, Label] = field(default_factory=dict)
    counts: Counter[int | str] = field(default_factory=Counter)

    def number_float(self, kind: str, name: str, position: int) -> str:
        """Number the next figure ("fig") or table ("tab"), in the cell at a position.

        Returns its words, as Figure 2.1. Raises LabreportError for a name that is used
        twice, or is none.
        """
        number = self._count(kind)
        named = f"{WORDS[kind]} {number}"
        self._add_label(kind, name, Label(named, number, self.name, position))
        return named

    def number_prose(self, tree: Tree, position: int) -> None:
        """Number headings and equations of the cell at a position, in place.

        A heading gets its number and a label as attributes. A formula with a label
        becomes a span of the class "equation" with both. Raises LabreportError for a
        label that is not valid or is used twice.
        """
        for node in list(nodes(tree)):
            if node["t"] == "Header" and node["c"][0] <= 3:
                self._number_heading(node, position)
            elif node["t"] == "Math":
                label = _LABEL.search(node["c"][1])
                if label:
                    formula = _LABEL.sub("", node["c"][1]).strip()
                    number = self._count("eq")
                    words_of = f"Equation ({number})"
                    named = Label(words_of, number, self.name, position)
                    full = self._add_label("eq", label[1].removeprefix("eq-"), named)
                    shown = {"t": "Math", "c": [{"t": "DisplayMath"}, formula]}
                    node.update(span([shown], "equation", full, number))

    def _number_heading(self, node: Node, position: int) -> None:
        """Number a heading as LaTeX does: a section restarts its subsections."""
        level, (label, classes, _), title = node["c"]
        is_first = not self.counts[1]
        if (level == 1) != is_first:
            wanted = "one top heading (#) and sections (##) below"
            raise expected(wanted, f"{'#' * level} {words(title)}", "correct it")
        self.counts[level] += 1
        for lower in range(level + 1, 4):
            self.counts[lower] = 0
        number = self.number
        for higher in range(2, level + 1):
            number += f".{self.counts[higher]}"
        # A heading without a label has its number, which is no other's name.
        name = label.removeprefix("sec-") or f"s{number}".replace(".", "-").lower()
        heading = chapter_words(number) if level == 1 else f"Section {number}"
        named = Label(heading, number, self.name, position)
        full = self._add_label("sec", name, named)
        node["c"] = [level, [full, classes, [["number", number]]], title]

    def _add_label(self, kind: str, name: str, named: Label) -> str:
        label = full_label(kind, self.number, name)
        if not re.fullmatch(NAME, name):
            remedy = "use small letters, digits and hyphens"
            raise expected(f"a name such as {kind}-first-part", name, remedy)
        if label in self.labels:
            first = self.labels[label].position
            got = f"one in cell {first} and one in cell {named.position}"
            raise expected(f"one use of the label {label}", got, "rename one")
        self.labels[label] = named
        return label

    def _count(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{self.number}.{self.counts[kind]}"


def full_label(kind: str, chapter: str, name: str) -> str:
    """Return the label of a part in the whole report, such as fig-2-cat."""
    return f"{kind}-{chapter}-{name}"


def read_heading(node: Node) -> Heading:
    """Read a node that is a heading."""
    level, (label, _, attributes), title = node["c"]
    return Heading(level, dict(attributes).get("number", ""), label, words(title))


def chapter_words(number: str) -> str:
    """Return the words for the notebook of that number: "Chapter 2" or "Appendix A"."""
    kind = "Appendix" if number.isalpha() else "Chapter"
    return f"{kind} {number}"
