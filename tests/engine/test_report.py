"""A report of two chapters and an appendix, built once: what its PDF, web pages and
reading copies say, and what JupyterLab exports of a chapter.
"""

import base64
import io
import json
import re
import shutil

import nbformat
import numpy as np
import pytest
from conftest import MACHINE, Project, code, programs, text, violations
from nbconvert.exporters import HTMLExporter
from PIL import Image
from pypdf import PdfReader

from labreport.cli import main
from labreport.saved import Fill, clean_html

pytestmark = pytest.mark.report
TYPED = "Typed: .7z, -1, {x:.1f}, `{{code}}`, List<int>, 5%, a_b_c & more."
ABOVE = """## One {#sec-one}

So {{share:.1%}} of {{number}}, and {{late}}. <!-- holds: number == 4 -->
"""
BELOW = """Not so: it is {{late}}. <!-- holds: late == "early" --> @fig-noise and
@tab-all [@simonyan2015very] follow. A note.[^n] @eq-sum is in @sec-2-two.

[^n]: The first.

$$ 1 + 1 = 2 \\label{eq-sum} $$

![a dot](attachment:dot.png)
"""
FIGURE = """import os
import numpy as np
from matplotlib.figure import Figure
os.chdir("/")
figure = Figure(figsize=(4, 3))
axes = figure.subplots()
axes.imshow(np.random.default_rng(0).random((300, 400)))
chapter.show_figure(axes, "noise", "Noise of {{number}} & more, as in @tab-all.")
rows = [{"what": "a*b", "how many": 1500, "see": "@fig-noise"}, {"what": "c|d"}]
chapter.show_table(rows, "all", f"All {number} of @simonyan2015very.")
chapter.headline("share", share, "The share", published=0.5, work="simonyan2015very")"""
FRAME = """class Frame:  # as pandas has it
    index = range(2)
    columns = ["a", "b"]
    def to_dict(self, orient):
        return [{"a": 1, "b": 0.5}, {"a": 2, "b": 0.25}]
    def reset_index(self):
        return self
chapter.show_table(Frame(), "frame", "A frame.")"""
PRINTED = """import warnings
from IPython.display import HTML, Latex, Markdown, SVG, display
print("\\x1b[31mred\\x1b[0m", "<b>")
warnings.warn("mind the gap")
display(HTML("<table><tr><th>h</th></tr><tr><td>cell</td></tr></table><script>1</script>"))
display(Markdown("**marked** words"), Latex("$x^2$"))
display(SVG('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'))"""


def dot():
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The project, built in all editions; without TeX there is no PDF."""
    project = Project(tmp_path_factory.mktemp("report"))
    below = text(BELOW)
    below.attachments = {"dot.png": {"image/png": dot()}}
    project.write(
        "1_first",
        text(TYPED),
        text(ABOVE),
        code("share = 0.25\nnumber = 4"),
        code("if number > 9:\n    chapter.show_figure(figure, 'unseen', 'Unseen.')"),
        code(FIGURE, "remove-input"),
        code("late = 'late'"),
        below,
        code(PRINTED),
        code("1 / 0", "raises-exception"),
        code(FRAME, "remove-cell"),
        text("**Question 3a ★ Bonus**\n\nWhy?", "question"),
        text("Because.[^n]\n\n[^n]: The second.", "answer"),
    )
    project.write(
        "2_second", text("## Two {#sec-two}\n\nSee @fig-1-noise, @sec-A-more.")
    )
    project.write("more", text("## More {#sec-more}"), tags=["appendix"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABREPORT_HOME", str(project.home))
        patch.delenv("DLAPPS_DATA", raising=False)
        if shutil.which("latexmk", path=MACHINE):
            with programs("latexmk"):
                assert main(["report"]) == 0
        else:
            assert main(["report"]) == 2
        yield project


def words_of(page):
    text = re.sub(r"(?s)<style.*?</style>|<script.*?</script>|<[^>]+>", " ", page)
    return " ".join(text.replace("\u00a0", " ").split())


@pytest.fixture(scope="module")
def editions(built):
    """The words of the first chapter in each edition."""
    page = (built.build / "html" / "1_first.html").read_text()
    copy = nbformat.read(built.build / "notebooks" / "1_first.ipynb", as_version=4)
    written = {"html": words_of(page)}
    sources = [cell.source for cell in copy.cells]
    written["notebooks"] = " ".join(" ".join(sources).replace("\u00a0", " ").split())
    if (built.build / "report.pdf").exists():
        pages = PdfReader(built.build / "report.pdf").pages
        shown = " ".join(page.extract_text() for page in pages)
        written["pdf"] = " ".join(shown.replace("\u00a0", " ").split())
    return written


def test_numbers_stand_above_and_below_their_cells_and_references_have_words(editions):
    for edition, words in editions.items():
        assert "So 25.0% of 4, and late." in words, edition
        assert "Not so: it is late." in words
        # The figure that no run shows keeps its number.
        assert re.search(r"Figure 1\.2\S* and", words), edition
        assert "Noise of 4 &" in words or "Noise of 4 \\& more" in words
        assert "(1.1)" in words or "tag{1.1}" in words
        for raw in ("{{share", "@fig-", "[@", "holds:"):
            assert raw not in words, (edition, raw)


def test_a_sentence_that_the_run_contradicts_is_marked(built, editions, capsys):
    for edition, words in editions.items():
        assert words.count("[In this run this does not hold.]") == 1, edition
    results = json.loads((built.build / "results.json").read_text())
    (line,) = results["refuted"]
    assert '“Not so: it is late.” (claim: late == "early")' in line
    assert main(["html"]) == 0
    assert main(["html", "--strict"]) == 2
    assert "sentences that hold in this run, got 1" in capsys.readouterr().err


def test_what_was_typed_is_not_rewritten(editions):
    for edition, words in editions.items():
        for typed in (".7z, -1, {x:.1f}", "List<int>", "5%,", "a_b_c"):
            plain = words.replace("&lt;", "<").replace("&gt;", ">")
            assert typed in plain.replace("\\", ""), edition


def test_tables_have_their_cells_as_they_are(editions):
    for edition, words in editions.items():
        plain = words.replace("\\", "")
        for cell in ("a*b", "1,500", "c|d"):
            assert cell in plain, (edition, cell)
        assert "A frame" not in plain  # its cell is hidden


def test_outputs_are_shown_by_their_kind(built, editions):
    page = (built.build / "html" / "1_first.html").read_text()
    for shown in (
        "red <b>",
        "mind the gap",
        "cell",
        "marked words",
        "division by zero",
    ):
        assert shown in words_of(page).replace("&lt;", "<").replace("&gt;", ">")
        if "pdf" in editions:
            assert shown in editions["pdf"], shown
    assert "\x1b" not in page


def test_a_question_stands_in_a_frame_and_notes_are_each_cell_s_own(editions):
    for edition, words in editions.items():
        assert re.search(r"(?i)question ?3a", words), edition
        assert "The first." in words
        assert "The second." in words


def test_results_are_kept_by_name(built):
    results = json.loads((built.build / "results.json").read_text())
    assert list(results["chapters"]) == ["1_first", "2_second", "more"]
    numbers = results["chapters"]["1_first"]["numbers"]
    assert {"share:.1%": "25.0%", "number": "4"}.items() <= {
        number["expression"]: number["text"] for number in numbers
    }.items()
    headline = results["headlines"]["share"]
    assert (headline["text"], headline["section"]) == ("25.0%", "sec-1-one")
    index = words_of((built.build / "html" / "index.html").read_text())
    assert "The share 25.0% 50.0% (Simonyan and Zisserman 2015)" in index


def test_links_lead_to_what_they_name(built):
    for path in (built.build / "html").glob("*.html"):
        for target in re.findall(r'href="([^":]*#[^"]+)"', path.read_text()):
            file, _, label = target.partition("#")
            page = (path.parent / file if file else path).read_text()
            assert f'id="{label}"' in page, (path.name, target)


def test_a_reading_copy_is_plain_and_small(built):
    copy = nbformat.read(built.build / "notebooks" / "1_first.ipynb", as_version=4)
    nbformat.validate(copy)
    kinds = set()
    for cell in copy.cells:
        for output in cell.get("outputs", ()):
            kinds.update(output.get("data", {}))
    assert "application/vnd.labreport+json" not in kinds
    assert "image/jpeg" in kinds  # a photograph
    code_of = "\n".join(cell.source for cell in copy.cells if cell.cell_type == "code")
    assert "imshow" not in code_of  # a repository's page unfolds hidden code
    assert 'profile = "quick"\nseed = 0' in code_of


def test_pages_break_no_rule_of_wcag(built, browser):
    for path in sorted((built.build / "html").iterdir()):
        page = browser.new_page(viewport={"width": 380, "height": 800})
        page.goto(path.as_uri())
        assert violations(page) == [], path.name
        page.close()


@pytest.mark.parametrize("sanitize", [True, False])
def test_an_exported_page_can_be_handed_in(built, sanitize):
    path = built.build / "quick" / "1_first.ipynb"
    notebook = nbformat.read(path, as_version=4)
    exporter = HTMLExporter(
        preprocessors=[Fill], filters={"clean_html": clean_html}, sanitize_html=sanitize
    )
    place = {"metadata": {"name": "1_first", "path": str(built.home / "notebooks")}}
    page, _ = exporter.from_notebook_node(notebook, place)
    body = page[page.index("<body") :]
    words = words_of(re.sub(r"(?s)<pre>.*?</pre>", "", body))
    for raw in (
        "&lt;p&gt;",
        "&lt;h1",
        "@fig-",
        "[@simonyan",
        "{{share",
        "{#sec",
        ".jp-",
    ):
        assert raw not in words, raw
    for shown in (
        "So 25.0% of 4, and late.",
        "Figure 1.2",
        "Very Deep Networks",
        "1.1 One",
    ):
        assert shown in words, shown
    assert "In this run this does not hold: “Not so: it is late.”" in words


def test_a_second_build_runs_and_writes_nothing(built, capsys):
    before = (built.build / "html" / "index.html").stat().st_mtime_ns
    assert main(["html"]) == 0
    assert "html: up to date" in capsys.readouterr().out
    assert (built.build / "html" / "index.html").stat().st_mtime_ns == before
