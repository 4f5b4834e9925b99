"""Check the notebooks without executing anything, as `labreport check` does."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

from labreport import LabreportError, first_line
from labreport.chapters import code_cells, tags
from labreport.editions import sources
from labreport.editions.sources import Source
from labreport.notebook.claims import find_claims
from labreport.notebook.code import method_name, shown_floats, walk_code
from labreport.notebook.expressions import (
    find_placeholders,
    replace_placeholders,
    require_simple,
)
from labreport.notebook.outline import Outline, read_outline
from labreport.notebook.references import (
    KEYS,
    find_tokens,
    reference_label,
    require_known,
    write_text,
)
from labreport.notebook.syntax import Tree, parse, walk, words

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)"
# Digits that belong to a word are a name: VGG16, relu5_1, 15-Scene, ILSVRC-2012, 8-bit,
# k4.
_NUMBER = re.compile(
    rf"(?<![\w.,])(?<![A-Za-z_][-–/])({_DIGITS})(?!\w|[.,]\d|[-–/][A-Za-z_])(\s?%)?"
)
# What stands for code, formulas and citations in a text.
_CITED = "[@]"
_STAND_INS = {"Code": " … ", "CodeBlock": " … ", "Math": " … ", "Cite": _CITED}
# Numbers that are no results.
_ADDRESS = r"https?://\S+"
_PARTS = r"(?:Figure|Table|Chapter|Section|Question|Equation|Algorithm|eqs?\.|pp?\.)"
_PART = rf"\b{_PARTS}s?\s\d+"
_TERM = rf"\(?{_DIGITS}\)?"
_SUM_OR_PRODUCT = rf"\(?{_DIGITS}(?:\s?[×+–]\s?{_TERM})*\)?\s?[×+]\s?{_TERM}"
_LAYERS = rf"{_DIGITS}(?:[–-]{_DIGITS}){{2,}}"  # in a row: 2,352–100–10
_NOT_STATED = re.compile("|".join((_ADDRESS, _PART, _SUM_OR_PRODUCT, _LAYERS)))


@dataclass(frozen=True)
class CheckedNotebook:
    """A notebook and its outline."""

    source: Source
    notebook: NotebookNode
    outline: Outline

    def used_keys(self) -> set[str]:
        """Return the key behind each @ in the prose, and in captions that a cell of
        code contains literally.
        """
        tokens = list(self.outline.tokens)
        for cell in code_cells(self.notebook):
            tokens += find_tokens(_captions_or_prose(cell))
        return {key for token in tokens for key in KEYS.findall(token)}


def find_complaints() -> list[str]:
    """Write one line for each thing to correct in the notebooks.

    These are the mistakes at which a build stops; if there are none, what is wrong in a
    cell, then what is wrong with references.
    """
    sources.read_title_page()
    chapters = []
    mistakes: list[str] = []
    for source in sources.find_sources():
        notebook = source.read()
        outline = read_outline(source.path, source.number)
        mistakes += outline.mistakes
        chapters.append(CheckedNotebook(source, notebook, outline))
    if mistakes:
        return mistakes
    complaints: list[str] = []
    for chapter in chapters:
        complaints += _check_cells(chapter.source, chapter.notebook)
    complaints += _check_references(chapters)
    return complaints


def _check_cells(source: Source, notebook: NotebookNode) -> Iterator[str]:
    settings = find_settings(cell.source for cell in code_cells(notebook))
    trees = parse([_captions_or_prose(cell) for cell in notebook.cells])
    above_all_code = True
    for index, cell in enumerate(notebook.cells):
        where = f"{source.name}, cell {index + 1} ({first_line(cell.source, 40)})"
        if cell.cell_type == "code":
            above_all_code = False
        if "question" not in tags(cell):
            typed = find_typed_numbers(trees[index], settings)
            if typed:
                yield (
                    f"{where}: {', '.join(typed)} typed by hand; write an expression, "
                    "or cite its source in the sentence"
                )
        if cell.cell_type == "markdown":
            for complaint in _check_evaluated(cell.source, above_all_code):
                yield f"{where}: {complaint}"
        if "question" in tags(cell) and not _is_answered(notebook.cells[index + 1 :]):
            yield f"{where}: a question without an answer"


def _captions_or_prose(cell: NotebookNode) -> str:
    """Return the Markdown of a cell; for code, the captions and rows of tables that it
    contains literally.
    """
    if cell.cell_type == "markdown":
        return replace_placeholders(cell.source, lambda _: "")
    literals = []
    for *_, texts in shown_floats(cell.source):
        literals += [write_text(text) for text in texts]
    return "\n\n".join(literals)


def _check_evaluated(markdown: str, above_all_code: bool) -> Iterator[str]:
    placeholders = find_placeholders(markdown)
    if above_all_code:
        evaluated = [f"{{{{{placeholder}}}}}" for placeholder in placeholders]
        for said in evaluated + find_claims(markdown):
            yield f"{said} above all code, where nothing has a value yet"
    for placeholder in placeholders:
        try:
            require_simple(placeholder)
        except LabreportError as error:
            yield str(error)


def _is_answered(following: list[NotebookNode]) -> bool:
    """Return whether an answer comes before the next question or heading."""
    for cell in following:
        if "answer" in tags(cell) and cell.source.strip():
            return True
        if "question" in tags(cell):
            return False
        if cell.cell_type == "markdown" and cell.source.lstrip().startswith("#"):
            return False
    return False


def _check_references(chapters: list[CheckedNotebook]) -> Iterator[str]:
    works = sources.read_citation_keys()
    labels: set[str] = set()
    referred = set()
    for chapter in chapters:
        labels.update(chapter.outline.labels)
        for key in chapter.used_keys():
            referred.add(reference_label(key, chapter.source.number))
    for chapter in chapters:
        name = chapter.source.name
        for label in chapter.outline.labels:
            if label.startswith("fig-") and label not in referred:
                yield f"{name}: no text refers to the figure @{label}"
        for key in sorted(chapter.used_keys()):
            reference = reference_label(key, chapter.source.number)
            try:
                require_known(key, reference, labels, works)
            except LabreportError as error:
                yield f"{name}: {error}"


def find_typed_numbers(tree: Tree, settings: set[float]) -> list[str]:
    """Find the numbers in a Markdown cell that were typed by hand, as written: `0.91`,
    `42`, `138,357,544`, `93 %`.

    A number counts if it has two significant digits, a decimal point or a percent sign.
    It does not count if it is a setting (a number of `settings`, or a percentage whose
    share is one), a size or a product (5 × 5), a year, the number of a figure, list or
    page, or a part of a name, formula, code or link. In a sentence with a citation no
    number counts.
    """
    typed = []
    for block in walk(tree, _stand_in):
        sentences = re.split(r"(?<=[.!?]) ", words(block))
        text = " ".join(sentence for sentence in sentences if _CITED not in sentence)
        for number in _NUMBER.finditer(_NOT_STATED.sub(" ", text)):
            digits, percent = number.groups()
            if _is_result(digits, bool(percent), settings):
                typed.append(number[0])
    return typed


def _stand_in(inlines: Tree) -> Tree:
    """Replace code, formulas and citations by a text."""
    replaced = []
    for node in inlines:
        if node["t"] in _STAND_INS:
            node = {"t": "Str", "c": _STAND_INS[node["t"]]}
        replaced.append(node)
    return replaced


def find_settings(code: Iterable[str]) -> set[float]:
    """Find the numbers in a notebook's code cells; what strings and tables say is
    prose.
    """
    settings = set()
    for source in code:
        nodes = walk_code(source)
        in_tables: set[ast.AST] = set()
        for node in nodes:
            if isinstance(node, ast.Call) and method_name(node) == "show_table":
                in_tables.update(ast.walk(node))
        for node in nodes:
            if node in in_tables or not isinstance(node, ast.Constant):
                continue
            if isinstance(node.value, (int, float)):
                settings.add(float(node.value))
    return settings


def _is_result(digits: str, percent: bool, settings: set[float]) -> bool:
    value = float(digits.replace(",", ""))
    if percent:
        return value >= 100 or value / 100 not in settings
    if value in settings or re.fullmatch(r"(19|20)\d\d", digits):
        return False
    return "." in digits or len(digits.replace(",", "").strip("0")) > 1
