"""What `dlapps check` lists, without executing anything."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from nbformat import NotebookNode

from dlapps import paths
from dlapps.outline import SHOWN, Outline
from dlapps.profiles import PROFILES
from dlapps.report import ReportError
from dlapps.report.committed import has_outputs, read_as_committed
from dlapps.report.contents import FLOATS, messages, qualified
from dlapps.report.execute import executed_path, is_stale
from dlapps.report.prose import Mentions, mentions
from dlapps.report.sources import Source, find_sources, read_citation_keys, read_notebook, tags
from dlapps.report.typed_numbers import find_settings, find_typed_numbers
from dlapps.syntax import INLINE, Tree, first_line, parse


@dataclass
class Facts:
    """What a chapter shows, records and uses, as far as can be told without running it."""

    shown: list[tuple[str, str]] = field(default_factory=list)  # ("fig", name) or ("tab", name)
    captions: list[str] = field(default_factory=list)  # and cells of tables
    recorded: set[str] = field(default_factory=set)  # names in the calls, each of one number or of a dictionary
    numbers: set[str] | None = None  # once it ran
    computed_names: bool = False
    cells: list[Tree] = field(default_factory=list)  # the prose of Markdown cells
    used: Mentions = field(default_factory=Mentions)
    labels: set[str] = field(default_factory=set)

    def knows(self, number: str) -> bool:
        """Whether it records a number of that name."""
        return any(_is_of(number, name) for name in self.recorded) if self.numbers is None else number in self.numbers


def find_complaints() -> list[str]:
    """One line for each thing to mend in the notebooks, in reading order."""
    sources = find_sources()
    notebooks = {source: source.read() for source in sources}
    facts = {source: _facts(source, notebook) for source, notebook in notebooks.items()}
    complaints = [line for source, notebook in notebooks.items() for line in _check_cells(source, notebook)]
    for source, notebook in notebooks.items():
        complaints += _check_typed_numbers(source, notebook, facts[source].cells)
    return [*complaints, *_check_numbers(facts), *_check_references(facts)]


def _check_cells(source: Source, notebook: NotebookNode) -> Iterator[str]:
    if has_outputs(notebook) and has_outputs(read_as_committed(source.path)):
        yield f"{source.name}: outputs that git would commit; clear them, or have git leave them out, as make lab does"
    for number, cell in enumerate(notebook.cells, start=1):
        where = f"{source.name}, cell {number} ({first_line(cell.source, 40)})"
        if "TODO" in cell.source:
            yield f"{where}: the word TODO"
        if "question" in tags(cell) and not _is_answered(notebook.cells[number:]):
            yield f"{where}: a question without an answer"


def _check_typed_numbers(source: Source, notebook: NotebookNode, prose: list[Tree]) -> Iterator[str]:
    settings = find_settings(cell.source for cell in notebook.cells if cell.cell_type == "code")
    trees = iter(prose)
    for number, cell in enumerate(notebook.cells, start=1):
        typed = find_typed_numbers(next(trees), settings) if cell.cell_type == "markdown" else []
        if typed and "question" not in tags(cell):
            where = f"{source.name}, cell {number} ({first_line(cell.source, 40)}): {', '.join(typed)}"
            yield f"{where} written by hand; record it, or add <!-- by hand: source --> to its paragraph"


def _is_answered(following: list[NotebookNode]) -> bool:
    """Whether a cell tagged "answer" comes before the next question or heading."""
    for cell in following:
        if "answer" in tags(cell) and cell.source.strip():
            return True
        if "question" in tags(cell) or (cell.cell_type == "markdown" and cell.source.lstrip().startswith("#")):
            return False
    return False


def _check_numbers(facts: dict[Source, Facts]) -> Iterator[str]:
    used = set().union(*(chapter.used.numbers for chapter in facts.values()))
    for source, chapter in facts.items():
        qualifier = qualified("", source.number)
        plain = chapter.used.numbers | {name.removeprefix(qualifier) for name in used}
        computed = {name for name in chapter.numbers or () if not any(_is_of(name, call) for call in chapter.recorded)}
        for name in sorted(chapter.recorded | computed):
            if not any(_is_of(number, name) for number in plain):
                yield f"{source.name}: the number {name} is recorded but never used"
        if not any(other.computed_names for other in facts.values()):
            for name in sorted(chapter.used.numbers):
                if not any(
                    other.knows(name.removeprefix(qualified("", there.number))) for there, other in facts.items()
                ):
                    yield f"{source.name}: the number {name} is used but never recorded"


def _is_of(number: str, name: str) -> bool:
    """Whether a number was recorded under that name, itself or in a dictionary, as fgsm_success in fgsm."""
    return number == name or number.startswith(f"{name}_")


def _check_references(facts: dict[Source, Facts]) -> Iterator[str]:
    keys = read_citation_keys()
    labels = set().union(*(chapter.labels for chapter in facts.values()))
    referred = set().union(*(chapter.used.labels for chapter in facts.values()))
    for source, chapter in facts.items():
        for name, count in Counter(name for kind, name in chapter.shown if kind == "fig").items():
            if count > 1:
                yield f"{source.name}: {count} figures are named {name}"
            if f"fig-{source.number}-{name}" not in referred:
                yield f"{source.name}: no text refers to the figure @fig-{name}"
        for label in sorted(chapter.used.labels - labels):
            yield f"{source.name}: nothing is labelled @{label}"
        for key in sorted(chapter.used.works - keys):
            yield f"{source.name}: @{key} is not in {paths.report() / 'references.bib'}"


def _facts(source: Source, notebook: NotebookNode) -> Facts:
    """From the outputs of the last execution if they are those of this code, else from the code itself."""
    facts, outline = Facts(), Outline(source.number)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            _add_calls(facts, cell.source)
    executed = next((profile for profile in PROFILES if not is_stale(source, profile)), None)
    if executed:
        facts = Facts(recorded=facts.recorded)
        _add_messages(facts, read_notebook(executed_path(source, executed)))
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    prose = parse([*cells, *(INLINE + caption for caption in facts.captions)])
    facts.cells, facts.used = prose[: len(cells)], mentions(prose, source.number)
    for number, cell in enumerate(facts.cells, start=1):
        outline.number_prose(cell, f"{number}")
    facts.labels = {*outline.labels, *(f"{kind}-{source.number}-{name}" for kind, name in facts.shown)}
    return facts


def _add_messages(facts: Facts, notebook: NotebookNode) -> None:
    for kind, prefix in FLOATS.items():
        for message in messages(notebook, kind):
            facts.shown.append((prefix, message["name"]))
            facts.captions.append(message["caption"])
            facts.captions += [cell for row in [message.get("columns", []), *message.get("rows", [])] for cell in row]
    facts.numbers = {name for record in messages(notebook, "record") for name in record["values"]}


def _add_calls(facts: Facts, source: str) -> None:
    """What the calls of `record`, `show_figure` and `show_table` in a cell name literally."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ReportError(
            f"expected Python in a code cell, got {first_line(source)!r} ({error.msg}); correct it."
        ) from error
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        kind = getattr(call.func, "attr", "")
        given = {word.arg: word.value for word in call.keywords}
        if kind == "record":
            facts.recorded |= {name for name in given if name and name not in ("data", "seed")}
            facts.computed_names |= None in given
        elif kind in SHOWN:
            prefix, position = SHOWN[kind]
            # One starred argument stands for two: show_table(*study.compare(rows, columns), name, caption).
            position -= any(isinstance(argument, ast.Starred) for argument in call.args)
            arguments = dict(zip(("name", "caption"), call.args[position:], strict=False)) | given
            facts.shown += [(prefix, name) for name in _literal(arguments.get("name"))]
            facts.captions += _literal(arguments.get("caption"))


def _literal(node: ast.expr | None) -> list[str]:
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
