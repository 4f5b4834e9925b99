"""What `labreport check` lists, without executing anything."""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Any

from nbformat import NotebookNode

from labreport import paths
from labreport.editions import sources
from labreport.editions.committed import has_outputs, read_as_committed
from labreport.editions.sources import Source, tags
from labreport.notebook.expressions import (
    find_placeholders,
    replace_placeholders,
    require_simple,
)
from labreport.notebook.outline import (
    REFERENCE_OR_CITATION,
    Outline,
    read_outline,
    shown_floats,
    walk_code,
)
from labreport.notebook.prose import KEYS, reference_label, write_text
from labreport.notebook.syntax import Tree, first_line, parse, walk, words

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)"
# Digits that belong to a word are a name: VGG16, relu5_1, 15-Scene, ILSVRC-2012, 8-bit,
# k4.
_NUMBER = re.compile(
    rf"(?<![\w.,])(?<![A-Za-z_][-–/])({_DIGITS})(?!\w|[.,]\d|[-–/][A-Za-z_])(\s?%)?"
)
_CITED = "⁂"
_SILENT = {kind: {"t": "Str", "c": " ¤ "} for kind in ("Code", "CodeBlock", "Math")}
_SILENT["Cite"] = {"t": "Str", "c": _CITED}
_NOT_STATED = re.compile(
    r"https?://\S+|\{\{[^{}]*\}\}"  # addresses, expressions
    r"|\b(?:Figure|Table|Chapter|Section|Question|Equation|Algorithm|eqs?\.|pp?\.)s?\s\d+"
    rf"|\(?{_DIGITS}(?:\s?[×+–]\s?\(?{_DIGITS}\)?)*\)?\s?[×+]\s?\(?{_DIGITS}\)?"  # sizes, sums and products
    rf"|{_DIGITS}(?:[–-]{_DIGITS}){{2,}}",  # layers in a row: 2,352–100–10
)


def find_complaints() -> list[str]:
    """One line for each thing to mend in the notebooks: what a build stops at; else
    cell by cell, then references.
    """
    sources.read_title_page()
    notebooks = {source: source.read() for source in sources.find_sources()}
    outlines = {
        source: read_outline(source.path, source.number) for source in notebooks
    }
    if mistakes := [
        mistake for outline in outlines.values() for mistake in outline.mistakes
    ]:
        return mistakes
    complaints = [found for each in notebooks.items() for found in _check_cells(*each)]
    return [*complaints, *_check_references(notebooks, outlines)]


def _check_cells(source: Source, notebook: NotebookNode) -> Iterator[str]:
    if has_outputs(notebook) and has_outputs(read_as_committed(source.path)):
        remedy = "clear them, or have git leave them out, as make lab does"
        yield f"{source.name}: outputs that git would commit; {remedy}"
    settings = find_settings(cell.source for cell in sources.code_cells(notebook))
    trees, above = parse([*map(_say, notebook.cells)]), True
    for number, (cell, tree) in enumerate(
        zip(notebook.cells, trees, strict=True), start=1
    ):
        above = above and cell.cell_type != "code"
        where = f"{source.name}, cell {number} ({first_line(cell.source, 40)})"
        typed = find_typed_numbers(tree, settings)
        if "TODO" in cell.source:
            yield f"{where}: the word TODO"
        if "question" not in tags(cell) and typed:
            remedy = "write an expression, or cite its source in the sentence"
            yield f"{where}: {', '.join(typed)} typed by hand; {remedy}"
        if cell.cell_type == "markdown":
            for complaint in _check_placeholders(cell.source, above):
                yield f"{where}: {complaint}"
        if "question" in tags(cell) and not _is_answered(notebook.cells[number:]):
            yield f"{where}: a question without an answer"


def _say(cell: NotebookNode) -> str:
    """The Markdown of a cell; of code, the captions and the rows of tables that it says
    literally.
    """
    if cell.cell_type == "markdown":
        return replace_placeholders(cell.source, lambda _: "")
    said = [text for *_, texts in shown_floats(cell.source) for text in texts]
    return "\n\n".join(map(write_text, said))


def _check_placeholders(markdown: str, above: bool) -> Iterator[str]:
    """above: whether the text stands above all code."""
    for placeholder in find_placeholders(markdown):
        if above:
            yield f"{{{{{placeholder}}}}} above all code, where nothing has a value yet"
        try:
            require_simple(placeholder)
        except ValueError as error:
            yield str(error)


def _is_answered(following: list[NotebookNode]) -> bool:
    """Whether a cell tagged "answer" comes before the next question or heading."""
    for cell in following:
        if "answer" in tags(cell) and cell.source.strip():
            return True
        is_heading = cell.cell_type == "markdown" and cell.source.lstrip().startswith(
            "#"
        )
        if "question" in tags(cell) or is_heading:
            return False
    return False


def _check_references(
    notebooks: dict[Source, Any], outlines: dict[Source, Outline]
) -> Iterator[str]:
    used = {
        source: _used_keys(outlines[source], notebooks[source]) for source in notebooks
    }
    works = sources.read_citation_keys()
    labels = set().union(*(outline.labels for outline in outlines.values()))
    referred = {
        reference_label(key, each.number) for each in used for key in used[each]
    }
    for source, outline in outlines.items():
        for label in outline.duplicates:
            yield f"{source.name}: more than one part is labelled @{label}"
        for label in outline.labels:
            if label.startswith("fig-") and label not in referred:
                yield f"{source.name}: no text refers to the figure @{label}"
        for key in sorted(used[source]):
            named = reference_label(key, source.number)
            if named and named not in labels:
                yield f"{source.name}: nothing is labelled @{named}"
            elif not named and key not in works:
                yield f"{source.name}: @{key} is not in {paths.report() / 'references.bib'}"


def _used_keys(outline: Outline, notebook: NotebookNode) -> set[str]:
    """What stands behind each @ in the prose, and in captions that a cell of code says
    literally.
    """
    code = map(_say, sources.code_cells(notebook))
    captions = (token for said in code for token in REFERENCE_OR_CITATION.findall(said))
    return {
        key for token in (*outline.tokens, *captions) for key in KEYS.findall(token)
    }


def find_typed_numbers(tree: Tree, settings: set[float]) -> list[str]:
    """The numbers in a Markdown cell that were typed by hand, as written: `0.91`, `42`,
    `138,357,544`, `93 %`.

    One is meant that has two significant digits, a decimal point or a percent sign, and
    is none of: a setting (a number of `settings`; a percentage whose share is one), a
    size or a product (5 × 5), a year, a number of a figure, list or page, a part of a
    name, formula, code or link. A citation lets its sentence pass.
    """
    found: list[re.Match[str]] = []
    for block in walk(
        tree, lambda inlines: [_SILENT.get(node["t"], node) for node in inlines]
    ):
        sentences = re.split(r"(?<=[.!?]) ", words(block))
        text = " ".join(sentence for sentence in sentences if _CITED not in sentence)
        found += _NUMBER.finditer(_NOT_STATED.sub(" ", text))
    return [
        match[0] for match in found if _is_result(match[1], bool(match[2]), settings)
    ]


def find_settings(code: Iterable[str]) -> set[float]:
    """The numbers in a notebook's code cells; what strings and tables say is prose, and
    the library's are others'.
    """
    found = [node for source in code for node in walk_code(source)]
    calls = (node for node in found if isinstance(node, ast.Call))
    tables = (call for call in calls if getattr(call.func, "attr", "") == "show_table")
    shown = {part for table in tables for part in ast.walk(table)}
    values = [
        node.value
        for node in found
        if isinstance(node, ast.Constant) and node not in shown
    ]
    numbers = (value for value in values if isinstance(value, (int, float)))
    return {float(value) for value in numbers if not isinstance(value, bool)}


def _is_result(digits: str, percent: bool, settings: set[float]) -> bool:
    value = float(digits.replace(",", ""))
    if percent:
        return not (value < 100 and value / 100 in settings)
    if value in settings or re.fullmatch(r"(19|20)\d\d", digits):
        return False
    return "." in digits or len(digits.replace(",", "").strip("0")) > 1
