"""Numbers of headings, equations, figures and tables, counted as LaTeX counts them, and
what their labels stand for.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from labreport import expected
from labreport.pandoc import Node, Tree, display_math, nodes, span, words

WORDS = {"fig": "Figure", "tab": "Table", "sec": "Section", "eq": "Equation"}
NAME = "[a-z][a-z0-9]*(?:-[a-z0-9]+)*"  # of a label
# By environment: the one that has the same lines inside an equation.
_INNER = {"equation": "", "align": "aligned", "gather": "gathered"}
_INNER |= {"multline": "gathered"}
_ENVIRONMENT = re.compile(
    r"\s*\\begin\{(\w+)(\*?)\}(.*)\\end\{\1\2\}\s*", re.DOTALL
)
_LABEL = re.compile(r"\s*\\label\{([^}]*)\}")


@dataclass(frozen=True)
class Label:
    """What a label stands for: the words of a reference to it, as Figure 2.1, the name
    of its chapter, and the position of its cell, counted from 1.
    """

    words: str
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
    """The numbers of a chapter's parts so far, and its labels.

    number, name: those of the chapter, such as "2" and "2_networks".
    """

    number: str
    name: str
    labels: dict[str, Label] = field(default_factory=dict)
    counts: Counter[int | str] = field(default_factory=Counter)

    def number_float(self, kind: str, name: str, position: int) -> tuple[str, str]:
        """Number the next figure ("fig") or table ("tab"), in the cell at a position.

        Returns its label and its words, as ("fig-2-cat", "Figure 2.1"). Raises
        LabreportError for a name that is used twice.
        """
        label = f"{kind}-{self.number}-{name}"
        named = f"{WORDS[kind]} {self._count(kind)}"
        self._add_label(label, named, position)
        return label, named

    def number_prose(self, tree: Tree, position: int) -> None:
        """Number headings and equations of the cell at a position, in place.

        A heading gets its number and a label as attributes. An equation becomes a span
        of the class "equation" with both, around its formula; an environment, as
        \\begin{align}, has a number unless it has a star, a formula between $$ if it
        has a label. Raises LabreportError for what is no equation, and for a label that
        is not valid or is used twice.
        """
        for node in list(nodes(tree)):
            if node["t"] == "Header" and node["c"][0] <= 3:
                self._number_heading(node, position)
            elif node["t"] == "Math":
                label = _LABEL.search(node["c"][1])
                if label:
                    body = _LABEL.sub("", node["c"][1]).strip()
                    equation = self._number_equation(body, label[1], True, position)
                    node.update(equation)
            elif node["t"] in ("RawInline", "RawBlock"):
                environment = _ENVIRONMENT.fullmatch(node["c"][1])
                if environment:
                    equation = self._read_environment(environment, position)
                    is_block = node["t"] == "RawBlock"
                    node.update({"t": "Para", "c": [equation]} if is_block else equation)

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
        if label:
            label = f"sec-{self.number}-{_name_of(label, 'sec')}"
        else:
            # No name begins with a digit, so that this label is nobody else's.
            label = f"sec-{number.replace('.', '-')}"
        heading = chapter_words(number) if level == 1 else f"Section {number}"
        self._add_label(label, heading, position)
        node["c"] = [level, [label, classes, [["number", number]]], title]

    def _read_environment(self, environment: re.Match[str], position: int) -> Node:
        name, star, body = environment.groups()
        if name not in _INNER:
            remedy = "write it in Markdown, or a formula between $$"
            raise expected("equation, align, gather or multline", name, remedy)
        if name in ("align", "gather") and r"\\" in body and not star:
            wanted = "an equation with one number"
            remedy = "use equation with aligned"
            raise expected(wanted, f"several lines of {name}", remedy)
        label = _LABEL.search(body)
        if label and star:
            wanted = "a label in an equation with a number"
            raise expected(wanted, f"{label[1]} in {name}*", "leave out the star")
        body = _LABEL.sub("", body).strip()
        inner = _INNER[name]
        if inner:
            body = f"\\begin{{{inner}}}{body}\\end{{{inner}}}"
        return self._number_equation(body, label[1] if label else "", not star, position)

    def _number_equation(
        self, body: str, label: str, has_number: bool, position: int
    ) -> Node:
        number = self._count("eq") if has_number else ""
        if label:
            label = f"eq-{self.number}-{_name_of(label, 'eq')}"
            self._add_label(label, f"Equation ({number})", position)
        equation = span([display_math(body)], "equation", label)
        equation["c"][0][2] = [["number", number]]
        return equation

    def _add_label(self, label: str, named: str, position: int) -> None:
        if label in self.labels:
            first = self.labels[label].position
            got = f"one in cell {first} and one in cell {position}"
            raise expected(f"one use of the label {label}", got, "rename one")
        self.labels[label] = Label(named, self.name, position)

    def _count(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{self.number}.{self.counts[kind]}"


def read_heading(node: Node) -> Heading:
    """Read a node that is a heading."""
    level, (label, _, attributes), title = node["c"]
    return Heading(level, dict(attributes).get("number", ""), label, words(title))


def chapter_words(number: str) -> str:
    """Return the words for the notebook of that number: "Chapter 2" or "Appendix A"."""
    kind = "Appendix" if number.isalpha() else "Chapter"
    return f"{kind} {number}"


def _name_of(label: str, kind: str) -> str:
    named = re.fullmatch(f"{kind}-({NAME})", label)
    if not named:
        remedy = "use small letters, digits and hyphens"
        raise expected(f"a label such as {kind}-first-part", label, remedy)
    return named[1]
