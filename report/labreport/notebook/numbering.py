"""Numbers of headings, equations, figures and tables, counted as LaTeX counts them, and
what their labels stand for.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from labreport import expected
from labreport.chapters import chapter_words
from labreport.notebook.expressions import find_placeholders
from labreport.notebook.syntax import Node, Tree, nodes, words

WORDS = {"fig": "Figure", "tab": "Table", "sec": "Section", "eq": "Equation"}
NAME = "[a-z][a-z0-9]*(?:-[a-z0-9]+)*"  # of a label
_ENVIRONMENT = re.compile(r"\s*\\begin\{(\w+)(\*?)\}.*\\end\{\1\2\}\s*", re.DOTALL)
_NUMBERED = ("equation", "align", "gather", "multline")
_LABEL = re.compile(r"\s*\\label\{(eq-[^}]*)\}")


class Heading(NamedTuple):
    """A heading: its level from 1, its number and label, and the words of its title.

    A heading below the third level has neither number nor label.
    """

    level: int
    number: str
    label: str
    title: str


@dataclass(frozen=True)
class Label:
    """What a label stands for: the words of a reference to it, as Figure 2.1, the name
    of its chapter, and the position of its cell, counted from 1.
    """

    words: str
    chapter: str
    cell: int


@dataclass
class Numbering:
    """The numbers of a chapter's parts so far, and its labels.

    number, name: those of the chapter, such as "2" and "2_networks".
    """

    number: str
    name: str = ""
    labels: dict[str, Label] = field(default_factory=dict)
    counts: Counter[int | str] = field(default_factory=Counter)

    def number_float(self, kind: str, name: str, position: int) -> tuple[str, str]:
        """Number the next figure ("fig") or table ("tab"), in the cell at a position.

        Returns its label and its words, as ("fig-2-cat", "Figure 2.1"). Raises
        LabreportError for a name that is used twice.
        """
        label = f"{kind}-{self.number}-{name}"
        words = f"{WORDS[kind]} {self._count(WORDS[kind])}"
        self._add_label(label, words, position)
        return label, words

    def number_prose(self, tree: Tree, position: int) -> tuple[list[str], list[str]]:
        """Number headings and equations of the cell at a position, in place.

        A heading gets its number and a label as attributes; an equation becomes a span
        of the class "equation" with both. Returns the numbers of the headings, and of
        each formula its number or "". Raises LabreportError for an equation with
        several numbers, for an environment that is no equation, for a placeholder in a
        formula, and for a label that is not valid or is used twice.
        """
        headings: list[str] = []
        equations: list[str] = []
        for node in list(nodes(tree)):
            environment = match_environment(node)
            if node["t"] == "Header" and node["c"][0] <= 3:
                headings.append(self._number_heading(node, position))
            elif environment:
                _require_no_placeholder(environment[0])
                equations.append(self._number_equation(node, environment, position))
            elif node["t"] == "Math":
                _require_no_placeholder(node["c"][1])
                equations.append("")
        return headings, equations

    def section_above(self, position: int) -> str | None:
        """Return the label of the last heading above a cell; None if there is none."""
        section = None
        for label, named in self.labels.items():
            if label.startswith("sec-") and named.cell < position:
                section = label
        return section

    def _number_heading(self, node: Node, position: int) -> str:
        """Number a heading as LaTeX does: a section restarts its subsections."""
        level, (label, classes, _), title = node["c"]
        is_first = not self.counts[1]
        if (level == 1) != is_first:
            raise expected(
                "one top heading (#) and sections (##) below",
                f"{'#' * level} {words(title)}",
                "correct it",
            )
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
        return number

    def _number_equation(
        self, node: Node, environment: re.Match[str], position: int
    ) -> str:
        """Number an equation as LaTeX does, unless its environment has a star."""
        tex = environment[0]
        name, star = environment.groups()
        if name not in _NUMBERED:
            raise expected(
                "equation, align, gather or multline",
                name,
                "write it in Markdown, or a formula between $$",
            )
        if name in ("align", "gather") and r"\\" in tex and not star:
            raise expected(
                "an equation with one number",
                f"several lines of {name}",
                "use equation with aligned",
            )
        label = ""
        number = ""
        if not star:
            number = f"({self._count('Equation')})"
        named = _LABEL.search(tex)
        if named:
            if star:
                raise expected(
                    "a label in an equation with a number",
                    f"{named[1]} in {name}*",
                    "leave out the star",
                )
            label = f"eq-{self.number}-{_name_of(named[1], 'eq')}"
            self._add_label(label, f"Equation {number}", position)
        attributes = [label, ["equation"], [["number", number]]]
        span = {"t": "Span", "c": [attributes, [formula_node(node)]]}
        node.update(span if node["t"] == "RawInline" else {"t": "Para", "c": [span]})
        return number

    def _add_label(self, label: str, words: str, position: int) -> None:
        if label in self.labels:
            first = self.labels[label].cell
            got = f"one in cell {first} and one in cell {position}"
            raise expected(f"one use of the label {label}", got, "rename one")
        self.labels[label] = Label(words, self.name, position)

    def _count(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{self.number}.{self.counts[kind]}"


def read_heading(node: Node) -> Heading:
    """Read a node that is a heading."""
    level, (label, _, attributes), title = node["c"]
    number = dict(attributes).get("number", "")
    return Heading(level, number, label, words(title))


def match_environment(node: Node) -> re.Match[str] | None:
    """Match a node of raw TeX that is one environment, as \\begin{align}."""
    if node["t"] in ("RawInline", "RawBlock"):
        return _ENVIRONMENT.fullmatch(node["c"][1])
    return None


def formula_node(node: Node) -> Node:
    """Return a formula or an environment as a formula without its label."""
    kind = node["c"][0] if node["t"] == "Math" else {"t": "DisplayMath"}
    return {"t": "Math", "c": [kind, _LABEL.sub("", node["c"][1]).strip()]}


def _require_no_placeholder(tex: str) -> None:
    if find_placeholders(tex):
        raise expected(
            "a formula without placeholders", tex, "write the number beside it"
        )


def _name_of(label: str, kind: str) -> str:
    named = re.fullmatch(f"{kind}-({NAME})", label)
    if not named:
        raise expected(
            f"a label such as {kind}-first-part",
            label,
            "use small letters, digits and hyphens",
        )
    return named[1]
