"""The outline of a chapter: labels with their numbers, counted as LaTeX counts, and
what each cell's prose uses.
"""

import ast
import dis
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from labreport import LabreportError
from labreport.notebook.expressions import (
    find_claims,
    find_placeholders,
    replace_placeholders,
    require_claims,
    split_format,
)
from labreport.notebook.syntax import (
    Node,
    Tree,
    first_line,
    nodes,
    parse,
    walk,
    word_of,
    words,
)
from labreport.paths import chapter_words

# What a call shows; its last two arguments are name and caption.
SHOWN = {
    "show_figure": "fig",
    "show_animation": "fig",
    "show_explorer": "fig",
    "show_table": "tab",
}
# Tags that keep what a cell shows out of the report.
HIDING = frozenset({"remove-cell", "remove-output"})
WORDS = {"fig": "Figure", "tab": "Table", "sec": "Section", "eq": "Equation"}

NAME = "[a-z][a-z0-9]*(?:-[a-z0-9]+)*"  # of a label
KEY = r"[A-Za-z0-9_](?:[\w:.#$%&+?<>~/-]*\w)?"
# live.js has the same expression.
REFERENCE_OR_CITATION = re.compile(
    rf"\[[^\[\]]*?@[A-Za-z][^\[\]]*\]|(?<![\w@\\])@{KEY}"
)
_ENVIRONMENT = re.compile(r"\s*\\begin\{(\w+)(\*?)\}.*\\end\{\1\2\}\s*", re.DOTALL)
_NOT_PROSE = ("Code", "CodeBlock", "Math", "RawInline", "RawBlock")
_LABEL = re.compile(r"\s*\\label\{(eq-[^}]*)\}")


@dataclass(frozen=True)
class Code:
    """A cell of code, and what is known of each cell of Markdown up to the next one."""

    cell: str
    source: str
    prose: list[dict[str, Any]] = field(default_factory=list)

    def find(self, kind: str) -> list[str]:
        """The "placeholders" or "claims" of the prose below it."""
        return [found for known in self.prose for found in known[kind]]


@dataclass
class Outline:
    """A chapter's labels (words and cell of each), and of its notebook what stands in
    each cell.

    markdown: of each cell of Markdown the letters by which it is known on a page
    ("sign"); what it gets there, numbers of headings and equations, and the words above
    a question; its placeholders, and of each claim the sentence before it and the block
    that has both.
    """

    number: str
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    duplicates: dict[str, str] = field(default_factory=dict)  # of labels: another cell
    tokens: dict[str, int] = field(
        default_factory=dict
    )  # references and citations: the first cell
    markdown: list[dict[str, Any]] = field(default_factory=list)
    code: list[Code] = field(default_factory=list)
    formulas: dict[str, Node] = field(
        default_factory=dict
    )  # as a cell has them, with what stands around them
    counts: Counter[int | str] = field(default_factory=Counter)
    mistakes: list[str] = field(
        default_factory=list
    )  # a build stops at them; chapter and cell

    def add_markdown(
        self, cell: str, place: int, tree: Tree, source: str, metadata: Any
    ) -> None:
        """Number a cell's prose and note what it refers to.

        LabreportError as `number_prose`, for a wrong question, and for a comment that
        is a claim but for its form.
        """
        require_claims(source)
        spoken = words(
            walk(
                tree,
                lambda siblings: [
                    node for node in siblings if node["t"] not in _NOT_PROSE
                ],
            )
        )
        # A formula in brackets tears a citation apart on a page: its works stand alone
        # there.
        alone = re.findall(rf"(?<![\w\\])@{KEY}", spoken)
        for token in [*REFERENCE_OR_CITATION.findall(spoken), *alone]:
            self.tokens.setdefault(token, place)
        for node in nodes(tree):
            if written := _written_formula(node):
                kind = node["c"][0] if node["t"] == "Math" else {"t": "DisplayMath"}
                self.formulas[written] = {
                    "t": "Math",
                    "c": [kind, _LABEL.sub("", node["c"][1]).strip()],
                }
        headings, equations = self.number_prose(tree, cell)
        known = {"sign": _sign(spoken), "headings": headings, "equations": equations}
        known |= {
            "question": question_words(metadata),
            "placeholders": find_placeholders(source),
        }
        claims = {
            claim.expression: {"block": claim.block, "sentence": claim.sentence}
            for claim in claims_of(tree)
        }
        self.markdown.append(known | {"claims": claims})
        if self.code:
            self.code[-1].prose.append(self.markdown[-1])

    def add_code(self, cell: str, source: str, tags: Collection[str]) -> None:
        """Count the figures and tables that a cell of code shows in the report."""
        self.code.append(Code(cell, source.strip()))
        if HIDING.isdisjoint(tags):
            for kind, name, _ in shown_floats(source):
                if name:
                    self.number_float(kind, name, cell)

    def number_float(self, kind: str, name: str, cell: str) -> tuple[str, str]:
        """The label and the number of the next figure ("fig") or table ("tab"), as
        ("fig-2-cat", "Figure 2.1").
        """
        words = f"{WORDS[kind]} {self._count(WORDS[kind])}"
        return self._label(f"{kind}-{self.number}-{name}", words, cell)

    def number_prose(self, tree: Tree, cell: str) -> tuple[list[str], list[str]]:
        """Number headings and equations, in place; returns the numbers of headings, and
        of each formula or "".

        A heading gets its number and a label as attributes; an equation becomes a span
        of the class "equation" with both. LabreportError for an equation of several
        numbers, for another environment, for a placeholder in a formula, and for a
        label that is none.
        """
        headings: list[str] = []
        equations: list[str] = []
        for node in list(nodes(tree)):
            tex = node["c"][1] if node["t"] in ("Math", "RawInline", "RawBlock") else ""
            found = _ENVIRONMENT.fullmatch(tex) if node["t"] != "Math" else None
            if node["t"] == "Header" and node["c"][0] <= 3:
                headings.append(self._number_heading(node, cell))
            elif node["t"] == "Math" or found:
                if find_placeholders(tex):
                    remedy = "write the number beside it"
                    raise LabreportError(
                        f"expected a formula without placeholders, got {tex}; {remedy}."
                    )
                equations.append(
                    self._number_equation(node, found, cell) if found else ""
                )
        return headings, equations

    def find_outdated(self, ran: Mapping[str, int]) -> set[str]:
        """The ids of cells of code whose outputs, or the numbers below them, build on a
        cell that ran later.

        ran: the number of the last run, by the cell's id. A cell builds on those above
        that assign the names that it or the prose below it reads, and on what these
        build on.
        """
        written: dict[
            str, int
        ] = {}  # by name: the last run of all that it was made from
        found: set[str] = set()
        for code in self.code:
            if code.cell not in ran:
                continue
            loaded, stored = used_names(code.source)
            expressions = (
                split_format(found)[0] for found in code.find("placeholders")
            )
            for expression in (*code.find("claims"), *expressions):
                loaded |= used_names(expression)[0] - stored
            latest = max(
                (written[name] for name in loaded if name in written), default=0
            )
            if latest > ran[code.cell]:
                found.add(code.cell)
            written |= dict.fromkeys(stored, max(latest, ran[code.cell]))
        return found

    def _number_heading(self, node: Node, cell: str) -> str:
        """As in LaTeX, a section restarts the numbers of subsections."""
        level, (label, classes, _), title = node["c"]
        if (level == 1) == bool(self.counts[1]):
            got = f"{'#' * level} {words(title)}"
            raise LabreportError(
                f"expected one top heading (#) and sections (##) below, got {got}; correct it."
            )
        self.counts[level] += 1
        for lower in range(level + 1, 4):
            self.counts[lower] = 0
        above = (str(self.counts[higher]) for higher in range(2, level + 1))
        number = ".".join([self.number, *above])
        # Names of labels begin with a letter: a label made of a number is nobody
        # else's.
        own = f"sec-{number.replace('.', '-')}"
        if label:
            own = f"sec-{self.number}-{_name_of(label, 'sec')}"
        self._label(
            own, chapter_words(number) if level == 1 else f"Section {number}", cell
        )
        node["c"] = [level, [own, classes, [["number", number]]], title]
        return number

    def _number_equation(self, node: Node, found: re.Match[str], cell: str) -> str:
        """LaTeX numbers the environments without a star."""
        tex, environment, starred = found[0], found[1], found[2]
        if environment not in ("equation", "align", "gather", "multline"):
            got = f"{environment}; write it in Markdown, or a formula between $$"
            raise LabreportError(
                f"expected equation, align, gather or multline, got {got}."
            )
        if environment in ("align", "gather") and r"\\" in tex and not starred:
            got = f"several lines of {environment}; use equation with aligned"
            raise LabreportError(f"expected an equation with one number, got {got}.")
        number = "" if starred else self._count("Equation")
        named, tex = _LABEL.search(tex), _LABEL.sub("", tex).strip()
        label = f"eq-{self.number}-{_name_of(named[1], 'eq')}" if named else ""
        if label:
            self._label(label, f"Equation ({number})", cell)
        formula = {"t": "Math", "c": [{"t": "DisplayMath"}, tex]}
        attributes = [label, ["equation"], [["number", f"({number})"]] * bool(number)]
        span = {"t": "Span", "c": [attributes, [formula]]}
        node.update(span if node["t"] == "RawInline" else {"t": "Para", "c": [span]})
        return f"({number})" if number else ""

    def _label(self, label: str, text: str, cell: str) -> tuple[str, str]:
        if label in self.labels:
            self.duplicates.setdefault(label, cell)
        self.labels.setdefault(label, {"text": text, "cell": cell})
        return label, text

    def _count(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{self.number}.{self.counts[kind]}"


def read_outline(path: Path, number: str) -> Outline:
    """The outline of the notebook in that file, the chapter of that number.

    Where there is no pandoc, or a block is left open, only figures and tables have
    numbers.
    """
    outline = Outline(number)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tags, where = (
        [cell["metadata"].get("tags", ()) for cell in cells],
        f"{path.stem}, cell",
    )
    sources = ["".join(cell["source"]) for cell in cells]
    prose = [
        place for place, cell in enumerate(cells) if cell["cell_type"] == "markdown"
    ]
    try:
        texts = [
            replace_placeholders(sources[place], lambda _: "{{0}}") for place in prose
        ]
        trees = iter(parse(texts, [f"{where} {place + 1}" for place in prose]))
    except LabreportError as error:
        trees = iter([[]] * len(prose))
        outline.mistakes.append(str(error))
    for place, (cell, source) in enumerate(zip(cells, sources, strict=True)):
        identity = cell.get("id", str(place + 1))
        if cell["cell_type"] == "code":
            outline.add_code(identity, source, tags[place])
        elif cell["cell_type"] == "markdown":
            try:
                outline.add_markdown(
                    identity, place + 1, next(trees), source, cell["metadata"]
                )
            except LabreportError as error:
                outline.mistakes.append(
                    f"{where} {place + 1} ({first_line(source, 40)}): {error}"
                )
    if not outline.counts[1] and not outline.mistakes:
        outline.mistakes.append(
            f"{where} 1: expected a top heading (# Title), got none; begin with one."
        )
    if not any("parameters" in each for each in tags):
        wanted = "a cell tagged 'parameters' with profile = \"quick\""
        outline.mistakes.append(f"{where} 2: expected {wanted}, got none; add one.")
    return outline


def _written_formula(node: Node) -> str:
    """A formula as it was written, $x$ or an environment, with single spaces; nothing
    for another node.
    """
    if node["t"] == "Math":
        mark = "$" if node["c"][0]["t"] == "InlineMath" else "$$"
        return " ".join(f"{mark}{node['c'][1]}{mark}".split())
    is_environment = node["t"] in ("RawInline", "RawBlock") and _ENVIRONMENT.fullmatch(
        node["c"][1]
    )
    return " ".join(node["c"][1].split()) if is_environment else ""


def _sign(prose: str) -> str:
    """The first letters, a to z, of a cell's prose without references, by which live.js
    finds it on a page.
    """
    return re.sub("[^a-z]", "", REFERENCE_OR_CITATION.sub("", prose).lower())[:60]


class Claim(NamedTuple):
    """What a sentence rests on: the expression, the comment that has it, the sentence
    before it.

    block: the place of the block that has both, among those that a page shows.
    """

    expression: str
    comment: Node
    sentence: str
    block: int


def claims_of(tree: Tree) -> list[Claim]:
    """The claims of a cell's prose, in its order."""
    found: list[Claim] = []
    said, shown = "", -1
    for block in tree:
        if not (block["t"] == "RawBlock" and block["c"][1].startswith("<!--")):
            shown += 1
        for node in nodes(block):
            is_comment = node["t"] in ("RawInline", "RawBlock") and node["c"][
                1
            ].startswith("<!--")
            if not is_comment:
                said += word_of(node)
                continue
            sentence = _last_sentence(said)
            for expression in find_claims(node["c"][1]):
                found.append(Claim(expression, node, sentence, max(shown, 0)))
        said += "\n"
    return found


def _last_sentence(text: str) -> str:
    """The last sentence of a text in which a paragraph is a line."""
    line = text.rstrip().rpartition("\n")[2]
    return re.split(r"(?<=[.!?])\s", " ".join(line.split()))[-1]


def _name_of(label: str, kind: str) -> str:
    if not (found := re.fullmatch(f"{kind}-({NAME})", label)):
        remedy = "use small letters, digits and hyphens"
        raise LabreportError(
            f"expected a label such as {kind}-first-part, got {label}; {remedy}."
        )
    return found[1]


def question_words(metadata: Mapping[str, Any]) -> str:
    """How a question is headed, as "Question 5 ★"; empty for another cell."""
    if "question" not in metadata.get("tags", ()):
        return ""
    question = metadata.get("question", {})
    number = question.get("number") if isinstance(question, dict) else None
    if not re.fullmatch(r"\d+[a-z]?", str(number)):
        wanted = 'the metadata "question": {"number": "3"}, or "3a"'
        raise LabreportError(f"expected {wanted}, got {number!r}; correct it.")
    star, bonus = (
        " ★" * bool(question.get("starred")),
        " Bonus" * bool(question.get("bonus")),
    )
    return f"Question {number}{star}{bonus}"


def used_names(source: str) -> tuple[set[str], set[str]]:
    """The names that a cell takes from cells above, and those that it assigns or
    defines; imports are neither.
    """
    try:
        tree, codes = ast.parse(source), [compile(source, "cell", "exec")]
    except SyntaxError:  # a magic of IPython
        return set(), set()
    for code in codes:
        codes += [part for part in code.co_consts if isinstance(part, CodeType)]
    done = [
        {(each.opname, each.argval) for each in dis.get_instructions(code)}
        for code in codes
    ]
    stored = [{n for op, n in each if op == "STORE_NAME"} for each in done]
    loaded = [
        {n for op, n in each if op in ("LOAD_NAME", "LOAD_GLOBAL")} for each in done
    ]
    taken = set().union(
        *(names - own for names, own in zip(loaded, stored, strict=True))
    )
    imports = (
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    )
    imported = {
        (part.asname or part.name).split(".")[0]
        for node in imports
        for part in node.names
    }
    return taken - stored[0] - imported, stored[0] - imported


def shown_floats(source: str) -> Iterator[tuple[str, str, list[str]]]:
    """("fig" or "tab", name, [caption, *rows]) of each figure and table that a cell's
    code shows, in its order.

    What it does not say literally is empty, as is what an f-string inserts; a caption
    may be a variable of the cell.
    """
    code = walk_code(source)
    assigned = (node for node in code if isinstance(node, ast.Assign))
    given = {ast.unparse(node.targets[0]): node.value for node in assigned}
    calls = [node for node in code if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        named = {
            word.arg: word.value
            for word in call.keywords
            if word.arg in ("name", "caption")
        }
        last = call.args[len(call.args) + len(named) - 2 :]
        passed = dict(zip(("name", "caption"), last, strict=False)) | named
        if kind := SHOWN.get(getattr(call.func, "attr", "")):
            name, caption = passed.get("name"), passed.get("caption")
            rows = (
                getattr(call.args[0], "elts", []) if kind == "tab" and call.args else []
            )
            said = [
                _literal(given.get(getattr(caption, "id", ""), caption)),
                *map(_literal, rows),
            ]
            yield kind, _literal(name) if isinstance(name, ast.Constant) else "", said


def walk_code(source: str) -> list[ast.AST]:
    """All nodes of a cell's code; none if it is not plain Python, as with a magic."""
    try:
        return list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return []


def _literal(node: Any) -> str:
    """What an expression says literally: a constant, and what an f-string, a list or a
    dictionary has of them.
    """
    parts = getattr(node, "values", getattr(node, "elts", None))
    if parts is None:
        return str(node.value) if isinstance(node, ast.Constant) else ""
    return ("" if isinstance(node, ast.JoinedStr) else ", ").join(map(_literal, parts))
