"""From executed notebooks to pages: their structure, their numbers, and how Chromium
shows them.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import nbformat
import numpy as np
import pytest
from conftest import SMOKE, Project, code, text, violations
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_output
from PIL import Image

from labreport import LabreportError
from labreport.cli import main
from labreport.editions import html
from labreport.editions.contents import _group, collect
from labreport.editions.latex import make_document
from labreport.editions.sources import find_sources
from labreport.notebook import chapter as notebook_module

LONG_SUM = " + ".join(f"x_{{{i}}}" for i in range(40))
VOID = {"col", "br", "hr", "img", "input", "link", "meta"}


class Structure(HTMLParser):
    """What a page is made of; a tag that is never closed, or closed twice, is an
    assertion error.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "annotation"} & set(self.open):
            self.words += data

    def all(self, *tags):
        return [attrs for tag, attrs in self.elements if tag in tags]

    @property
    def ids(self):
        return [attrs["id"] for _, attrs in self.elements if "id" in attrs]


def execute_here(notebook, monkeypatch):
    """Outputs of the code cells, as a kernel would give them; in this process, so in no
    time.
    """
    shell = InteractiveShell()
    shell.push({"profile": "smoke", "seed": 0})
    monkeypatch.setattr(notebook_module, "get_ipython", lambda: shell)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.tags:
            shown: list = []

            def display(data, shown=shown, **_):
                shown.append(data)

            monkeypatch.setattr(notebook_module, "display", display)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                shell.run_cell(cell.source, store_history=True).raise_error()
            cell.outputs = []
            for data in shown:
                output = new_output("display_data", data=nbformat.from_dict(data))
                cell.outputs.append(output)
            if printed.getvalue():
                cell.outputs.append(new_output("stream", text=printed.getvalue()))
    notebook.metadata["labreport"] = {"seconds": 1.0}
    return notebook


def collect_here(monkeypatch):
    """The contents of the report, whose notebooks ran in this process."""
    executed = [
        (source, execute_here(source.read(), monkeypatch)) for source in find_sources()
    ]
    return collect(SMOKE, executed)


SHARE = """
chapter.headline("share", 0.25, "Share & <more>", practical=0.2, published=0.5,
                 work="simonyan2015very")
chapter.headline("total", 4000, "Total", ",")
"""
LINE = """
from matplotlib.figure import Figure
figure = Figure(figsize=(2, 1))
figure.subplots().plot([1, 2])
caption = "50% of A & B_c, \\"4,000\\" points, $x < 1$; as @fig-2-moving."
chapter.show_figure(figure, "line", caption)
"""
EQUATIONS = rf"""
\begin{{equation}}
f(x) = \frac{{1}}{{2}}
\end{{equation}}

and

\begin{{equation}}
g(x) = {LONG_SUM}
\label{{eq-last}}
\end{{equation}}
"""
TABLES = """
rows = [("- a_b & c", 12), ("long words that take more than a line " * 3, 7)]
rows = [{"What <1": a, "%": b} for a, b in rows]
chapter.show_table(rows, "scores", "All of 4,000.")
wide = {f"column {n}": 10**6 + n for n in range(12)}
chapter.show_table([wide], "wide", "Twelve columns.")
"""
MOVING = """
import numpy as np
from matplotlib.figure import Figure
frames = np.arange(6 * 64, dtype=np.uint8).reshape(6, 8, 8, 1).repeat(3, 3)
chapter.show_animation(frames, Figure(figsize=(4, 1)), "moving", "It moves.")
"""
GREYS = """
def render(row, column):
    grey = 120 * (row == 'lower') + 40 * (column - 1)
    return np.full((8, 8), grey, np.uint8), f'grey {grey}'
axes = {'row': ['upper', 'lower'], 'column': [1, 2, 3]}
chapter.show_explorer(render, axes, (0, 1), "greys", "Six greys.")
"""
FIRST = (
    code('share, total, label = 0.25, 4000, "a_b & <50%>"', "remove-cell"),
    text("## Results {#sec-results}"),
    text(
        "{{share:.1%}} of {{total}} in {{label}}, see @fig-line, @tab-scores, "
        "@sec-results and @eq-last."
    ),
    code(SHARE, "remove-cell"),
    code(LINE, "remove-input"),
    text(EQUATIONS),
    text(f"### Deeper\n\n#### No number\n\nSo ${LONG_SUM}$."),
    text("### Deeper again {#sec-again}"),
    code(TABLES, "remove-input"),
    code(
        'very_long = {"'
        + "x" * 90
        + '": 1}\nprint("printed → kept <b>", "x" * 200)  # a comment'
    ),
    code('print("never shown")', "remove-output"),
    text("Why 100%?", "question", number="1", starred=True, bonus=True),
    text("Because of [@simonyan2015very].", "answer"),
    text("## For authors\n\nNever shown. <!-- holds: share > 1 -->", "remove-cell"),
)
SECOND = (
    text(
        "## First\n\n## Second {#sec-second}\n\n"
        "See @fig-1-line, @sec-1-again, @eq-1-last, @sec-second, @tab-1-wide."
    ),
    code(MOVING),
    text("@fig-moving moves."),
    code(GREYS),
)


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Two chapters with one of everything, and with characters that HTML or Markdown
    would misread.
    """
    with pytest.MonkeyPatch.context() as patch:
        project = Project(tmp_path_factory.mktemp("project"))
        patch.setenv("LABREPORT_HOME", str(project.home))
        patch.delenv("DLAPPS_DATA", raising=False)
        project.write("1_transfer", *FIRST)
        project.write("2_saliency", *SECOND)
        yield collect_here(patch)


@pytest.fixture
def contents(collected):
    """A copy that a test may change."""
    return copy.deepcopy(collected)


@pytest.fixture
def pages(contents):
    """The structure of each page, by file name."""
    made = html.make_pages(contents)
    return {name: Structure(page) for name, page in made.items()}


@pytest.mark.report
def test_pages_are_whole(pages):
    assert list(pages) == ["index.html", "1-transfer.html", "2-saliency.html"]
    for page in pages.values():
        assert len(set(page.ids)) == len(page.ids)
        assert page.all("html")[0]["lang"] == "en-GB"
        assert len(page.all("main")) == len(page.all("title")) == 1
        assert all(image["alt"].strip() for image in page.all("img"))
        labels = {attrs.get("aria-labelledby") for _, attrs in page.elements}
        assert labels <= {None, *page.ids}


@pytest.mark.report
def test_headings_of_pages_leave_out_no_level(pages):
    for page in pages.values():
        tags = [tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        levels = [int(tag[1]) for tag in tags]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(later <= level + 1 for level, later in pairwise(levels))


@pytest.mark.report
def test_pages_need_nothing_else(pages):
    for name, page in pages.items():
        assert not page.all("iframe", "object")
        assert page.all("script") == ([] if name == "index.html" else [{}])
        policies = [meta for meta in page.all("meta") if "http-equiv" in meta]
        (policy,) = policies
        for kind in ("default-src", "base-uri", "form-action"):
            assert f"{kind} 'none'" in policy["content"].split("; ")
        assert all(image["src"].startswith("data:image/") for image in page.all("img"))
        assert all(link["href"] == "data:," for link in page.all("link"))


@pytest.mark.report
def test_links_lead_to_what_is_there(contents, project):
    copies = project.home / "report" / "notebooks"
    copies.mkdir()
    (copies / "1_transfer.ipynb").touch()
    made = html.make_pages(contents)
    pages = {name: Structure(page) for name, page in made.items()}
    to_copies = []
    for name, page in pages.items():
        for link in page.all("a"):
            target, _, label = link["href"].partition("#")
            if target.endswith(".ipynb"):
                to_copies.append((name, (project.build / "html" / target).resolve()))
            elif not target.startswith("https://"):
                assert (target or name) in pages
                assert not label or label in pages[target or name].ids
    assert set(to_copies) == {("1-transfer.html", copies / "1_transfer.ipynb")}


@pytest.mark.report
def test_pages_say_what_the_notebooks_told(pages):
    words = {name: " ".join(page.words.split()) for name, page in pages.items()}
    for expected in (
        "1.1 Results 25.0% of 4,000 in a_b & <50%>, see Figure 1.1, Table 1.1, "
        "Section 1.1 and Equation (1.2).",
        "Figure 1.1 50% of A & B_c, “4,000” points,",
        "Table 1.1 All of 4,000.",
        "1.1.1 Deeper No number",
        "printed → kept <b> xxx",
        "Question 1 ★ Bonus Why 100%?",
        "Because of (Simonyan and Zisserman 2015).",
        "Bibliography Simonyan, Karen, and Andrew Zisserman. 2015.",
    ):
        assert expected in words["1-transfer.html"]
    printed = words["1-transfer.html"].replace('print("never shown")', "")
    assert "never shown" not in printed.lower()
    assert "For authors" not in printed
    references = "Figure 1.1, Section 1.1.2, Equation (1.2), Section 2.2, Table 1.2."
    assert f"See {references}" in words["2-saliency.html"]
    assert "1.1.2 Deeper again" in words["index.html"]
    assert "How to read this report Cells & 5% of notes." in words["index.html"]


@pytest.mark.report
def test_tables_and_references_are_those_of_html(contents):
    made = html.make_pages(contents)
    first, second = made["1-transfer.html"], made["2-saliency.html"]
    heads = '<th scope="col">What &lt;1</th><th scope="col" class="right">%</th>'
    assert heads in first
    assert '<td>- a_b &amp; c</td><td class="right">12</td>' in first
    assert '<a href="1-transfer.html#sec-1-again">' in second
    assert '<a href="#sec-2-second">' in second
    assert html.make_pages(contents) == made


@pytest.mark.report
def test_pictures_are_embedded_with_words_in_their_place(pages):
    figure = pages["1-transfer.html"].all("img")[0]
    words = "50% of A & B_c, “4,000” points, x < 1; as Figure 2.1."
    assert figure["alt"] == words
    moving, key_frames, explored = pages["2-saliency.html"].all("img")
    assert moving["src"].startswith("data:image/jpeg;base64,")
    assert key_frames["src"].startswith("data:image/png;base64,")
    assert key_frames["alt"] == "It moves."
    assert explored["alt"] == "grey 40"


@pytest.mark.report
def test_the_report_opens_with_its_headlines(contents):
    page = html.make_pages(contents)["index.html"]
    table = Structure(re.search('(?s)<table class="glance">.*?</table>', page)[0])
    words = "What Here Other settings Published 1 A chapter Share & <more> 25.0% 20.0% "
    words += "50.0% (Simonyan and Zisserman 2015) Total 4,000"
    assert "".join(table.words.split()) == words.replace(" ", "")
    section = "1-transfer.html#sec-1-results"
    links = [link["href"] for link in table.all("a")]
    assert links == [section, "#ref-simonyan2015very", section]
    latex, _ = make_document(contents)
    row = r"\ref{sec-1-results} & Share \& <more> & 25.0\% & 20.0\% & 50.0\% "
    row += r"\citep{simonyan2015very} \\"
    assert row in " ".join(latex.split())
    assert re.search(r"(?s)How to read.*at a glance.*\\chapter\{A chapter\}", latex)


@pytest.mark.report
def test_a_report_without_headlines_has_no_page_of_them(contents):
    contents.headlines.clear()
    assert "at a glance" not in html.make_pages(contents)["index.html"]
    assert "at a glance" not in make_document(contents)[0]


@pytest.mark.report
@pytest.mark.parametrize(
    "headline", ['"total", 1, "Again"', '"new", 1, "New", work="nobody2020work"']
)
def test_headlines_have_names_of_their_own_and_works_that_exist(
    project, monkeypatch, headline
):
    project.write("1_transfer", *FIRST)
    project.write("2_saliency", *SECOND, code(f"chapter.headline({headline})"))
    with pytest.raises(LabreportError, match=r"expected .*, got .*; .*\.$"):
        collect_here(monkeypatch)


@pytest.mark.report
def test_a_picture_stands_for_each_chapter(contents):
    def label(chapter):
        _, message = html.read_page(chapter, contents).picture
        return message["label"]

    first, second = contents.chapters
    assert label(first) == "fig-1-line"
    assert label(second) == "fig-2-moving"
    second.notebook.cells[-1].metadata.tags = ["cover"]
    assert label(second) == "fig-2-greys"


@pytest.mark.report
def test_the_last_page_names_each_machine_and_revision_once(contents):
    first, second = contents.chapters
    first.description.update(packages={"torch": "2.1"}, commit="abc1")
    second.description.update(packages={"torch": "2.2"}, commit="abc2")
    page = Structure(html.make_pages(contents)["index.html"])
    latex, _ = make_document(contents)
    for edition in (" ".join(page.words.split()), latex):
        named = re.findall("(Machine|Revision) of chapter ([12])", edition)
        machines = [("Machine", "1"), ("Machine", "2")]
        assert named == [*machines, ("Revision", "1"), ("Revision", "2")]
    tenth = replace(first, number="10")
    groups = _group([second, tenth], lambda said: said["commit"])
    assert groups == {"abc2": "chapter 2", "abc1": "chapter 10"}
    second.description.update(first.description)
    assert r"\fact{Machine}" in make_document(contents)[0]


@pytest.mark.report
@pytest.mark.programs("latexmk")
def test_numbers_are_those_of_the_pdf(contents, tmp_path):
    latex, figures = make_document(contents)
    folder = tmp_path / "tex"
    (folder / "figures").mkdir(parents=True)
    for name, figure in figures.items():
        (folder / "figures" / name).write_bytes(figure)
    (folder / "report.tex").write_text(latex)
    command = ["pdflatex", "-draftmode", "-interaction=batchmode", "report"]
    subprocess.run(command, cwd=folder, capture_output=True)
    labels = (folder / "report.aux").read_text()
    counted = re.findall(
        r"\\newlabel\{((?:fig|tab|sec|eq)-[^@}]+)\}\{\{([\d.]+)\}", labels
    )
    assert {label for label, _ in counted} == contents.labels.keys()
    for label, number in counted:
        assert contents.labels[label].words.split()[1].strip("()") == number


@pytest.mark.report
def test_the_verb_writes_the_pages_and_an_error_leaves_them(project):
    project.write("1_transfer", text("One."))
    folder = project.build / "html"
    folder.mkdir(parents=True)
    (folder / "9-gone.html").touch()
    assert main(["html", "--profile", "smoke"]) == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {"1-transfer.html", "index.html"}
    first = (folder / "1-transfer.html").read_bytes()
    project.write("1_transfer", text(r"See $\undefinedcommand$."))
    assert main(["html", "--profile", "smoke"]) == 2
    assert (folder / "1-transfer.html").read_bytes() == first


def test_photos_travel_compressed_and_plots_as_they_are():
    noise, shape = np.random.default_rng(0), (300, 200, 3)
    for pixels, kind in (
        (noise.integers(0, 256, shape), "webp"),
        (np.zeros(shape), "png"),
    ):
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        attributes = html.image_attributes(base64.b64encode(file.getvalue()).decode())
        assert attributes.startswith(f'src="data:image/{kind};base64,')
        assert attributes.endswith('width="200" height="300"')
        encoded = re.search(r"base64,([^\"]*)", attributes)[1]
        assert len(base64.b64decode(encoded)) <= len(file.getvalue())


def test_a_listing_knows_how_far_each_line_is_indented():
    lines = html.listing("\nif x < 1:\n    y = 'a'\n\n    z = 2  # two\n")
    assert re.findall(r"--indent: (\d+)ch", lines) == ["0", "4", "0", "4"]
    assert " ".join(Structure(lines).words.split()) == "if x < 1: y = 'a' z = 2 # two"
    assert html.listing("x\ry\r\nz") == html.listing("x\ny\nz")


# What a page looks like, measured in the page.
MEASURE = """() => ({
  scroll: document.scrollingElement.scrollWidth - innerWidth,
  outside: [...document.body.querySelectorAll("*")].filter(
    element => element.getBoundingClientRect().right > innerWidth + 1
      && !element.parentElement.closest(".scroll, math")
  ).map(element => element.outerHTML.slice(0, 80)),
  undrawn: [...document.images].filter(
    image => !image.complete || !image.naturalWidth
  ).length,
  ground: getComputedStyle(document.body).backgroundColor,
})"""
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 25, 29)"}


@pytest.fixture(scope="module")
def folder(collected, tmp_path_factory):
    """The pages as files."""
    folder = tmp_path_factory.mktemp("html")
    for name, page in html.make_pages(copy.deepcopy(collected)).items():
        (folder / name).write_text(page)
    return folder


@pytest.mark.report
@pytest.mark.parametrize(("scheme", "width"), [("light", 380), ("dark", 1280)])
def test_pages_fit_and_break_no_rule_of_wcag(folder, browser, scheme, width):
    page = browser.new_page(
        viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    for path in sorted(folder.iterdir()):
        page.goto(path.as_uri())
        measured = page.evaluate(MEASURE)
        assert measured.pop("ground") == GROUNDS[scheme]
        assert measured == {"scroll": 0, "outside": [], "undrawn": 0}
        assert complaints == []
        assert violations(page) == []


@pytest.mark.report
def test_a_number_leads_to_the_cell_that_made_it(folder, browser):
    page = browser.new_page()
    page.goto((folder / "1-transfer.html").as_uri())
    code = page.locator("pre:target")
    for link, words in (
        ("25.0%", "share, total, label"),
        ("code", "chapter.show_figure("),
    ):
        assert not page.get_by_text(words).is_visible()
        page.locator("a.value", has_text=link).first.click()
        assert words in code.inner_text()
        assert code.is_visible()


@pytest.mark.report
def test_the_section_that_is_read_is_marked(folder, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 200})
    page.goto((folder / "2-saliency.html").as_uri())
    for label in ("sec-2-1", "sec-2-second"):
        page.evaluate("label => document.getElementById(label).scrollIntoView()", label)
        page.locator(
            f"nav.contents [aria-current=location][href='#{label}']"
        ).wait_for()
        assert page.locator("nav.contents [aria-current]").count() == 1


@pytest.mark.report
@pytest.mark.parametrize("scripts", [True, False])
def test_navigation_is_folded_on_a_phone_alone(folder, browser, scripts):
    for width, folded in ((380, True), (1280, False)):
        size = {"width": width, "height": 800}
        page = browser.new_page(viewport=size, java_script_enabled=scripts)
        page.goto((folder / "1-transfer.html").as_uri())
        section = page.locator("nav.contents a", has_text="Results")
        summary = page.get_by_text("In this chapter")
        assert (section.is_visible(), summary.is_visible()) == (not folded, folded)
        if folded:
            summary.click()
            assert section.is_visible()


# What of an animation is seen: its word, and which frame of the six.
SEEN = """() => {
  const words = [...document.querySelectorAll(".labreport-motion span")];
  const picture = document.querySelector(".labreport-motion img");
  const [, place] = getComputedStyle(picture).objectPosition.split(" ");
  const shown = words.find(word => word.offsetParent).textContent;
  return [shown, 5 * parseFloat(place) / 100];
}"""


@pytest.mark.report
def test_a_click_stops_an_animation_where_it_is(folder, browser):
    page = browser.new_page()
    page.goto((folder / "2-saliency.html").as_uri())
    picture = page.locator(".labreport-motion img")
    assert page.evaluate(SEEN)[0] == "Pause"
    picture.click()
    seek = "(picture, at) => { picture.getAnimations()[0].currentTime = at; }"
    for frame in (2, 4, 5):
        picture.evaluate(seek, 125 * (frame + 0.5))
        assert page.evaluate(SEEN) == ["Play", frame]
    assert (
        picture.evaluate("picture => picture.getAnimations()[0].playState") == "paused"
    )
    picture.click()
    assert (
        picture.evaluate("picture => picture.getAnimations()[0].playState") == "running"
    )


@pytest.mark.report
def test_who_asks_for_reduced_motion_begins_with_the_last_frame_at_rest(
    folder, browser
):
    page = browser.new_page(reduced_motion="reduce")
    page.goto((folder / "2-saliency.html").as_uri())
    assert page.evaluate(SEEN) == ["Play", 5]
    page.locator(".labreport-motion img").click()
    assert page.evaluate(SEEN)[0] == "Pause"


@pytest.mark.report
def test_a_slider_moved_by_the_keyboard_chooses_picture_and_reading(folder, browser):
    page = browser.new_page()
    page.goto((folder / "2-saliency.html").as_uri())
    explorer = page.locator(".labreport-explore")
    seen = """box => [
      box.querySelector('img').style.objectPosition, box.querySelector('p').textContent
    ]"""
    assert explorer.evaluate(seen) == ["0px 20%", "grey 40"]
    explorer.get_by_label("row").press("ArrowRight")
    assert explorer.evaluate(seen) == ["0px 80%", "grey 160"]
    explorer.get_by_label("column").press("End")
    assert explorer.evaluate(seen) == ["0px 100%", "grey 200"]
    assert explorer.locator("output").all_inner_texts() == ["lower", "3"]
    assert explorer.locator("img").get_attribute("alt") == "grey 200"
