"""The outline of a notebook, from its file: labels with their numbers, counted as LaTeX counts, and placeholders."""

from __future__ import annotations

import ast
import json
import re
import symtable
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What a call shows, and the place of its argument `name`, which `caption` follows.
SHOWN = {"show_figure": ("fig", 1), "show_animation": ("fig", 2), "show_table": ("tab", 2)}
WORDS = {"fig": "Figure", "tab": "Table", "sec": "Section", "eq": "Equation"}

_LABEL = r"(?:fig|tab|sec|eq)-"
KEY = r"[A-Za-z0-9_](?:[\w:.#$%&+?<>~/-]*\w)?"
NUMBER = re.compile(r"\{\{([A-Za-z_]\w*)(?::([^{}]+))?\}\}")
_HEADING = re.compile(r"^(#{1,3}) +.*?(?:\{#sec-([\w-]+)[^}]*\})?\s*$", re.MULTILINE)
# live.js has the same expression.
TOKEN = re.compile(
    rf"\{{\{{[^{{}}]+\}}\}}|\{{#sec-[^}}]*\}}|\[[^\[\]]*?@(?!{_LABEL})[A-Za-z][^\[\]]*\]|(?<![\w@\\]){'@'}{KEY}"
)
_CODE = r"<!--[\s\S]*?-->|^(?P<fence>```+|~~~+)[\s\S]*?^(?P=fence)|(?P<ticks>`+)[\s\S]*?(?<!`)(?P=ticks)(?!`)"
_MATH = (
    r"\$\$[\s\S]+?\$\$|\\begin\{(?P<env>\w+\*?)\}[\s\S]+?\\end\{(?P=env)\}"
    r"|(?<![\\$])\$(?=[^\s$])(?:\\.|(?!\n\s*\n)[^$\\])*?(?<=\S)\$(?!\d)"
)
_SPAN = re.compile(f"(?P<code>{_CODE})|(?P<math>{_MATH})", re.MULTILINE)


@dataclass
class Outline:
    """A notebook's labels (words and cell of each), and per cell of Markdown its numbered headings and formulas."""

    number: int
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)
    tokens: dict[str, int] = field(default_factory=dict)  # and the first cell that holds it
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    code: list[tuple[int, str]] = field(default_factory=list)  # place and source
    counts: Counter = field(default_factory=Counter)

    def add_markdown(self, cell: str, place: int, text: str, question: Mapping[str, Any]) -> None:
        """Count a cell's headings and equations, note what it asks for; question: what its metadata say of one."""
        prose = _SPAN.sub(lambda span: " " * len(span[0]), text)
        for token in TOKEN.findall(prose):
            self.tokens.setdefault(" ".join(token.split()), place)
        headings = [self._count_heading(len(found[1]), found[2], cell) for found in _HEADING.finditer(prose)]
        formulas = [self._count_equation(span[0], span["env"], cell) for span in _SPAN.finditer(text) if span["math"]]
        self.cells[cell] = {"headings": headings, "formulas": formulas, "question": _question_words(question)}

    def add_code(self, cell: str, place: int, source: str, tags: Collection[str]) -> None:
        """Count the figures and tables that a cell of code shows in the report."""
        self.code.append((place, source.strip()))
        if not {"remove-cell", "remove-output"}.intersection(tags):
            for kind, name in shown_names(source):
                self._label(f"{kind}-{self.number}-{name}", f"{WORDS[kind]} {self._count(WORDS[kind])}", cell)

    def find_disorder(self, ran: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Which cells show what is out of date: {source: (its place, that of a cell it builds on, which ran later)}.

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

    def _count_heading(self, level: int, name: str | None, cell: str) -> str:
        if level > 1:
            self.counts[level] += 1
            self.counts[3] *= level == 3
        number = ".".join(map(str, (self.number, self.counts[2], self.counts[3])[:level]))
        if name:
            self._label(f"sec-{self.number}-{name}", f"{'Chapter' if level == 1 else 'Section'} {number}", cell)
        return number

    def _count_equation(self, formula: str, environment: str | None, cell: str) -> str | None:
        """The formula with its number as a tag, which LaTeX gives to an environment of no star; None: leave it be."""
        if environment not in ("equation", "align", "gather", "multline"):
            return formula if NUMBER.search(formula) else None
        number = self._count("Equation")
        if label := re.search(r"\\label\{eq-([\w-]+)\}", formula):
            self._label(f"eq-{self.number}-{label[1]}", f"Equation ({number})", cell)
        end = rf"\end{{{environment}}}"
        return re.sub(r"\\label\{[^}]*\}", "", formula).removesuffix(end).rstrip() + rf" \tag{{{number}}} {end}"

    def _label(self, label: str, words: str, cell: str) -> None:
        if label in self.labels:
            self.twice.add(label)
        self.labels.setdefault(label, {"text": words, "cell": cell})

    def _count(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{self.number}.{self.counts[kind]}"


def read_outline(path: Path, number: int) -> Outline:
    """The outline of the notebook in that file, the chapter of that number."""
    outline = Outline(number)
    for place, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"], start=1):
        source, identity = "".join(cell["source"]), cell.get("id", str(place))
        if cell["cell_type"] == "markdown":
            outline.add_markdown(identity, place, source, cell["metadata"].get("question", {}))
        elif cell["cell_type"] == "code":
            outline.add_code(identity, place, source, cell["metadata"].get("tags", ()))
    return outline


def _question_words(question: Mapping[str, Any]) -> str:
    """How a question is headed, as "Question 5 ★"; empty where the cell is none."""
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
    loaded |= {symbol.get_name() for table in tables[1:] for symbol in table.get_symbols() if symbol.is_global()}
    own = {symbol.get_name() for symbol in top if symbol.is_assigned() or symbol.is_imported()}
    return loaded - own, {symbol.get_name() for symbol in top if symbol.is_assigned() and not symbol.is_imported()}


def shown_names(source: str) -> Iterator[tuple[str, str]]:
    """("fig", name) or ("tab", name) of each figure and table that a cell's code names literally, in its order."""
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except SyntaxError:  # a magic of IPython
        return
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        kind, position = SHOWN.get(getattr(call.func, "attr", ""), ("", 0))
        # One starred argument stands for two: show_table(*study.compare(rows, columns), name, caption).
        position -= any(isinstance(argument, ast.Starred) for argument in call.args)
        given = [word.value for word in call.keywords if word.arg == "name"] or call.args[position : position + 1]
        names = [name.value for name in given if kind and isinstance(name, ast.Constant)]
        yield from ((kind, name) for name in names if isinstance(name, str))
