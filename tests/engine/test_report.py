"""A report of two chapters and an appendix, built once: what its PDF, web pages and
reading copies say, and what JupyterLab exports of a chapter.
"""

import base64
import html
import io
import json
import re
import shutil
from types import SimpleNamespace

import nbformat
import pytest
from conftest import MACHINE, Project, code, programs, text, violations
from nbconvert.exporters import HTMLExporter
from PIL import Image
from pypdf import PdfReader
from traitlets.config import Config

from labreport import saved
from labreport.cli import main
from labreport.document import read_documents

pytestmark = pytest.mark.report
MIME = "application/vnd.labreport+json"
# A picture of four by four pixels.
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAADElEQVR4nGNgIB0AAAA0AAF2"
DOT += "Xq7DAAAAAElFTkSuQmCC"
TYPED = r"""Typed: .7z, -1, {x:.1f}, List<int>, 5%, a_b_c, C#, me@home.org, 3 * 4,
1.5 | 2. Code: `{{code}}`, `@fig-code`, `[@code]`, `<!-- holds: code -->`."""
PLAIN = [".7z, -1, {x:.1f}, List<int>, 5%, a_b_c, C#, me@home.org, 3 * 4, 1.5 | 2."]
PLAIN += ["{{code}}", "@fig-code", "[@code]", "<!-- holds: code -->"]
RAW = ["{{share", "{{number", "{{late", "@fig-noise", "@fig-1", "@tab-all", "@sec-"]
RAW += ["[@simonyan", "{#sec", "holds: number", "holds: late", "labreport-", "label{eq"]
ABOVE = """## One {#sec-one}

So {{share:.1%}} of {{number}}, and {{late}}. <!-- holds: number == 4 -->

- This stands above a list.

<!-- holds: number < 4 -->
"""
BELOW = """Not so: it is {{late}}. <!-- holds: late == "early" --> @fig-noise and
@tab-all [@simonyan2015very] follow. A note.[^n] @eq-sum is in @sec-2-two.

[^n]: The first.

$$ 1 + 1 = 2 \\label{eq-sum} $$

![a dot](attachment:dot.png)
"""
FIGURE = """import os
import numpy as np
from labreport import results
from matplotlib.figure import Figure
os.chdir("/")
results.save("moved", {"where": "/"}, [0])
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
chapter.show_table(Frame(), "frame", "A frame.")
import numpy as np
from matplotlib.figure import Figure
import io
from PIL import Image
grey = np.random.default_rng(0).integers(0, 255, (2, 300, 400), np.uint8)
first, second = map(Image.fromarray, grey)
file = io.BytesIO()
first.save(file, "PNG", save_all=True, append_images=[second])
chapter.show_figure(
    Figure(), "made", f"Made of {1 + 1} parts, as in @fig-1-noise.", file.getvalue()
)"""
PRINTED = """import warnings
from IPython.display import HTML, Image, Latex, Markdown, SVG, display
print("\\x1b[31mred\\x1b[0m", "<b>")
warnings.warn("mind the gap")
style = "\\n<style scoped>\\ntd {top: 0;}\\n</style>"
table = f"{style}<table><tr><td>one cell</td></tr></table>"
display(HTML(f"<div>{table}</div><script>alert(1)</script>"))  # as pandas has it
display(Markdown("**marked** words"), Latex("$x^2$"))
display(SVG('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'))
display(Image(data=open("dot.png", "rb").read(), format="png"))"""
# Of numbers above and below their cells, captions, tables, and notes of two cells.
SHOWN = ["So 25.0% of 4, and late.", "Not so: it is late.", "Now 1.", "Then 2."]
SHOWN += ["Noise of 4 & more", "Made of 2 parts, as in", "a*b", "1,500", "c|d", "0.25"]
SHOWN += ["The first.", "The second."]
LONG = "\n".join(f"value_{line} = '{{{{v}}}} @fig-v {line}'" for line in range(90))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The project, built in all editions; without TeX there is no PDF."""
    project = Project(tmp_path_factory.mktemp("report"))
    below = text(BELOW)
    below.attachments = {"dot.png": {"image/png": DOT}}
    (project.home / "notebooks" / "dot.png").write_bytes(base64.b64decode(DOT))
    project.write(
        "1_first",
        text(TYPED),
        text(ABOVE),
        code(PRINTED, "remove-input"),
        code("share = 0.25\nnumber = 4"),
        code("if number > 9:\n    chapter.show_figure(figure, 'unseen', 'Unseen.')"),
        code(FIGURE, "remove-input"),
        code("late = 'late'"),
        below,
        code("1 / 0", "raises-exception"),
        code("'hidden words'", "remove-cell"),
        text("**Question 3a ★ Bonus**\n\nWhy?", "question", points=2),
        text("Because.[^n]\n\n[^n]: The second.", "answer"),
    )
    project.write(
        "2_second",
        text("## Two {#sec-two}\n\nSee @fig-1-noise, @sec-A-more, @fig-A-made."),
        code(LONG),
        text("So @simonyan2015very [p. 3] say."),
        code("x = 1"),
        text("Now {{x}}."),
        code("x = 2"),
        text("Then {{x}}. ![a file](dot.png)"),
    )
    appendix = [text("## More {#sec-more}"), code(FRAME, "remove-input")]
    project.write("more", *appendix, tags=["appendix"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABREPORT_HOME", str(project.home))
        patch.delenv("DLAPPS_DATA", raising=False)
        if shutil.which("latexmk", path=MACHINE):
            with programs("latexmk"):
                assert main(["report"]) == 0
        else:
            assert main(["report"]) == 2
        yield project


def one_line(shown):
    return " ".join(shown.replace("\u00a0", " ").split())


def words_of(page):
    """What a browser shows of a page."""
    shown = re.sub(r"(?s)<style.*?</style>|<script.*?</script>|<[^>]+>", " ", page)
    return one_line(html.unescape(shown))


def read_copy(project, name):
    path = project.build / "notebooks" / f"{name}.ipynb"
    return nbformat.read(path, as_version=4)


def markdown_of(notebook):
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return one_line(" ".join(cells))


@pytest.fixture(scope="module")
def editions(built):
    """The words of all chapters in each edition."""
    written = {"html": "", "notebooks": ""}
    for name in ("1_first", "2_second", "more"):
        page = (built.build / "html" / f"{name}.html").read_text()
        written["html"] += f"{words_of(page)} "
        # A sign that Markdown could read has a backslash.
        copy = markdown_of(read_copy(built, name))
        written["notebooks"] += re.sub(r"\\(?=[^\w\s])", "", f"{copy} ")
    if (built.build / "report.pdf").exists():
        pages = PdfReader(built.build / "report.pdf").pages
        written["pdf"] = one_line(" ".join(page.extract_text() for page in pages))
    return written


def test_numbers_tables_and_notes_are_in_all_editions(editions):
    for edition, words in editions.items():
        for shown in SHOWN:
            assert shown in words, (edition, shown)
        assert re.search(r"(?i)question ?3a", words), edition


def test_a_part_has_one_number_in_jupyter_and_in_all_editions(built, editions):
    sources = built.report.sources()
    labels = {}
    for document in read_documents(sources, built.report.bibliography)[0]:
        labels |= document.labels
        path = built.build / "quick" / f"{document.source.name}.ipynb"
        in_jupyter = path.read_text()
        for label, named in document.labels.items():
            is_shown = label.startswith(("fig", "tab")) and label != "fig-1-unseen"
            assert (f"**{named.words}:**" in in_jupyter) == is_shown, label
    assert labels["fig-1-unseen"].words == "Figure 1.1"
    assert "Figure 1.1" not in " ".join(editions.values())
    for label, number in {
        "fig-1-noise": "Figure 1.2",
        "tab-1-all": "Table 1.1",
        "fig-A-made": "Figure A.1",
        "tab-A-frame": "Table A.1",
        "sec-2-two": "Section 2.1",
        "eq-1-sum": "Equation (1.1)",
        "sec-A-more": "Section A.1",
    }.items():
        assert labels[label].words == number
        for edition, words in editions.items():
            if label != "tab-A-frame":  # nothing refers to it
                assert number in words, (edition, number)


def test_a_picture_of_a_file_is_shown(built):
    page = (built.build / "html" / "2_second.html").read_text()
    for source in re.findall(r'<img[^>]* src="([^"]*)', page):
        assert source.startswith("data:image/png;base64,"), source
    markdown = markdown_of(read_copy(built, "2_second"))
    (target,) = re.findall(r"!\[a file\]\(([^)]*)\)", markdown)
    assert target.startswith("attachment:")


def test_a_citation_has_its_page(editions):
    for edition, words in editions.items():
        cited = re.sub(r"\(#[^)]*\)|[\[\] ]", "", words)  # without links and spaces
        assert "SoSimonyanandZisserman(2015,3)say." in cited, edition


def test_nothing_is_left_raw(built, editions):
    for edition, words in editions.items():
        if edition == "html":  # but what shows code
            words = ""
            for path in sorted((built.build / "html").iterdir()):
                page = re.sub(r"(?s)<(pre|code)\b.*?</\1>", "", path.read_text())
                words += words_of(page)
        for raw in RAW:
            assert raw not in words, (edition, raw)


def test_what_was_typed_is_not_rewritten(editions):
    for edition, words in editions.items():
        for typed in PLAIN:
            # A line of a printed page may end anywhere.
            assert typed.replace(" ", "") in words.replace(" ", ""), (edition, typed)


def test_a_sentence_that_the_run_contradicts_is_marked(built, editions, capsys):
    for edition, words in editions.items():
        assert words.count("[In this run this does not hold.]") == 2, edition
    results = json.loads((built.build / "results.json").read_text())
    alone, line = results["refuted"]
    assert '“Not so: it is late.” (claim: late == "early")' in line
    assert "(claim: number < 4)" in alone
    assert main(["html"]) == 0
    assert main(["html", "--strict"]) == 2
    assert "sentences that hold in this run, got 2" in capsys.readouterr().err


def test_outputs_are_shown_by_their_kind(built, editions):
    page = (built.build / "html" / "1_first.html").read_text()
    editions = {**editions, "html": words_of(page)}
    del editions["notebooks"]  # which has them as outputs
    for shown in ("red <b>", "mind the gap", "one cell", "marked words", "by zero"):
        for edition, words in editions.items():
            assert shown in words, (edition, shown)
    for edition, words in editions.items():
        assert "hidden words" not in words, edition
        assert "td {top" not in words, edition
        assert "alert" not in words, edition
    assert "\x1b" not in page
    assert "data:image/svg+xml;base64," in page
    assert page.count(f"data:image/png;base64,{DOT}") == 2  # one of prose, attached
    copy = read_copy(built, "1_first")
    assert "hidden words" not in nbformat.writes(copy)


def test_a_long_listing_is_whole_and_can_be_copied(editions):
    words = editions.get("pdf", editions["html"]).replace(" ", "")
    for line in range(90):
        assert f"value_{line}='{{{{v}}}}@fig-v{line}'" in words


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


def test_a_cell_that_changes_its_folder_moves_nothing(built):
    assert (built.home / "data" / "results" / "moved.json").exists()
    assert (built.build / "quick" / "1_first.ipynb").exists()


def test_links_lead_to_what_they_name(built):
    for path in (built.build / "html").glob("*.html"):
        page = path.read_text()
        names = re.findall(r'\bid="([^"]*)"', page)
        assert len(names) == len(set(names)), path.name
        for target in re.findall(r'href="([^":]*#[^"]+)"', page):
            file, _, label = target.partition("#")
            named = (path.parent / file if file else path).read_text()
            assert f'id="{label}"' in named, (path.name, target)


def test_a_reading_copy_is_plain_and_small(built):
    copy = read_copy(built, "1_first")
    nbformat.validate(copy)
    kinds = set()
    for cell in copy.cells:
        for output in cell.get("outputs", ()):
            kinds.update(output.get("data", {}))
    assert MIME not in kinds
    assert "image/jpeg" in kinds  # a photograph
    code_of = "\n".join(cell.source for cell in copy.cells if cell.cell_type == "code")
    assert "imshow" not in code_of  # a repository's page unfolds hidden code
    assert 'profile = "quick"\nseed = 0' in code_of


def test_what_moves_on_a_screen_still_moves_in_a_copy(built):
    encoded = []
    for cell in read_copy(built, "more").cells:
        for output in cell.get("outputs", ()):
            encoded.append(output.get("data", {}).get("image/png"))
    [png] = filter(None, encoded)
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        assert picture.n_frames == 2


def test_a_reading_copy_has_what_its_links_lead_to(built):
    copies = {path.name: path for path in (built.build / "notebooks").iterdir()}
    for name in copies:
        markdown = markdown_of(read_copy(built, name.removesuffix(".ipynb")))
        for file, label in re.findall(r"\]\(([\w.]*)#([\w-]+)\)", markdown):
            named = markdown_of(nbformat.read(copies[file or name], as_version=4))
            assert f'<a id="{label}"></a>' in named, (name, label)
    assert "(#ref-simonyan2015very)" in markdown_of(read_copy(built, "1_first"))


def test_pages_break_no_rule_of_wcag(built, browser):
    for path in sorted((built.build / "html").iterdir()):
        page = browser.new_page(viewport={"width": 380, "height": 800})
        page.goto(path.as_uri())
        assert violations(page) == [], path.name
        page.close()


def export(project, name, sanitize):
    """The page that JupyterLab's server makes of a notebook that ran."""
    notebook = nbformat.read(project.build / "quick" / f"{name}.ipynb", as_version=4)
    server = SimpleNamespace(config=Config())
    saved._load_jupyter_server_extension(server)
    exporter = HTMLExporter(config=server.config, sanitize_html=sanitize)
    place = {"metadata": {"name": name, "path": str(project.home / "notebooks")}}
    return exporter.from_notebook_node(notebook, place)[0]


@pytest.mark.parametrize("sanitize", [True, False])
def test_an_exported_page_can_be_handed_in(built, sanitize):
    page = export(built, "1_first", sanitize)
    body = page[page.index("<body") :]
    words = words_of(re.sub(r"(?s)<(pre|code)\b.*?</\1>", "", body))
    for raw in (*RAW, "<p>", "<h1", ".jp-"):
        assert raw not in words, raw
    for shown in ("So 25.0% of 4, and late.", "Figure 1.2", "Very Deep", "1.1 One"):
        assert shown in words, shown
    assert "In this run this does not hold: “Not so: it is late.”" in words
    assert "document.currentScript" not in page  # of a chapter's first cell
    assert "labreport-values" not in page
    if sanitize:
        assert "alert(1)</script>" not in page


def test_an_exported_number_is_that_of_the_first_cell_that_has_it(built):
    words = words_of(export(built, "2_second", sanitize=True))
    assert "Now 1." in words
    assert "Then 2." in words


def test_a_second_build_runs_and_writes_nothing(built, capsys):
    before = (built.build / "html" / "index.html").stat().st_mtime_ns
    assert main(["html"]) == 0
    assert "html: up to date" in capsys.readouterr().out
    assert (built.build / "html" / "index.html").stat().st_mtime_ns == before
