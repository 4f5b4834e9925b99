"""Numbers of chapters, sections, figures, tables and equations, counted as LaTeX counts them."""

from __future__ import annotations

import re
from collections import Counter

from dlapps.report import ReportError
from dlapps.report.syntax import Node, Tree, walk

_EQUATION = re.compile(r"\s*\\begin\{(equation|align|gather|multline)(\*?)\}.*\\end\{\1\2\}\s*", re.DOTALL)
_LABEL = re.compile(r"\s*\\label\{eq-([^}]*)\}")


class Numbering:
    """One instance counts through all the chapters, one after the other, and tells the names of the labels that it met.

    A heading gets its number and a label as attributes; an equation becomes a span of the class "equation" with both.
    """

    def __init__(self) -> None:
        self.counts: Counter[int | str] = Counter()
        self.chapter = 0
        self.names: list[tuple[str, str]] = []

    def begin(self, chapter: int) -> None:
        """Count on with that chapter, by whose number labels are known."""
        self.chapter, self.counts[1] = chapter, chapter - 1

    def take_names(self) -> list[tuple[str, str]]:
        """Each label met since the last call with its name, as ("fig-2-cat", "Figure 2.1")."""
        names, self.names = self.names, []
        return names

    def count_float(self, prefix: str, name: str) -> tuple[str, str]:
        """The label and the number of the next figure ("fig") or table ("tab")."""
        label, kind = f"{prefix}-{self.chapter}-{name}", {"fig": "Figure", "tab": "Table"}[prefix]
        self.names.append((label, f"{kind} {self._count(kind)}"))
        return self.names[-1]

    def number(self, tree: Tree) -> Tree:
        """The blocks with their headings and equations numbered."""
        return walk(tree, lambda nodes: [self._number(node) for node in nodes])

    def _number(self, node: Node) -> Node:
        if node["t"] == "Header" and node["c"][0] <= 3:
            level, (label, classes, _), title = node["c"]
            label, number = self._count_heading(level, label)
            return {"t": "Header", "c": [level, [label, classes, [["number", number]]], title]}
        if node["t"] in ("RawInline", "RawBlock") and (found := _EQUATION.fullmatch(node["c"][1])):
            span = self._equation(node["c"][1], found[1], numbered=not found[2])
            return span if node["t"] == "RawInline" else {"t": "Para", "c": [span]}
        return node

    def _count_heading(self, level: int, label: str) -> tuple[str, str]:
        """LaTeX starts again with the figures of a chapter, the sections of a chapter, the subsections of a section."""
        self.counts[level] += 1
        for lower in (*range(level + 1, 4), *(("Figure", "Table", "Equation") if level == 1 else ())):
            self.counts[lower] = 0
        number = ".".join(str(self.counts[above]) for above in range(1, level + 1))
        # Names of labels begin with a letter: a label made of a number is nobody else's.
        own = f"sec-{self.chapter}-{label[4:]}" if label.startswith("sec-") else f"sec-{number.replace('.', '-')}"
        self.names.append((own, f"{'Chapter' if level == 1 else 'Section'} {number}"))
        return own, number

    def _equation(self, tex: str, environment: str, numbered: bool) -> Node:
        if numbered and environment in ("align", "gather") and r"\\" in tex:
            raise ReportError(
                f"expected an equation with one number, got several lines of {environment}; use equation with aligned."
            )
        label = f"eq-{self.chapter}-{found[1]}" if (found := _LABEL.search(tex)) else ""
        number = f"({self._count('Equation')})" if numbered else ""
        self.names += [(label, f"Equation {number}")] * bool(label)
        formula = {"t": "Math", "c": [{"t": "DisplayMath"}, _LABEL.sub("", tex).strip()]}
        return {"t": "Span", "c": [[label, ["equation"], [["number", number]] * numbered], [formula]]}

    def _count(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{self.counts[1]}.{self.counts[kind]}"
