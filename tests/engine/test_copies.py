"""Reading copies: what a repository's page shows of a chapter, without any program of
ours.
"""
# ruff: noqa: F401, F811 - fixtures are imported

import base64
import io
import re

import nbformat
import numpy as np
import pytest
from conftest import SMOKE, code, text
from nbformat.v4 import new_output
from PIL import Image
from test_html import collect_here, collected, contents

from labreport import paths
from labreport.editions import copies
from labreport.editions.contents import collect
from labreport.editions.pictures import compress
from labreport.editions.sources import find_sources

PLACEHOLDER = re.compile(r"\{\{|(?<![\w.])@(?:fig|tab|sec|eq)-|\[@|\{#")


@pytest.fixture
def made(contents):
    return copies.make_copies(contents)


def prose(notebook):
    return "\n\n".join(
        cell.source for cell in notebook.cells if cell.cell_type == "markdown"
    )


def test_copies_are_valid_and_resolved(made):
    assert list(made) == ["1_transfer.ipynb", "2_saliency.ipynb"]
    for notebook in made.values():
        nbformat.validate(notebook)
        assert not PLACEHOLDER.search(prose(notebook))
        assert all(not mime.startswith("application/") for mime in mimes(notebook))


def test_each_link_within_a_copy_leads_somewhere(made):
    for notebook in made.values():
        text = prose(notebook)
        targets = re.findall(r"\]\(#([^)]+)\)", text)
        assert targets
        for target in targets:
            assert text.count(f'id="{target}"') == 1, target


def mimes(notebook):
    mimes = set()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            mimes.update(output.get("data", {}))
    return mimes


def test_copies_say_what_the_report_says(made):
    first, second = map(prose, made.values())
    for expected in (
        "25.0% of 4,000 in a_b & \\<50%\\>, see [Figure 1.1](#fig-1-line), "
        "[Table 1.1](#tab-1-scores), [Section 1.1](#sec-1-results) "
        "and [Equation (1.2)](#eq-1-last).",
        '## <a id="sec-1-results"></a>1.1 Results',
        '### <a id="sec-1-again"></a>1.1.2 Deeper again',
        "</a>**Figure 1.1.** 50% of A & B_c, “4,000” points, $x < 1$; "
        "as [Figure 2.1](2_saliency.ipynb).",
        "| \\- a_b & c | 12 |",
        "$$f(x) = \\frac{1}{2}\\tag{1.1}$$",
        "> **Question 1 ★ Bonus**\n>\n> Why 100%?",
        "Because of ([Simonyan and Zisserman 2015](#ref-simonyan2015very)).",
        "## Bibliography",
    ):
        assert expected in first.replace("\u00a0", " "), expected
    assert "[Figure 1.1](1_transfer.ipynb)" in second.replace("\u00a0", " ")


def test_of_what_is_hidden_a_copy_has_what_it_shows(made):
    sources = []
    printed = ""
    for cell in made["1_transfer.ipynb"].cells:
        if cell.cell_type == "code":
            sources.append(cell.source)
            printed += "".join(output.get("text", "") for output in cell.outputs)
    assert sources[:2] == ['profile = "smoke"\nseed = 0', "# Figure 1.1"]
    assert len(sources) == 4
    assert not re.search("chapter|recorded|✓|★", "".join(sources[2:]))
    assert printed.startswith("printed → kept")
    whole = nbformat.writes(made["1_transfer.ipynb"])
    assert whole.count("50% of A & B_c") == 1
    assert "[code](../../../notebooks/1_transfer.ipynb#cell-id=cell-7)" in whole


def test_a_copy_in_the_build_s_folder_leads_to_its_notebook(made):
    targets = re.findall(
        r"\]\(([^()]*/[^()#]*\.ipynb)", nbformat.writes(made["1_transfer.ipynb"])
    )
    assert len(targets) > 1
    for target in targets:
        path = SMOKE.build / "notebooks" / target
        assert path.resolve() == paths.notebooks() / "1_transfer.ipynb"


def test_pictures_are_png_with_words_in_their_place(made):
    pictures = []
    for notebook in made.values():
        for cell in notebook.cells:
            pictures += [o for o in cell.get("outputs", []) if "data" in o]
    assert len(pictures) == 3
    for output in pictures:
        assert set(output.data) == {"image/png", "text/plain"}
        assert output.metadata["image/png"]["alt"] == output.data["text/plain"]
        png = base64.b64decode(output.data["image/png"])
        assert Image.open(io.BytesIO(png)).format == "PNG"


def test_photos_are_jpegs_and_smaller():
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(6):
        noise = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
        pictures.append(Image.fromarray(noise))
    pictures.append(Image.new("RGB", (900, 300), "white"))
    cell = code("")
    for picture in pictures:
        file = io.BytesIO()
        picture.save(file, "PNG")
        data = {"image/png": base64.b64encode(file.getvalue()).decode()}
        cell.outputs.append(new_output("display_data", data=data))
    pngs = [base64.b64decode(output.data["image/png"]) for output in cell.outputs]
    copies.compress_photographs([cell])
    bundles = [output.data for output in cell.outputs]
    assert set(bundles.pop()) == {"image/png"}
    assert all(set(bundle) == {"image/jpeg"} for bundle in bundles)
    jpegs = [base64.b64decode(bundle["image/jpeg"]) for bundle in bundles]
    for jpeg, png in zip(jpegs, pngs, strict=False):
        assert len(jpeg) < len(png) / 2
    assert all(Image.open(io.BytesIO(jpeg)).size == (320, 240) for jpeg in jpegs)


def test_what_is_transparent_becomes_white():
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(file, "PNG")
    jpeg = compress(file.getvalue(), "JPEG")
    assert Image.open(io.BytesIO(jpeg)).getextrema() == ((255, 255),) * 3


def test_equations_of_several_lines_stay_equations(project, monkeypatch):
    lines = "\\begin{align*}\na &= b \\\\\nc &= d\n\\end{align*}"
    project.write("1_transfer", text(lines), code("x = 1"))
    contents = collect_here(monkeypatch)
    (copy,) = copies.make_copies(contents).values()
    assert "$$\\begin{aligned}\na &= b \\\\\nc &= d\n\\end{aligned}$$" in prose(copy)
