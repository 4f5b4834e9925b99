"""The outline of a chapter: labels with their numbers, counted as LaTeX counts, and placeholders of its notebook."""

import ast
import json
import re
import symtable
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlapps import DlappsError
from dlapps.notebook.syntax import Node, Tree, nodes, parse, walk, words

# What a call shows; its last two arguments are name and caption.
SHOWN = {"show_figure": "fig", "show_animation": "fig", "show_explorer": "fig", "show_table": "tab"}
# Tags that keep what a cell shows out of the report.
HIDING = frozenset({"remove-cell", "remove-output"})
WORDS = {"fig": "Figure", "tab": "Table", "sec": "Section", "eq": "Equation"}

KEY = r"[A-Za-z0-9_](?:[\w:.#$%&+?<>~/-]*\w)?"
NUMBER = re.compile(r"\{\{([A-Za-z_]\w*)(?::([^{}]+))?\}\}")
# live.js has the same expression, and labels of headings.
TOKEN = re.compile(rf"\{{\{{[^{{}}]+\}}\}}|\[[^\[\]]*?@(?!(?:fig|tab|sec|eq)-)[A-Za-z][^\[\]]*\]|(?<![\w@\\])@{KEY}")
_ENVIRONMENT = re.compile(r"\s*\\begin\{(\w+)(\*?)\}.*\\end\{\1\2\}\s*", re.DOTALL)
_LABEL = re.compile(r"\s*\\label\{eq-([^}]*)\}")


@dataclass
class Outline:
    """A chapter's labels (words and cell of each), and of its notebook what stands in each cell of Markdown."""

    number: int
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    duplicates: dict[str, str] = field(default_factory=dict)  # of labels: another cell
    tokens: dict[str, int] = field(default_factory=dict)  # and the first cell that holds it
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    code: list[tuple[int, str]] = field(default_factory=list)  # place and source
    counts: Counter[int | str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.counts[1] = self.number - 1

    def add_markdown(self, cell: str, place: int, tree: Tree, question: Mapping[str, Any]) -> None:
        """Number a cell's prose and note its placeholders; question: the metadata of a question."""
        prose = walk(tree, lambda siblings: [node for node in siblings if node["t"] not in ("Code", "Math")])
        labels = [node["c"][1][0] for node in nodes(tree) if node["t"] == "Header"]
        own = (f"{{#{label}}}" for label in labels if label.startswith("sec-"))
        for token in [*TOKEN.findall(words(prose)), *own]:
            self.tokens.setdefault(token, place)
        headings, formulas = self.number_prose(tree, cell)
        parts = {"headings": headings, "formulas": formulas}
        self.cells[cell] = parts | {"question": _question_words(question)}

    def add_code(self, cell: str, place: int, source: str, tags: Collection[str]) -> None:
        """Count the figures and tables that a cell of code shows in the report."""
        self.code.append((place, source.strip()))
        if HIDING.isdisjoint(tags):
            for kind, name, _ in shown_floats(source):
                if name:
                    self.number_float(kind, name, cell)

    def number_float(self, kind: str, name: str, cell: str) -> tuple[str, str]:
        """The label and the number of the next figure ("fig") or table ("tab"), as ("fig-2-cat", "Figure 2.1")."""
        return self._label(f"{kind}-{self.number}-{name}", f"{WORDS[kind]} {self._count(WORDS[kind])}", cell)

    def number_prose(self, tree: Tree, cell: str) -> tuple[list[str], list[str | None]]:
        """Number headings and equations, in place; returns the numbers, and each formula as a notebook has it typeset.

        A heading gets its number and a label as attributes; an equation becomes a span of the class "equation" with
        both. A formula that a notebook typesets as it stands is None. DlappsError for an equation of several numbers.
        """
        headings: list[str] = []
        formulas: list[str | None] = []
        for node in list(nodes(tree)):
            if node["t"] == "Header" and node["c"][0] <= 3:
                headings.append(self._number_heading(node, cell))
            elif node["t"] == "Math":
                sign = "$$" if node["c"][0]["t"] == "DisplayMath" else "$"
                formulas.append(_with_values(sign + node["c"][1] + sign))
            elif node["t"] in ("RawInline", "RawBlock") and (found := _ENVIRONMENT.fullmatch(node["c"][1])):
                formulas.append(self._number_equation(node, found[1], bool(found[2]), cell))
        return headings, formulas

    def find_disorder(self, ran: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Cells whose outputs are out of date: {source: (its place, that of a cell it builds on, which ran later)}.

        ran: the sources in the order in which they ran. A cell builds on those above that assign the names that it
        reads, and on what these build on.
        """
        last = {source.strip(): number for number, source in enumerate(ran)}
        written: dict[str, tuple[int, int]] = {}  # by name: place of the cell that assigned it, number of its run
        found: dict[str, tuple[int, int]] = {}
        for place, source in self.code:
            if source not in last:
                continue
            loaded, stored = used_names(source)
            number = last[source]
            latest = max((written[name][::-1] for name in loaded if name in written), default=(-1, 0))
            if latest[0] > number:
                found[source] = (place, latest[1])
            # What a cell made of something that changed since is as new as that.
            written |= dict.fromkeys(stored, (latest[1], latest[0]) if latest[0] > number else (place, number))
        return found

    def _number_heading(self, node: Node, cell: str) -> str:
        """As in LaTeX, a chapter restarts the numbers of sections and floats, and a section those of subsections."""
        level, (label, classes, _), title = node["c"]
        self.counts[level] += 1
        for lower in (*range(level + 1, 4), *(("Figure", "Table", "Equation") if level == 1 else ())):
            self.counts[lower] = 0
        number = ".".join(str(self.counts[above]) for above in range(1, level + 1))
        # Names of labels begin with a letter: a label made of a number is nobody else's.
        own = f"sec-{number.replace('.', '-')}"
        if label.startswith("sec-"):
            own = f"sec-{self.number}-{label[4:]}"
        self._label(own, f"{'Chapter' if level == 1 else 'Section'} {number}", cell)
        node["c"] = [level, [own, classes, [["number", number]]], title]
        return number

    def _number_equation(self, node: Node, environment: str, starred: bool, cell: str) -> str | None:
        """LaTeX numbers the environments without a star."""
        tex = node["c"][1]
        if environment not in ("equation", "align", "gather", "multline"):
            return _with_values(tex)
        if environment in ("align", "gather") and r"\\" in tex and not starred:
            raise DlappsError(
                f"expected an equation with one number, got several lines of {environment}; use equation with aligned."
            )
        number = "" if starred else self._count("Equation")
        named, tex = _LABEL.search(tex), _LABEL.sub("", tex).strip()
        label = f"eq-{self.number}-{named[1]}" if named else ""
        if label:
            self._label(label, f"Equation ({number})", cell)
        formula = {"t": "Math", "c": [{"t": "DisplayMath"}, tex]}
        attributes = [label, ["equation"], [["number", f"({number})"]] * bool(number)]
        span = {"t": "Span", "c": [attributes, [formula]]}
        node.update(span if node["t"] == "RawInline" else {"t": "Para", "c": [span]})
        end = rf"\end{{{environment}}}"
        if not number:
            return _with_values(tex)
        return tex.removesuffix(end).rstrip() + rf" \tag{{{number}}} {end}"

    def _label(self, label: str, text: str, cell: str) -> tuple[str, str]:
        if label in self.labels:
            self.duplicates.setdefault(label, cell)
        self.labels.setdefault(label, {"text": text, "cell": cell})
        return label, text

    def _count(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{self.counts[1]}.{self.counts[kind]}"


def read_outline(path: Path, number: int) -> Outline:
    """The outline of the notebook in that file, the chapter of that number.

    Where there is no pandoc, or a block is left open, only figures and tables have numbers.
    """
    outline = Outline(number)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    try:
        trees = iter(parse(texts))
    except DlappsError:
        trees, outline.counts[1] = iter([[]] * len(texts)), number
    for place, cell in enumerate(cells, start=1):
        identity = cell.get("id", str(place))
        if cell["cell_type"] == "markdown":
            with suppress(DlappsError):  # a build says it
                outline.add_markdown(identity, place, next(trees), cell["metadata"].get("question", {}))
        elif cell["cell_type"] == "code":
            outline.add_code(identity, place, "".join(cell["source"]), cell["metadata"].get("tags", ()))
    return outline


def _with_values(formula: str) -> str | None:
    return formula if NUMBER.search(formula) else None


def _question_words(question: Mapping[str, Any]) -> str:
    """How a question is headed, as "Question 5 ★"; empty for another cell."""
    signs = (" ★" if question.get("starred") else "") + (" Bonus" if question.get("bonus") else "")
    return f"Question {question['number']}{signs}" if "number" in question else ""


def used_names(source: str) -> tuple[set[str], set[str]]:
    """The names that a cell takes from cells above, and those that it assigns or defines; imports are neither."""
    try:
        tables = [symtable.symtable(source, "cell", "exec")]
    except SyntaxError:  # a magic of IPython
        return set(), set()
    for table in tables:
        tables += table.get_children()
    top = tables[0].get_symbols()
    loaded = {symbol.get_name() for symbol in top if symbol.is_referenced()}
    inner = (symbol for table in tables[1:] for symbol in table.get_symbols())
    loaded |= {symbol.get_name() for symbol in inner if symbol.is_global()}
    own = {symbol.get_name() for symbol in top if symbol.is_assigned() or symbol.is_imported()}
    return loaded - own, {symbol.get_name() for symbol in top if symbol.is_assigned() and not symbol.is_imported()}


def shown_floats(source: str) -> Iterator[tuple[str, str, str]]:
    """("fig" or "tab", name, caption) of each figure and table that a cell's code shows, in its order.

    What it does not say literally is empty.
    """
    calls = [node for node in walk_code(source) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        named = {word.arg: word.value for word in call.keywords if word.arg in ("name", "caption")}
        last = call.args[len(call.args) + len(named) - 2 :]
        passed = dict(zip(("name", "caption"), last, strict=False)) | named
        if kind := SHOWN.get(getattr(call.func, "attr", "")):
            yield kind, _literal(passed.get("name")), _literal(passed.get("caption"))


def walk_code(source: str) -> list[ast.AST]:
    """All nodes of a cell's code; none if it is not plain Python, as with a magic."""
    try:
        return list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return []


def _literal(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
