"""Numbers that prose states by hand: a heuristic that lets settings, sizes and names pass."""

import ast
import re
from collections.abc import Iterable, Iterator

from dlapps.notebook.outline import walk_code
from dlapps.notebook.syntax import Tree, nodes, walk, words

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
