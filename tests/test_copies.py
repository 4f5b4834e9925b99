"""Reading copies: what a repository's page shows of a chapter, without any program of ours."""

import base64
import io
import re

import nbformat
import numpy as np
import pytest
from conftest import code, text
from PIL import Image
from test_html import FIRST, SECOND, execute_here

from dlapps.report import copies
from dlapps.report.contents import collect
from dlapps.report.sources import find_sources

PLACEHOLDER = re.compile(r"\{\{|(?<![\w.])@(?:fig|tab|sec|eq)-|\[@|\{#")


def make(project, monkeypatch, **chapters):
    for name, cells in chapters.items():
        project.write(name, *cells)
    contents = collect((source, execute_here(source.read(), monkeypatch)) for source in find_sources())
    return copies.make_copies(contents)


@pytest.fixture
def made(project, monkeypatch):
    return make(project, monkeypatch, **{"1_transfer": FIRST, "2_saliency": SECOND})


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_copies_are_valid_and_resolved(made):
    assert list(made) == ["1_transfer.ipynb", "2_saliency.ipynb"]
    for notebook in made.values():
        nbformat.validate(notebook)
        assert not PLACEHOLDER.search(prose(notebook))
        assert all(not mime.startswith("application/") for mime in mimes(notebook))


def mimes(notebook):
    return {mime for cell in notebook.cells for output in cell.get("outputs", []) for mime in output.get("data", {})}


def test_copies_say_what_the_report_says(made):
    first, second = map(prose, made.values())
    for expected in (
        "25.0% of 4,000 in a_b & \\<50%\\>, see [Figure 1.1](#fig-1-line), [Table 1.1](#tab-1-scores), "
        "[Section 1.1](#sec-1-results) and [Equation (1.2)](#eq-1-last).",
        "## 1.1 Results",
        "### 1.1.2 Deeper again",
        "**Figure 1.1.** 50% of A & B_c, “4,000” points, $x < 1$; as [Figure 2.1](2_saliency.ipynb).",
        "| \\- a_b & c | 12 |",
        "$$f(x) = \\frac{1}{2}\\tag{1.1}$$",
        "> **Question 1 ★ (bonus)**\n>\n> Why 100%?",
        "Because of ([Simonyan and Zisserman 2015](#ref-simonyan2015very)).",
        "## Bibliography",
    ):
        assert expected in first.replace("\u00a0", " "), expected
    assert "[Figure 1.1](1_transfer.ipynb)" in second.replace("\u00a0", " ")


def test_what_was_hidden_is_folded_and_values_stand_in_the_prose_alone(made):
    cells = [cell for cell in made["1_transfer.ipynb"].cells if cell.cell_type == "code"]
    hidden = next(cell for cell in cells if "share, total" in cell.source)
    assert hidden.metadata.jupyter.source_hidden
    assert hidden.outputs == []
    assert any("printed → kept" in output.get("text", "") for cell in cells for output in cell.outputs)


def test_pictures_are_png_with_words_in_their_place(made):
    bundles = [
        (o.data, o.metadata) for nb in made.values() for c in nb.cells for o in c.get("outputs", []) if "data" in o
    ]
    assert len(bundles) == 3
    for data, metadata in bundles:
        assert set(data) == {"image/png", "text/plain"}
        assert metadata["image/png"]["alt"] == data["text/plain"]
        assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).format == "PNG"


def test_photos_become_smaller_until_a_copy_is_small_enough(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(copies, "BYTES", 100_000)
    monkeypatch.setattr(copies, "PHOTOGRAPHIC", 10_000)
    noise = [Image.fromarray(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)) for _ in range(6)]
    plot = Image.new("RGB", (900, 300), "white")
    bundles = []
    for picture in [*noise, plot]:
        file = io.BytesIO()
        picture.save(file, "PNG")
        bundles.append({"image/png": base64.b64encode(file.getvalue()).decode()})
    copies._fit(bundles)
    sizes = [Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).size for bundle in bundles]
    assert sum(len(bundle["image/png"]) for bundle in bundles) <= copies.BYTES
    assert sizes[-1] == plot.size
    assert sizes[0][0] < 160


def test_equations_of_several_lines_stay_equations(project, monkeypatch):
    lines = "\\begin{align*}\na &= b \\\\\nc &= d\n\\end{align*}"
    (copy,) = make(project, monkeypatch, **{"1_transfer": (text(lines), code("x = 1"))}).values()
    assert "$$\\begin{aligned}\na &= b \\\\\nc &= d\n\\end{aligned}$$" in prose(copy)
