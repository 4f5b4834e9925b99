"""The form of chapters: what a student should learn from is shown and fits the page."""

from __future__ import annotations

import ast
import re

import nbformat
import pytest
from conftest import CHECKOUT

NOTEBOOKS = sorted(path.stem for path in (CHECKOUT / "notebooks").glob("*.ipynb"))
CHAPTERS = [name for name in NOTEBOOKS if name != "5_evidence"]  # the appendix
HIDING = {"parameters", "remove-cell", "remove-input"}
HEADLINE = re.compile(
    r"^chapter\.headline\((?:.+\)$|\n(?: .+\n)+\)$)", re.MULTILINE
)  # as ruff writes it


def read_cells(name):
    return nbformat.read(CHECKOUT / "notebooks" / f"{name}.ipynb", as_version=4).cells


def is_hidden(cell):
    return bool(HIDING.intersection(cell.metadata.get("tags", [])))


def code_of(cells):
    return [cell for cell in cells if cell.cell_type == "code"]


def nodes(cell, kind):
    return [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, kind)]


@pytest.fixture(params=CHAPTERS)
def cells(request):
    """A chapter's cells, less what only the report's front page needs."""
    cells = read_cells(request.param)
    for cell in code_of(cells):
        cell.source = HEADLINE.sub("", cell.source)
    return cells


def test_most_code_is_shown_and_its_lines_fit_the_page(cells):
    sizes = {True: 0, False: 0}
    for cell in code_of(cells):
        sizes[is_hidden(cell)] += len(cell.source)
        assert (
            max(map(len, cell.source.splitlines()), default=0) <= 88
        )  # what the PDF's listings hold
    assert sizes[False] >= sizes[True]


def test_hidden_cells_define_no_functions(cells):
    for cell in code_of(cells):
        if is_hidden(cell):
            assert not nodes(cell, ast.FunctionDef), cell.source


def test_verdicts_are_prose_and_not_strings_of_code(cells):
    for cell in code_of(cells):
        for choice in nodes(cell, ast.IfExp):
            for node in ast.walk(choice):
                is_text = isinstance(getattr(node, "value", None), str)
                assert not is_text, cell.source
