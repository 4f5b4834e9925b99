"""What tests share: a tiny project of their own, and the programs that they see."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

# Read by tqdm as it is imported.
os.environ["TQDM_DISABLE"] = "1"
from dlapps.core import assets
from labreport.report import Report

# No test depends on what happens to be installed. It sees the programs of its
# environment alone; it is skipped, if it names one that the machine does not have.
# DLAPPS_TEST_PATH is where these are looked for; workers inherit it.
CHECKOUT = Path(__file__).resolve().parents[1]
SPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
MACHINE = os.environ.setdefault("DLAPPS_TEST_PATH", os.environ["PATH"])
os.environ["PATH"] = sysconfig.get_path("scripts")
# As make test has it; else joblib would count the cores with a program of the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
REMEDIES = {
    "latexmk": "report/install-packages tex",
    "chromium": "apt install chromium",
}
BIBLIOGRAPHY = """@inproceedings{simonyan2015very,
title={Very Deep Networks}, author={Karen Simonyan and Andrew Zisserman},
booktitle={ICLR}, year={2015}}
"""
TITLE_PAGE = """title = "A small report"
authors = ["One", "Another"]
how_to_read = "Cells & 5% of notes."
"""
SETUP = """from labreport.chapter import Chapter
chapter = Chapter("{name}", profile, seed)"""
PARAMETERS = 'profile = "quick"\nseed = 0'
# The files that take longest, first: a file runs whole in one process, and a long one
# that comes last runs alone.
LONG = [
    "test_report.py",
    "test_runs.py",
    "test_training.py",
    "test_failures.py",
    "test_own_reports.py",
    "test_sweeps.py",
    "test_chapters.py",
]
# What the chapters need under the smoke profile.
NEEDED = ["vgg16_features", "squeezenet1_1", "imagenet20", "mnist_5k"]
NEEDED += ["efficientnet_lite0", "efficientnet_lite2"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return LONG.index(item.path.name) if item.path.name in LONG else len(LONG)

    items.sort(key=place)


@contextmanager
def programs(*names: str) -> Iterator[None]:
    """Open the machine's PATH, or skip the test if one of these is not installed."""
    for name in names:
        if not shutil.which(name, path=MACHINE):
            remedy = REMEDIES.get(name, f"apt install {name}")
            pytest.skip(f"{name} is not installed: {remedy}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", MACHINE)
        yield


@pytest.fixture(autouse=True)
def _programs(request: pytest.FixtureRequest) -> Iterator[None]:
    mark = request.node.get_closest_marker("programs")
    if mark is None:
        yield
        return
    with programs(*mark.args):
        yield


class Project:
    """A folder with notebooks/ and report/, and a way to write notebooks."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.build = home / "report" / "build"
        self.report = Report(home)
        (home / "report").mkdir()
        (home / "report" / "references.bib").write_text(BIBLIOGRAPHY)
        (home / "report" / "report.toml").write_text(TITLE_PAGE)
        (home / "notebooks").mkdir()

    def write(
        self, name: str, *cells: nbformat.NotebookNode, tags: Sequence[str] = ()
    ) -> Path:
        """A notebook of that name: title, parameters, setup, and these cells.

        tags: of the title.
        """
        first = [
            text("# A chapter", *tags),
            code(PARAMETERS, "parameters"),
            code(SETUP.format(name=name), "remove-cell"),
        ]
        notebook = new_notebook(cells=[*first, *cells])
        for number, cell in enumerate(notebook.cells):
            cell.id = f"cell-{number}"
        path = self.home / "notebooks" / f"{name}.ipynb"
        nbformat.write(notebook, path)
        return path


def code(source: str, *tags: str) -> nbformat.NotebookNode:
    return new_code_cell(source, metadata={"tags": list(tags)})


def text(source: str, *tags: str, **question: object) -> nbformat.NotebookNode:
    """A Markdown cell; keywords such as points become a question's metadata."""
    metadata: dict[str, object] = {"tags": list(tags)}
    if question:
        metadata["question"] = question
    return new_markdown_cell(source, metadata=metadata)


def has_outputs(notebook: nbformat.NotebookNode) -> bool:
    """Whether a cell has an output, or a number that says when it ran."""
    return any(
        cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    monkeypatch.delenv("DLAPPS_DATA", raising=False)
    return Project(tmp_path)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright: pip install playwright"
    )
    with programs("chromium"), playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


def skip_unless_fetched() -> None:
    missing = [name for name in NEEDED if not assets.is_present(name)]
    if missing:
        pytest.skip(f"not fetched: dlapps data fetch {' '.join(missing)}")


def violations(page) -> list[str]:
    """What axe-core finds on a page with all details open: WCAG 2.1 AA and others."""
    reason = "no axe-core: pip install axe-playwright-python"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    page.evaluate(
        "document.querySelectorAll('details').forEach(d => { d.open = true; })"
    )
    violations = []
    for rule in axe.Axe().run(page).response["violations"]:
        for node in rule["nodes"]:
            violations.append(f"{rule['help']}: {node['html']}")
    return violations


def draw_bars(
    lefts: np.ndarray, rows: slice, width: int, size: tuple[int, int]
) -> np.ndarray:
    """White bars on black, uint8 (..., H, W), one at each of these columns."""
    pictures = np.zeros((*lefts.shape, *size), np.uint8)
    for place, left in np.ndenumerate(lefts):
        pictures[place][rows, left : left + width] = 255
    return pictures
