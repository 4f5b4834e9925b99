"""The outline of a chapter: its labels with their numbers, counted as LaTeX counts
them, and what the prose of each cell uses.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from labreport import LabreportError, expected
from labreport.notebook.claims import Claim, claims_of, require_claims
from labreport.notebook.code import shown_floats, used_names
from labreport.notebook.expressions import (
    find_placeholders,
    replace_placeholders,
    split_format,
)
from labreport.notebook.syntax import (
    Node,
    Tree,
    first_line,
    nodes,
    parse,
    walk,
    words,
)
from labreport.paths import chapter_words

# Tags that keep what a cell shows out of the report.
HIDING = frozenset({"remove-cell", "remove-output"})
WORDS = {"fig": "Figure", "tab": "Table", "sec": "Section", "eq": "Equation"}

NAME = "[a-z][a-z0-9]*(?:-[a-z0-9]+)*"  # of a label
KEY = r"[A-Za-z0-9_](?:[\w:.#$%&+?<>~/-]*\w)?"
_REFERENCE = rf"(?<![\w@\\])@{KEY}"
REFERENCE_OR_CITATION = re.compile(rf"\[[^\[\]]*?@[A-Za-z][^\[\]]*\]|{_REFERENCE}")
_ENVIRONMENT = re.compile(r"\s*\\begin\{(\w+)(\*?)\}.*\\end\{\1\2\}\s*", re.DOTALL)
_NUMBERED = ("equation", "align", "gather", "multline")
_NOT_PROSE = ("Code", "CodeBlock", "Math", "RawInline", "RawBlock")
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


@dataclass(frozen=True)
class ProseCell:
    """A cell of Markdown: what a page shows at its parts, and what a kernel evaluates.

    sign: the first letters of its prose, by which the script of a page finds the cell.
    headings, equations: their numbers; an equation without a number has "". question:
    the words above a question.
    """

    sign: str
    headings: list[str]
    equations: list[str]
    question: str
    placeholders: list[str]
    claims: list[Claim]


@dataclass(frozen=True)
class CodeCell:
    """A cell of code, with the cells of Markdown between it and the next one."""

    cell: str
    source: str
    prose: list[ProseCell] = field(default_factory=list)

    @property
    def placeholders(self) -> list[str]:
        """Return the placeholders of the prose below it."""
        return [inner for cell in self.prose for inner in cell.placeholders]

    @property
    def claims(self) -> list[tuple[ProseCell, Claim]]:
        """Return the claims of the prose below it, each with its cell."""
        return [(cell, claim) for cell in self.prose for claim in cell.claims]


@dataclass
class Outline:
    """The labels of a chapter, and what each cell of its notebook contains.

    number, name: those of the chapter, such as "2" and "2_networks". tokens:
    references and citations, each with the position of the first cell that contains it.
    formulas: each formula as it was written, with its node. mistakes: sentences about
    mistakes at which a build stops.
    """

    number: str
    name: str = ""
    labels: dict[str, Label] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    prose: list[ProseCell] = field(default_factory=list)
    code: list[CodeCell] = field(default_factory=list)
    formulas: dict[str, Node] = field(default_factory=dict)
    counts: Counter[int | str] = field(default_factory=Counter)
    mistakes: list[str] = field(default_factory=list)

    def add_markdown(
        self, position: int, tree: Tree, source: str, metadata: Mapping[str, Any]
    ) -> None:
        """Number the parts of a cell's prose, and note what it refers to.

        Raises LabreportError as `number_prose` does, for a question without a number,
        and for a comment that is nearly a claim.
        """
        require_claims(source)
        prose = _words_of_prose(tree)
        # A page tears a citation with a formula in its brackets apart: there its works
        # stand alone.
        alone = re.findall(_REFERENCE, prose)
        for token in REFERENCE_OR_CITATION.findall(prose) + alone:
            self.tokens.setdefault(token, position)
        for node in nodes(tree):
            written = _write_formula(node)
            if written:
                self.formulas[written] = _formula_node(node)
        headings, equations = self.number_prose(tree, position)
        prose_cell = ProseCell(
            sign=_sign(prose),
            headings=headings,
            equations=equations,
            question=question_words(metadata),
            placeholders=find_placeholders(source),
            claims=claims_of(tree),
        )
        self.prose.append(prose_cell)
        if self.code:
            self.code[-1].prose.append(prose_cell)

    def add_code(
        self, position: int, identity: str, source: str, tags: Collection[str]
    ) -> None:
        """Note a cell of code, and number the figures and tables that it shows.

        Raises LabreportError for a name that is used twice, and for one that the code
        does not say literally.
        """
        self.code.append(CodeCell(identity, source.strip()))
        if not HIDING.isdisjoint(tags):
            return
        for kind, name, _ in shown_floats(source):
            if not name:
                raise expected(
                    f"the name of each {WORDS[kind].lower()} as it is, such as 'cat'",
                    "one that code makes",
                    "write each call with its name",
                )
            self.number_float(kind, name, position)

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
            environment = _match_environment(node)
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

    def find_outdated(self, ran: Mapping[str, int]) -> set[str]:
        """Find the cells of code that build on a cell that ran later.

        ran: the number of the last run, by the cell's id. A cell builds on those above
        that assign the names that it or the prose below it reads, and on what these
        build on. Returns the ids of these cells.
        """
        written: dict[str, int] = {}  # by name: the last run that it was made from
        outdated: set[str] = set()
        for code in self.code:
            if code.cell not in ran:
                continue
            read, assigned = _names_with_prose(code)
            latest = max((written.get(name, 0) for name in read), default=0)
            if latest > ran[code.cell]:
                outdated.add(code.cell)
            for name in assigned:
                written[name] = max(latest, ran[code.cell])
        return outdated

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
        span = {"t": "Span", "c": [attributes, [_formula_node(node)]]}
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


def read_outline(path: Path, number: str) -> Outline:
    """Read the outline of the notebook in that file, the chapter of that number.

    If pandoc is missing, or if a block is not closed, only figures and tables have
    numbers.
    """
    outline = Outline(number, path.stem)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    where = f"{path.stem}, cell"
    trees: dict[int, Tree] = {}
    try:
        trees = _parse_markdown(cells, where)
    except LabreportError as error:
        outline.mistakes.append(str(error))
    has_parameters = False
    for position, cell in enumerate(cells, start=1):
        source = "".join(cell["source"])
        tags = cell["metadata"].get("tags", ())
        has_parameters = has_parameters or "parameters" in tags
        try:
            if cell["cell_type"] == "code":
                identity = cell.get("id", str(position))
                outline.add_code(position, identity, source, tags)
            elif cell["cell_type"] == "markdown":
                tree = trees.get(position, [])
                outline.add_markdown(position, tree, source, cell["metadata"])
        except LabreportError as error:
            start = first_line(source, 40)
            outline.mistakes.append(f"{where} {position} ({start}): {error}")
    if not outline.counts[1] and not outline.mistakes:
        outline.mistakes.append(
            f"{where} 1: expected a top heading (# Title), got none; begin with one."
        )
    if not has_parameters:
        wanted = "a cell tagged 'parameters' with profile = \"quick\""
        outline.mistakes.append(f"{where} 2: expected {wanted}, got none; add one.")
    return outline


def _parse_markdown(cells: list[Any], where: str) -> dict[int, Tree]:
    """Parse the cells of Markdown, by their positions; a placeholder is {{0}} there."""
    texts: list[str] = []
    positions: list[int] = []
    for position, cell in enumerate(cells, start=1):
        if cell["cell_type"] == "markdown":
            source = "".join(cell["source"])
            texts.append(replace_placeholders(source, lambda _: "{{0}}"))
            positions.append(position)
    trees = parse(texts, [f"{where} {position}" for position in positions])
    return dict(zip(positions, trees, strict=True))


def read_heading(node: Node) -> Heading:
    """Read a node that is a heading."""
    level, (label, _, attributes), title = node["c"]
    number = dict(attributes).get("number", "")
    return Heading(level, number, label, words(title))


def _words_of_prose(tree: Tree) -> str:
    """Return the words of a cell without its code, formulas and comments."""

    def drop(siblings: Tree) -> Tree:
        return [node for node in siblings if node["t"] not in _NOT_PROSE]

    return words(walk(tree, drop))


def _match_environment(node: Node) -> re.Match[str] | None:
    """Match a node of raw TeX that is one environment, as \\begin{align}."""
    if node["t"] in ("RawInline", "RawBlock"):
        return _ENVIRONMENT.fullmatch(node["c"][1])
    return None


def _write_formula(node: Node) -> str:
    """Return a formula as it was written, $x$ or an environment, with single spaces;
    empty for another node.
    """
    written = ""
    if node["t"] == "Math":
        mark = "$" if node["c"][0]["t"] == "InlineMath" else "$$"
        written = f"{mark}{node['c'][1]}{mark}"
    elif _match_environment(node):
        written = node["c"][1]
    return " ".join(written.split())


def _formula_node(node: Node) -> Node:
    """Return a formula or an environment as a formula without its label."""
    kind = node["c"][0] if node["t"] == "Math" else {"t": "DisplayMath"}
    return {"t": "Math", "c": [kind, _LABEL.sub("", node["c"][1]).strip()]}


def _require_no_placeholder(tex: str) -> None:
    if find_placeholders(tex):
        raise expected(
            "a formula without placeholders", tex, "write the number beside it"
        )


def _sign(prose: str) -> str:
    """Return the first letters, of any script, of a cell's prose without references;
    live.js finds the cell by them.
    """
    typed = REFERENCE_OR_CITATION.sub("", prose).lower()
    return "".join(letter for letter in typed if letter.isalpha())[:60]


def _name_of(label: str, kind: str) -> str:
    named = re.fullmatch(f"{kind}-({NAME})", label)
    if not named:
        raise expected(
            f"a label such as {kind}-first-part",
            label,
            "use small letters, digits and hyphens",
        )
    return named[1]


def question_words(metadata: Mapping[str, Any]) -> str:
    """Return the words above a question, "Question 5 ★"; empty for another cell."""
    if "question" not in metadata.get("tags", ()):
        return ""
    question = metadata.get("question")
    if not isinstance(question, dict):
        question = {}
    number = question.get("number")
    if not re.fullmatch(r"\d+[a-z]?", str(number)):
        raise expected(
            'the metadata "question": {"number": "3"}, or "3a"',
            repr(number),
            "correct it",
        )
    heading = f"Question {number}"
    if question.get("starred"):
        heading += " ★"
    if question.get("bonus"):
        heading += " Bonus"
    return heading


def _names_with_prose(code: CodeCell) -> tuple[set[str], set[str]]:
    """Return the names that a cell and the prose below it take, and those that it
    assigns.
    """
    taken, assigned = used_names(code.source)
    expressions = [split_format(inner)[0] for inner in code.placeholders]
    expressions += [claim.expression for _, claim in code.claims]
    for expression in expressions:
        taken |= used_names(expression)[0] - assigned
    return taken, assigned
