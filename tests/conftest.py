"""A tiny project of its own for each test: notebooks/, report/ and figures/ under tmp_path."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BIBLIOGRAPHY = """@inproceedings{simonyan2015very,
title={Very Deep Networks}, author={Karen Simonyan and Andrew Zisserman},
booktitle={ICLR}, year={2015}}
"""
# The files that take longest, first: a file runs whole in one process, and a long one that comes last runs alone.
LONG = [
    "test_chapters",
    "test_training",
    "test_sweeps",
    "test_new",
    "test_report",
    "test_gan",
    "test_html",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


class Project:
    """Writes notebooks; the first three cells (parameters, setup, title) are always the same."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.build = home / "report" / "build"
        (home / "report").mkdir()
        (home / "report" / "references.bib").write_text(BIBLIOGRAPHY)
        front = 'title = "A small report"\nauthors = ["One", "Another"]\nhow_to_read = "Cells & 5% of notes."\n'
        (home / "report" / "report.toml").write_text(front)
        (home / "notebooks").mkdir()

    def write(self, name: str, *cells: nbformat.NotebookNode) -> Path:
        """A notebook of that name with these cells after the usual first ones."""
        setup = f'from dlapps.notebook import Chapter\nchapter = Chapter("{name}", profile=profile)'
        first = [text("# A chapter"), code('profile = "quick"', "parameters"), code(setup, "remove-cell")]
        notebook = new_notebook(cells=[*first, *cells])
        for number, cell in enumerate(notebook.cells):
            cell.id = f"cell-{number}"
        path = self.home / "notebooks" / f"{name}.ipynb"
        nbformat.write(notebook, path)
        return path


def code(source: str, *tags: str) -> nbformat.NotebookNode:
    return new_code_cell(source, metadata={"tags": list(tags)})


def text(source: str, *tags: str, **question: object) -> nbformat.NotebookNode:
    """A Markdown cell; keywords (number, starred, bonus) become a question's metadata."""
    metadata = {"tags": list(tags)} | ({"question": question} if question else {})
    return new_markdown_cell(source, metadata=metadata)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DLAPPS_HOME", str(tmp_path))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.delenv("DLAPPS_DATA", raising=False)
    return Project(tmp_path)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def violations(page) -> list[str]:
    """What axe-core finds on a page, of WCAG 2.1 AA and good practice, when all that is folded is unfolded."""
    reason = "no axe-core: pip install axe-playwright-python"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    page.evaluate("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
    found = axe.Axe().run(page).response["violations"]
    return [f"{rule['help']}: {node['html']}" for rule in found for node in rule["nodes"]]
