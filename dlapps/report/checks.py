"""What `dlapps check` lists, without executing anything."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from nbformat import NotebookNode

from dlapps.core import paths
from dlapps.notebook.outline import HIDING, NUMBER, Outline, shown_floats, walk_code
from dlapps.notebook.profiles import PROFILES
from dlapps.notebook.syntax import INLINE, Tree, first_line, nodes, parse, walk, words
from dlapps.report import sources
from dlapps.report.committed import has_outputs, read_as_committed
from dlapps.report.contents import FLOATS, fragments, messages, qualified
from dlapps.report.prose import reference_label
from dlapps.report.sources import Source, tags
from dlapps.report.staleness import executed_path, is_stale

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)"
# Digits that belong to a word are a name: VGG16, relu5_1, 15-Scene, ILSVRC-2012, 8-bit, k4.
_NUMBER = re.compile(rf"(?<![\w.,])(?<![A-Za-z_][-–/])({_DIGITS})(?!\w|[.,]\d|[-–/][A-Za-z_])(\s?%)?")
_SILENT = {"Cite": {"t": "Space"}} | {kind: {"t": "Str", "c": " ¤ "} for kind in ("Code", "CodeBlock", "Math")}
_SOURCE = re.compile(r"<!--\s*by hand:\s*[^\s-].*?-->", re.DOTALL)
_NOT_STATED = re.compile(
    r"https?://\S+|\{\{[^{}]*\}\}"  # addresses, recorded numbers
    r"|\b(?:Figure|Table|Chapter|Section|Question|Equation|Algorithm|eqs?\.|pp?\.)s?\s\d+"
    rf"|\(?{_DIGITS}(?:\s?[×+–]\s?\(?{_DIGITS}\)?)*\)?\s?[×+]\s?\(?{_DIGITS}\)?"  # sizes, sums and products
    rf"|{_DIGITS}(?:[–-]{_DIGITS}){{2,}}",  # layers in a row: 2,352–100–10
)


@dataclass
class Mentions:
    """What prose uses: names of numbers, labels and works."""

    numbers: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    works: set[str] = field(default_factory=set)


@dataclass
class Facts:
    """What a chapter shows, records and uses, as far as is known without running it."""

    outline: Outline
    cells: list[Tree] = field(default_factory=list)  # the prose of Markdown cells
    used: Mentions = field(default_factory=Mentions)
    recorded: set[str] = field(default_factory=set)  # names in the calls, each of one number or of a dictionary
    numbers: set[str] | None = None  # once it ran
    computed_names: bool = False  # which only a run can tell

    def knows(self, number: str) -> bool:
        """Whether it records a number of that name, which other chapters may write with its chapter in front."""
        number = number.removeprefix(qualified("", self.outline.number))
        if self.numbers is not None:
            return number in self.numbers
        return any(_is_of(number, name) for name in self.recorded)


def find_complaints() -> list[str]:
    """One line for each thing to mend in the notebooks: cell by cell, then numbers, then references."""
    notebooks = {source: source.read() for source in sources.find_sources()}
    facts = {source: _facts(source, notebook) for source, notebook in notebooks.items()}
    cells = (_check_cells(source, notebook, facts[source].cells) for source, notebook in notebooks.items())
    return [*chain.from_iterable(cells), *_check_numbers(facts), *_check_references(facts)]


def _check_cells(source: Source, notebook: NotebookNode, prose: list[Tree]) -> Iterator[str]:
    if has_outputs(notebook) and has_outputs(read_as_committed(source.path)):
        yield f"{source.name}: outputs that git would commit; clear them, or have git leave them out, as make lab does"
    settings = find_settings(cell.source for cell in sources.code_cells(notebook))
    trees = iter(prose)
    for number, cell in enumerate(notebook.cells, start=1):
        where = f"{source.name}, cell {number} ({first_line(cell.source, 40)})"
        typed = find_typed_numbers(next(trees), settings) if cell.cell_type == "markdown" else []
        if "TODO" in cell.source:
            yield f"{where}: the word TODO"
        if "question" not in tags(cell) and typed:
            hint = "written by hand; record it, or add <!-- by hand: source --> to its paragraph"
            yield f"{where}: {', '.join(typed)} {hint}"
        if "question" in tags(cell) and not _is_answered(notebook.cells[number:]):
            yield f"{where}: a question without an answer"


def _is_answered(following: list[NotebookNode]) -> bool:
    """Whether a cell tagged "answer" comes before the next question or heading."""
    for cell in following:
        if "answer" in tags(cell) and cell.source.strip():
            return True
        is_heading = cell.cell_type == "markdown" and cell.source.lstrip().startswith("#")
        if "question" in tags(cell) or is_heading:
            return False
    return False


def _check_numbers(facts: dict[Source, Facts]) -> Iterator[str]:
    used = set().union(*(chapter.used.numbers for chapter in facts.values()))
    computed_names = any(chapter.computed_names for chapter in facts.values())
    for source, chapter in facts.items():
        qualifier = qualified("", source.number)
        plain = chapter.used.numbers | {name.removeprefix(qualifier) for name in used}
        computed = {name for name in chapter.numbers or () if not any(_is_of(name, call) for call in chapter.recorded)}
        for name in sorted(chapter.recorded | computed):
            if not any(_is_of(number, name) for number in plain):
                yield f"{source.name}: the number {name} is recorded but never used"
        for name in () if computed_names else sorted(chapter.used.numbers):
            if not any(other.knows(name) for other in facts.values()):
                yield f"{source.name}: the number {name} is used but never recorded"


def _is_of(number: str, name: str) -> bool:
    """Whether a number was recorded under that name, itself or in a dictionary, as fgsm_success in fgsm."""
    return number == name or number.startswith(f"{name}_")


def _check_references(facts: dict[Source, Facts]) -> Iterator[str]:
    keys = sources.read_citation_keys()
    labels = set().union(*(chapter.outline.labels for chapter in facts.values()))
    referred = set().union(*(chapter.used.labels for chapter in facts.values()))
    for source, chapter in facts.items():
        for label in chapter.outline.duplicates:
            yield f"{source.name}: more than one part is labelled @{label}"
        for label in chapter.outline.labels:
            if label.startswith("fig-") and label not in referred:
                yield f"{source.name}: no text refers to the figure @{label}"
        for label in sorted(chapter.used.labels - labels):
            yield f"{source.name}: nothing is labelled @{label}"
        for key in sorted(chapter.used.works - keys):
            yield f"{source.name}: @{key} is not in {paths.report() / 'references.bib'}"


def _facts(source: Source, notebook: NotebookNode) -> Facts:
    """From the outputs of the last execution if they are those of this code, else from the code itself."""
    facts = Facts(Outline(source.number))
    code = sources.code_cells(notebook)
    for cell in code:
        _add_records(facts, cell.source)
    executed = next((profile for profile in PROFILES if not is_stale(source, profile)), None)
    if executed:
        ran = sources.read_notebook(executed_path(source, executed))
        facts.numbers = {name for record in messages(ran, "record") for name in record["values"]}
        facts.computed_names = False
        pieces = [(box, key) for _, box, key in fragments(ran) if key != "source"]
        captions = [box[key] for box, key in pieces]
        floats = [(FLOATS[box["kind"]], box["name"]) for box, key in pieces if key == "caption"]
    else:
        visible = [cell for cell in code if HIDING.isdisjoint(tags(cell))]
        shown = [found for cell in visible for found in shown_floats(cell.source)]
        captions = [caption for _, _, caption in shown]
        floats = [(kind, name) for kind, name, _ in shown if name]
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    prose = parse([*cells, *(INLINE + caption for caption in captions)])
    facts.cells, facts.used = prose[: len(cells)], mentions(prose, source.number)
    for tree in facts.cells:
        facts.outline.number_prose(tree, "")
    for kind, name in floats:
        facts.outline.number_float(kind, name, "")
    return facts


def _add_records(facts: Facts, source: str) -> None:
    """The names in the calls of `record` in a cell; those of a cell that is not plain Python only a run can tell."""
    code = walk_code(source)
    facts.computed_names |= not code
    for call in code:
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "record":
            names = {word.arg for word in call.keywords} - {"data", "seed"}
            facts.computed_names |= None in names
            facts.recorded |= {name for name in names if name}


def mentions(trees: list[Tree], chapter: str) -> Mentions:
    """What the prose of a chapter uses."""
    found = Mentions()
    for node in nodes(trees):
        content = node.get("c", "")
        text = content if node["t"] == "Str" else content[1] if node["t"] in ("Math", "RawInline", "RawBlock") else ""
        found.numbers |= {name for name, _ in NUMBER.findall(text)}
        for citation in content[0] if node["t"] == "Cite" else []:
            label = reference_label(citation["citationId"], chapter)
            (found.labels if label else found.works).add(label or citation["citationId"])
    return found


def find_typed_numbers(tree: Tree, settings: set[float]) -> list[str]:
    """The numbers in a Markdown cell that were typed by hand, as written: `0.91`, `42`, `138,357,544`, `93 %`.

    One is meant that has two significant digits, a decimal point or a percent sign, and is none of: a setting (a number
    of `settings`; a percentage whose share is one), a size or a product (5 × 5), a year, a number of a figure, list or
    page, a part of a name, formula, code, citation or link. `<!-- by hand: source -->` lets its paragraph pass.
    """
    found = (match for text in _paragraphs(tree) for match in _NUMBER.finditer(_NOT_STATED.sub(" ", text)))
    return [match[0] for match in found if _is_result(match[1], bool(match[2]), settings)]


def _paragraphs(tree: Tree) -> Iterator[str]:
    """The words of each block but those with a source, citations left out, a sign in place of formulas and code."""
    for block in tree:
        remarks = (node["c"][1] for node in nodes(block) if node["t"] in ("RawInline", "RawBlock"))
        if not any(map(_SOURCE.search, remarks)):
            yield words(walk([block], lambda inlines: [_SILENT.get(node["t"], node) for node in inlines]))


def find_settings(code: Iterable[str]) -> set[float]:
    """The numbers in a notebook's code cells; what their strings say is prose, and the library's are others'."""
    found = (node for source in code for node in walk_code(source))
    values = [node.value for node in found if isinstance(node, ast.Constant)]
    numbers = (value for value in values if isinstance(value, (int, float)))
    return {float(value) for value in numbers if not isinstance(value, bool)}


def _is_result(digits: str, percent: bool, settings: set[float]) -> bool:
    value = float(digits.replace(",", ""))
    if percent:
        return not (value < 100 and value / 100 in settings)
    if value in settings or re.fullmatch(r"(19|20)\d\d", digits):
        return False
    return "." in digits or len(digits.replace(",", "").strip("0")) > 1
