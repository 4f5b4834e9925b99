"""The outline of a chapter: its labels, and what the code and the prose of each cell
say.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from labreport import LabreportError, expected, first_line
from labreport.chapters import read_notebook, tags, visibility
from labreport.notebook.claims import Claim, claims_of, require_claims
from labreport.notebook.code import shown_floats, used_names
from labreport.notebook.expressions import (
    find_placeholders,
    replace_placeholders,
    split_format,
)
from labreport.notebook.numbering import (
    WORDS,
    Label,
    Numbering,
    formula_node,
    match_environment,
)
from labreport.notebook.parameters import find_parameters
from labreport.notebook.syntax import (
    Node,
    Tree,
    nodes,
    parse,
    walk,
    words,
)

KEY = r"[A-Za-z0-9_](?:[\w:.#$%&+?<>~/-]*\w)?"
_REFERENCE = rf"(?<![\w@\\])@{KEY}"
REFERENCE_OR_CITATION = re.compile(rf"\[[^\[\]]*?@[A-Za-z][^\[\]]*\]|{_REFERENCE}")
_NOT_PROSE = ("Code", "CodeBlock", "Math", "RawInline", "RawBlock")


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

    tokens: references and citations, each with the position of the first cell that
    contains it. formulas: each formula as it was written, with its node. mistakes:
    sentences about mistakes at which a build stops.
    """

    numbering: Numbering
    tokens: dict[str, int] = field(default_factory=dict)
    prose: list[ProseCell] = field(default_factory=list)
    code: list[CodeCell] = field(default_factory=list)
    formulas: dict[str, Node] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, Label]:
        """Return what each label stands for."""
        return self.numbering.labels

    def add_markdown(self, position: int, cell: NotebookNode, tree: Tree) -> None:
        """Number the parts of a cell's prose, and note what it refers to.

        Raises LabreportError as `Numbering.number_prose` does, for a question without a
        number, and for a comment that is nearly a claim.
        """
        require_claims(cell.source)
        prose = _words_of_prose(tree)
        # A page tears a citation with a formula in its brackets apart: there its works
        # stand alone.
        alone = re.findall(_REFERENCE, prose)
        for token in REFERENCE_OR_CITATION.findall(prose) + alone:
            self.tokens.setdefault(token, position)
        for node in nodes(tree):
            written = _write_formula(node)
            if written:
                self.formulas[written] = formula_node(node)
        headings, equations = self.numbering.number_prose(tree, position)
        prose_cell = ProseCell(
            sign=_sign(prose),
            headings=headings,
            equations=equations,
            question=question_words(cell),
            placeholders=find_placeholders(cell.source),
            claims=claims_of(tree),
        )
        self.prose.append(prose_cell)
        if self.code:
            self.code[-1].prose.append(prose_cell)

    def add_code(self, position: int, cell: NotebookNode) -> None:
        """Note a cell of code, and number the figures and tables that it shows.

        Raises LabreportError for a name that is used twice, and for one that the code
        does not say literally.
        """
        self.code.append(CodeCell(cell.id, cell.source.strip()))
        if not visibility(cell).outputs:
            return
        for kind, name, _ in shown_floats(cell.source):
            if not name:
                raise expected(
                    f"the name of each {WORDS[kind].lower()} as it is, such as 'cat'",
                    "one that code makes",
                    "write each call with its name",
                )
            self.numbering.number_float(kind, name, position)

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


def read_outline(path: Path, number: str) -> Outline:
    """Read the outline of the notebook in that file, the chapter of that number.

    If pandoc is missing, or if a block is not closed, only figures and tables have
    numbers.
    """
    outline = Outline(Numbering(number, path.stem))
    notebook = read_notebook(path)
    cells = notebook.cells
    where = f"{path.stem}, cell"
    trees: dict[int, Tree] = {}
    try:
        trees = _parse_markdown(cells, where)
    except LabreportError as error:
        outline.mistakes.append(str(error))
    for position, cell in enumerate(cells, start=1):
        try:
            if cell.cell_type == "code":
                outline.add_code(position, cell)
            elif visibility(cell).source:
                outline.add_markdown(position, cell, trees.get(position, []))
        except LabreportError as error:
            start = first_line(cell.source, 40)
            outline.mistakes.append(f"{where} {position} ({start}): {error}")
    if not outline.numbering.counts[1] and not outline.mistakes:
        outline.mistakes.append(
            f"{where} 1: expected a top heading (# Title), got none; begin with one."
        )
    try:
        find_parameters(notebook)
    except LabreportError as error:
        outline.mistakes.append(f"{where} 2: {error}")
    return outline


def _parse_markdown(cells: list[NotebookNode], where: str) -> dict[int, Tree]:
    """Parse the cells of Markdown, by their positions; a placeholder is {{0}} there."""
    texts = {}
    for position, cell in enumerate(cells, start=1):
        if cell.cell_type == "markdown":
            texts[position] = replace_placeholders(cell.source, lambda _: "{{0}}")
    trees = parse(list(texts.values()), [f"{where} {position}" for position in texts])
    return dict(zip(texts, trees, strict=True))


def _words_of_prose(tree: Tree) -> str:
    """Return the words of a cell without its code, formulas and comments."""

    def drop(siblings: Tree) -> Tree:
        return [node for node in siblings if node["t"] not in _NOT_PROSE]

    return words(walk(tree, drop))


def _write_formula(node: Node) -> str:
    """Return a formula as it was written, $x$ or an environment, with single spaces;
    empty for another node.
    """
    written = ""
    if node["t"] == "Math":
        mark = "$" if node["c"][0]["t"] == "InlineMath" else "$$"
        written = f"{mark}{node['c'][1]}{mark}"
    elif match_environment(node):
        written = node["c"][1]
    return " ".join(written.split())


def _sign(prose: str) -> str:
    """Return the first letters, of any script, of a cell's prose without references;
    live.js finds the cell by them.
    """
    typed = REFERENCE_OR_CITATION.sub("", prose).lower()
    return "".join(letter for letter in typed if letter.isalpha())[:60]


def question_words(cell: NotebookNode) -> str:
    """Return the words above a question, "Question 5 ★"; empty for another cell."""
    if "question" not in tags(cell):
        return ""
    question = cell.metadata.get("question")
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
