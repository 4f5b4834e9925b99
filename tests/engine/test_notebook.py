"""What a notebook tells the report, without a kernel: a list stands for `display`."""

from __future__ import annotations

import base64
import io
import re

import nbformat
import numpy as np
import pytest
import torch
from conftest import QUICK
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from labreport import LabreportError, paths
from labreport.intervals import Interval
from labreport.notebook import chapter as notebook
from labreport.notebook.chapter import Chapter
from labreport.notebook.messages import MIME
from labreport.results import Table


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """The bundles that were displayed, each with its metadata."""
    bundles = []
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))

    def display(bundle, raw, metadata):
        bundles.append((bundle, metadata))

    monkeypatch.setattr(notebook, "display", display)
    return bundles


@pytest.fixture
def chapter(shown):
    chapter = Chapter("3_domain_adaptation", profile="quick")
    shown.clear()
    return chapter


def read_picture(written):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(written))))


def make_figure():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 3, 2])
    return figure


def test_a_chapter_knows_its_number_and_says_what_it_ran_on(shown, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    chapter = Chapter("3_domain_adaptation", profile="full")
    assert (chapter.number, chapter.profile.name, chapter.seeds) == (
        "3",
        "full",
        (0, 1, 2),
    )
    description = shown[0][0][MIME]
    assert description["date"] == "1970-01-02"
    machine = {"python", "packages", "platform", "cpu", "cores", "threads"}
    assert description.keys() >= machine | {"commit", "seeds"}


def test_a_chapter_refuses_an_odd_profile(shown):
    with pytest.raises(LabreportError, match=r"^expected .*, got .*; .*\.$"):
        Chapter("1_transfer", "fast")


def test_figures_and_tables_have_their_caption_and_number_beneath(chapter, shown):
    file = paths.notebooks() / "3_domain_adaptation.ipynb"
    file.parent.mkdir()
    calls = (
        "show_table(rows, 'one'",
        "show_figure(f, 'first'",
        "show_figure(f, 'curves'",
    )
    cells = [new_code_cell(f"chapter.{call}, 'c')") for call in calls]
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# Domain adaptation"), *cells]), file
    )
    chapter.show_figure(make_figure(), "curves", "The loss falls, @fig-first.")
    chapter.show_table([{"a": 1}], "one", "One.")
    chapter.show_table([{"a": 1}], "unsaved", "Two.")
    captions = [
        bundle["text/markdown"]
        for bundle, _ in shown
        if bundle[MIME]["kind"] == "caption"
    ]
    figure, *tables = captions
    assert figure == r"**Figure 3.2:** The loss falls, Figure 3.1\."
    assert tables == [r"**Table 3.1:** One\.", r"**Table:** Two\."]


def test_a_figure_is_saved_shown_described_and_closed(chapter, shown):
    figure = plt.figure(figsize=(2, 1))
    chapter.show_figure(figure, "curves", "The loss falls.")
    bundle, metadata = shown[0]
    saved = (QUICK.figures / "3-curves.pdf").read_bytes()
    assert base64.b64decode(bundle[MIME]["pdf"]) == saved
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert metadata == {"image/png": {"alt": "The loss falls."}}
    assert not plt.fignum_exists(figure.number)
    assert [path.name for path in QUICK.figures.iterdir()] == ["3-curves.pdf"]


@pytest.mark.usefixtures("shown")
def test_a_figure_of_another_seed_lies_in_a_folder_of_its_own():
    chapter = Chapter("3_domain_adaptation", "quick", seed=4)
    chapter.show_figure(make_figure(), "curves", "The loss falls.")
    assert not QUICK.figures.exists()
    build = paths.report() / "build" / "seed-4"
    assert (build / "figures" / "3-curves.pdf").exists()


def test_the_same_figure_is_the_same_file(chapter):
    files = []
    for _ in range(2):
        chapter.show_figure(make_figure(), "curves", "The loss falls.")
        files.append((QUICK.figures / "3-curves.pdf").read_bytes())
    assert files[0] == files[1]
    assert b"CreationDate" not in files[0]


@pytest.mark.parametrize(
    ("name", "caption"),
    [("a", " "), ("a", "A.\n\n- list"), ("", "A."), ("fig:a", "A.")],
)
def test_a_figure_without_name_or_caption_is_refused(chapter, name, caption):
    with pytest.raises(ValueError, match=r"expected a (name|caption)"):
        chapter.show_figure(make_figure(), name, caption)
    assert not QUICK.figures.exists()


def test_an_animation_keeps_every_frame_and_its_key_frames(chapter, shown):
    frames = np.full(
        (3, 8, 8, 3), np.array([0, 100, 200])[:, None, None, None], np.uint8
    )
    chapter.show_animation(frames, make_figure(), "wombat", "It appears.")
    bundle = shown[0][0]
    message = bundle[MIME]
    # JupyterLab shows the HTML: the moving frames, and the stills below them.
    page = bundle["text/html"]
    assert page.index("labreport-motion") < page.index(bundle["image/png"])
    strip = read_picture(re.search(r"(?s)labreport-motion.*?base64,([^\"]+)", page)[1])
    assert np.abs(strip.reshape(frames.shape).astype(int) - frames).max() <= 2
    assert (
        base64.b64decode(message["pdf"])
        == (QUICK.figures / "3-wombat.pdf").read_bytes()
    )
    with pytest.raises(
        ValueError, match=r"frames uint8 .* with F >= 2, got uint8 \(1, 8, 8, 3\)"
    ):
        chapter.show_animation(frames[:1], make_figure(), "still", "It does not move.")


def test_an_explorer_has_a_picture_and_a_reading_for_each_place_of_its_sliders(
    chapter, shown
):
    def render(row, column):
        grey = np.uint8(40 * (3 * row + "xyz".index(column)))
        return np.full((8, 16), grey), f"<{grey}>"

    axes = {"row": [0, 1], "column": "xyz"}
    chapter.show_explorer(render, axes, (0, 2), "six", "Six.")
    bundle = shown[0][0]
    assert (
        base64.b64decode(bundle[MIME]["pdf"])
        == (QUICK.figures / "3-six.pdf").read_bytes()
    )
    strip = re.search('base64,([^"]+)', bundle["text/html"]).group(1)
    pictures = read_picture(strip).reshape(6, 8, 16, 3)
    assert (
        np.abs(pictures.astype(int) - 40 * np.arange(6)[:, None, None, None]).max() <= 2
    )
    assert "object-position: 0 40.0000%" in bundle["text/html"]
    assert '<p role="status">&lt;80&gt;</p>' in bundle["text/html"]
    for start in ((0, 3), (0,)):
        with pytest.raises(
            ValueError, match=r"expected a start on axes of lengths \(2, 3\), got"
        ):
            chapter.show_explorer(render, axes, start, "outside", "None.")
    with pytest.raises(
        ValueError, match=r"pictures of one size, got \[\(1, 8\), \(2, 8\)\]"
    ):
        chapter.show_explorer(
            lambda n: (pictures[0, :n, :8], ""), {"n": [1, 2]}, (0,), "a", "A."
        )
    assert not (QUICK.figures / "3-outside.pdf").exists()


def test_a_picture_of_an_explorer_that_is_not_uint8_is_one_sentence(chapter):
    def render(brightness):
        return np.full((4, 4), brightness), "of this brightness"

    with pytest.raises(LabreportError, match=r"pictures uint8, got float64; scale"):
        chapter.show_explorer(render, {"brightness": [0.1, 0.9]}, (0,), "one", "One.")


def test_a_table_writes_numbers_as_prose_does_and_aligns_them(chapter, shown):
    first = ["VGG16", 138_357_544, np.float64(0.61803), "91.0 %"]
    second = ["`lite0`", 4_652_008, 0.5, "88.1 ± 0.3 %"]
    columns = "Network", "Weights", "Score", "Share"
    rows = [dict(zip(columns, row, strict=True)) for row in (first, second)]
    chapter.show_table(rows, "networks", "Two of them.")
    message = shown[0][0][MIME]
    assert message["rows"][0] == ["VGG16", "138,357,544", "0.618", "91.0 %"]
    assert message["align"] == ["l", "r", "r", "r"]
    assert "| :--- | ---: | ---: | ---: |" in shown[0][0]["text/markdown"]


def test_a_table_of_a_study_and_rows_by_hand_show_the_same(chapter, shown):
    one = Table(["", "a", "b"], [["x", "0.50 ± 0.10", "1"], ["y", "0.25", "–"]], "", {})
    by_hand = [{"": "x", "a": "0.50 ± 0.10", "b": 1}, {"": "y", "a": 0.25}]
    for name, table in (("study", one), ("hand", by_hand)):
        chapter.show_table(table, name, "Two.")
    first, second = (
        bundle[MIME] for bundle, _ in shown if bundle[MIME]["kind"] == "table"
    )
    assert (first.pop("name"), second.pop("name")) == ("study", "hand")
    assert first == second


@pytest.mark.parametrize(
    ("value", "form", "text", "number"),
    [
        (0.9123, ".1%", "91.2%", 0.9123),
        (torch.tensor(9), ".0f", "9", 9),
        (Interval(0.5, 0.4, 0.6), ".2f", "0.50 (0.40 to 0.60)", 0.5),
    ],
)
def test_a_headline_says_a_number_as_its_format_has_it(
    chapter, shown, value, form, text, number
):
    work = "ganin2016domain"
    chapter.headline("best", value, "Best", form, published=0.7, work=work)
    ((bundle, _),) = shown
    assert bundle["text/plain"] == f"★ Best: {text}"
    message = bundle[MIME]
    assert message["value"] == number
    assert message["practical"] is None
    assert (message["published"], message["work"]) == (0.7, work)


@pytest.mark.parametrize(
    ("value", "beside"),
    [
        (0.5, {"published": 0.7}),
        (float("nan"), {}),
        (np.ones(2), {}),
        (0.5, {"practical": "most"}),
        (0.5, {"published": float("inf"), "work": "ganin2016domain"}),
    ],
)
def test_a_headline_needs_numbers_and_what_is_published_a_work(
    chapter, shown, value, beside
):
    with pytest.raises(ValueError, match=r"^expected .*, got .*; .*\.$"):
        chapter.headline("best", value, "best", **beside)
    assert shown == []
