"""What Markdown has, every edition keeps: a notebook of small pieces, and mistakes that
are a sentence each.
"""

from __future__ import annotations

import base64
import io
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import QUICK, SMOKE, code, text
from nbformat.v4 import new_output, new_raw_cell
from PIL import Image
from test_copies import prose
from test_html import Structure, collect_here, execute_here
from test_report import words_of

from labreport import LabreportError
from labreport.editions import fonts, latex
from labreport.editions.build import write_pdf
from labreport.editions.checks import find_complaints
from labreport.editions.contents import collect
from labreport.editions.copies import make_copies
from labreport.editions.current import digest_inputs
from labreport.editions.html import make_pages
from labreport.editions.sources import find_sources
from labreport.notebook.references import References
from labreport.notebook.syntax import run_pandoc
from labreport.runs import Run

# Each a cell of Markdown, and the words that each edition has of it, a space between
# them.
_FILE = Path(__file__).with_name("pieces.txt").read_text(encoding="utf-8")
PIECES = [piece.strip().split("\n=> ") for piece in _FILE.split("\n%%\n")]
PIECES.append(["one\\\ntwo  \nthree", "one two three"])
OTHERS = [
    ("### Привет 😀", "Привет 😀"),
    ("Это **так**, Ελληνικά, λόγος, $α$", "Это так , Ελληνικά, λόγος, α"),
]
CELLS = [
    "__init__.py",
    "2*3*4",
    r"C:\Users\me",
    "List<int>",
    "a | b",
    "# 1. x",
    "--flag",
    "$5",
    "~x~ [y](z)",
    "- z",
]
FIGURE = code(
    "from matplotlib.figure import Figure\n"
    f'caption = "Of {CELLS[0]}, *not* $x$, <div> \\\\input{{x}}."\n'
    "chapter.show_figure(Figure(), 'one', caption)\n"
    "other = '`a_b|c`, $y^2$, @fig-one'\n"
    f"rows = [{{'a_b': cell, 'other': other}} for cell in {CELLS!r}]\n"
    "chapter.show_table(rows, 'cells', 'Cells: List<int>.')\nprint('printed *text*')",
    "remove-input",
)
CAPTIONS = [
    "Of __init__.py, *not*",
    "<div> \\input{x}.",
    "Cells: List<int>.",
    "a_b|c",
    "a_b other",
]
CAPTIONS += ["What both say.", "printed *text*"]


def contents_of(project, monkeypatch, *cells):
    project.write("1_transfer", *cells)
    return collect_here(monkeypatch)


def contents_of_pieces(project, monkeypatch, *others):
    beside = project.home / "notebooks" / "my pictures"
    beside.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (60, 40), "teal").save(beside / name)
    png = base64.b64encode((beside / "a.png").read_bytes()).decode()
    cells = [text(piece) for piece, _ in (*PIECES, *others)]
    for cell in cells:
        cell.attachments = {"c.png": {"image/png": png}}
    contents = contents_of(
        project, monkeypatch, code("total, share = 4000, 0.25"), *cells, FIGURE
    )
    displayed = {"image/png": png, "text/plain": "<Figure>"}
    outputs = contents.chapters[0].notebook.cells[-1].outputs
    outputs.append(new_output("execute_result", data=displayed, execution_count=1))
    return contents


def missing(said, *others):
    """The pieces of which a word is not there, with signs alone between them, in this
    order.
    """
    missing = []
    pieces = [words for _, words in (*PIECES, *others)]
    for words in pieces + CELLS + CAPTIONS:
        parts = [re.escape(word) for word in words.replace(" ,", "").split()]
        if not re.search("[^A-Za-z]{0,9}".join(parts), said):
            missing.append(words)
    return missing


@pytest.mark.report
def test_pages_and_copies_keep_every_piece(project, monkeypatch):
    others = [*OTHERS, ("中文, שלום", "中文, שלום")]
    contents = contents_of_pieces(project, monkeypatch, *others)
    page = Structure(make_pages(contents)["1-transfer.html"])
    assert missing(page.words, *others) == []
    targets = {link.get("href") for link in page.all("a")}
    assert {"https://one.org", "https://two.org"} <= targets
    kinds = [re.match(r"data:image/(\w+);", img["src"])[1] for img in page.all("img")]
    assert kinds == ["png", "jpeg", "png", "png", "png"]
    (copy,) = make_copies(contents).values()
    reader = "commonmark+tex_math_dollars+pipe_tables"
    markdown = ["--from", reader, "--to", "html", "--wrap=none"]
    outputs = []
    for cell in copy.cells:
        outputs += cell.get("outputs", [])
    copied = Structure(run_pandoc(prose(copy), markdown))
    assert missing(f"{copied.words} {outputs}", *others) == []
    assert len(copied.all("img")) == 3
    assert not any("attachments" in cell for cell in copy.cells)


def test_a_jpeg_that_is_displayed_is_a_picture(project, monkeypatch):
    contents = contents_of(project, monkeypatch, code("pass"))
    file = io.BytesIO()
    Image.new("RGB", (60, 40), "teal").save(file, "JPEG")
    encoded = base64.b64encode(file.getvalue()).decode()
    displayed = {"image/jpeg": encoded, "text/plain": "<Image>"}
    outputs = contents.chapters[0].notebook.cells[-1].outputs
    outputs.append(new_output("execute_result", data=displayed, execution_count=1))
    page = Structure(make_pages(contents)["1-transfer.html"])
    (picture,) = page.all("img")
    assert picture["src"] == f"data:image/jpeg;base64,{encoded}"
    written, pictures = latex.make_document(contents)
    assert pictures["picture-0.jpeg"] == file.getvalue()
    assert "{frames/picture-0.jpeg}" in written


def test_the_name_of_a_profile_is_text_on_paper(project, monkeypatch):
    contents = contents_of(project, monkeypatch)
    contents.chapters[0].description["profile"] = "very_full"
    written, _ = latex.make_document(replace(contents, run=Run("very_full")))
    assert written.count(r"very\_full") == 3
    assert "very_full" not in written


@pytest.mark.report
@pytest.mark.programs("latexmk")
@pytest.mark.parametrize("others", [[], OTHERS])
def test_paper_keeps_every_piece(project, monkeypatch, others):
    if others:
        luatex = subprocess.run(["kpsewhich", "luaotfload.sty"], capture_output=True)
        if not luatex.stdout:
            pytest.skip("LuaLaTeX is not installed: apt install texlive-luatex")
    said = []
    write_pdf(contents_of_pieces(project, monkeypatch, *others), said.append)
    assert [line for line in said if "expected" in line] == []
    running_heads = r"\d\nA chapter.*"
    words = re.sub(running_heads, "", words_of(project.build / "report.pdf"))
    assert missing(words, *others) == []


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[see @fig-one, p. 3]", "(see Figure 1.1, p. 3)"),
        ("[@fig-one; @simonyan2015very]", "(Figure 1.1) (Simonyan and Zisserman 2015)"),
        ("[@simonyan2015very; @fig-one]", "(Simonyan and Zisserman 2015) (Figure 1.1)"),
        ("@fig-one [@simonyan2015very]", "Figure 1.1 (Simonyan and Zisserman 2015)"),
    ],
)
def test_a_notebook_keeps_what_stands_beside_a_reference(project, written, shown):
    path = project.write("1_transfer", FIGURE, text(f"So {written}."))
    prose = References(path, "1")
    assert all(
        token in prose.outline.tokens for token in re.findall(r"\[.*?\]", written)
    )
    assert prose.resolve(f"So {written}.").replace("\u00a0", " ") == f"So {shown}."


def shown(caption):
    call = f"chapter.show_figure(Figure(), 'one', {caption!r})"
    return code(f"from matplotlib.figure import Figure\n{call}")


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (text("a\n\n```python\nx = 1"), "got 'a' (a block left open)"),
        (text("::: note\nx"), "got '::: note' (unclosed div)"),
        (text("<div>\nx"), "got '<div>' (unclosed div)"),
        (text("[^1]: For nothing."), "(note defined but not used)"),
        (text("a[^1]\n\n[^1]: b\n[^1]: c"), "(duplicate note reference)"),
        (text("[a]\n\n[a]: http://b\n[a]: http://c"), "(duplicate link reference)"),
        (text("\\begin{tabular}{l}\nx\n\\end{tabular}"), "or multline, got tabular;"),
        (text("\\begin{align}\nx\\\\y\n\\end{align}"), "got several lines of align;"),
        (text("So $\\input{/etc/hostname}$."), "not convert TeX math \\\\input"),
        (
            text("\\begin{equation}\n\\openout5=x\n\\end{equation}"),
            "TeX math \\\\begin{equation}",
        ),
        (text("So $\\text{\\write18{ls}}$."), "TeX math \\\\text{\\\\write18"),
        (shown("It is $\\def\\x{y}$."), "TeX math \\\\def"),
        (text("So $\\nocommand{x$."), "TeX math \\\\nocommand"),
        (text("See [@fig-gone, p. 3]."), "something shown, got @fig-1-gone"),
        (text("See @sec-2-gone."), "something shown, got @sec-2-gone"),
        (shown("See @tab-gone."), "something shown, got @tab-1-gone"),
        (text("See [@nobody; @fig-gone]."), "references.bib, got @nobody"),
        (shown("By @nobody."), "references.bib, got @nobody"),
        (shown("It is {{x}}."), "a cell of a table without placeholders"),
        (text("It is {{1 + 1}}."), "expected names, attributes and literal keys"),
        (text("![a](gone.png)"), "attached to the cell, got gone.png;"),
        (text("![a](https://example.org/a.png)"), "got https://example.org/a.png;"),
        (text("![a](../../outside.png)"), "got ../../outside.png;"),
        (text("![a](1_transfer.ipynb)"), "got 1_transfer.ipynb;"),
        (text("![a](attachment:gone.png)"), "got attachment:gone.png;"),
    ],
)
def test_a_mistake_is_one_sentence_with_chapter_and_cell(
    project, monkeypatch, cell, sentence
):
    with pytest.raises(LabreportError) as caught:
        make_pages(contents_of(project, monkeypatch, cell))
    said = str(caught.value)
    assert said.startswith("1_transfer, cell 4")
    assert sentence in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("sign", "has_luatex", "complaint"),
    [
        (
            "Э",
            b"",
            r"U\+042D\) in a PDF, got no LuaLaTeX; .* texlive-luatex\), or write",
        ),
        ("中", b"luaotfload.sty", r"U\+4E2D\) in a PDF, got no font .* fonts-noto-cjk"),
        (
            "ש",
            b"luaotfload.sty",
            r"U\+05E9\) in a PDF, got no font that has it, from left to",
        ),
    ],
)
def test_what_cannot_be_printed_is_named(
    project, monkeypatch, sign, has_luatex, complaint
):
    contents = contents_of(project, monkeypatch, text(f"So {sign}"))
    run = SimpleNamespace(stdout=has_luatex)
    monkeypatch.setattr(fonts, "findSystemFonts", list)
    monkeypatch.setattr(fonts.subprocess, "run", lambda *_, **__: run)
    expected = rf"^1_transfer, cell 4: expected what prints {sign} \({complaint}"
    with pytest.raises(LabreportError, match=expected):
        fonts.choose_fonts(f"Łódź né, {sign}", sign, contents)


@pytest.mark.parametrize(
    ("call", "typed"),
    [
        ("chapter.show_table(table, 'one', 'It reads 91.3 %.')", "91.3 %"),
        (
            "caption = f'At 91.3 % {x}'\nchapter.show_table(table, 'one', caption)",
            "91.3 %",
        ),
        (
            "chapter.show_table([{'name': 'ours', 'score': 0.913}], 'one', 'Scores.')",
            "0.913",
        ),
        (
            "chapter.show_table([{'name': 'ours', 'of': '91.3 %'}], 'one', 'Scores.')",
            "91.3 %",
        ),
        (
            "rows = [{'name': '[@simonyan2015very]', 'of': '91.3 %'}]\n"
            "chapter.show_table(rows, 'one', 'Of.')",
            "",
        ),
        ("chapter.show_table([{'score': x}], 'one', f'After {steps[12]:.2f}.')", ""),
    ],
)
def test_numbers_typed_in_captions_and_tables_are_found(project, call, typed):
    project.write("1_transfer", code(call))
    expected = []
    if typed:
        remedy = "write an expression, or cite its source in the sentence"
        expected.append(f"{typed} typed by hand; {remedy}")
    assert [line.partition("): ")[2] for line in find_complaints()] == expected


def test_a_changed_picture_makes_the_editions_outdated(project):
    folder = project.write(
        "1_transfer", text("![a](my%20a.png) ![b](<my b.png>) ![d](gone.png)")
    ).parent
    digests = [digest_inputs(QUICK)]
    for letter in "abn":
        (folder / f"my {letter}.png").touch()
        digests.append(digest_inputs(QUICK))
    assert len(set(digests)) == 3
    assert digests[-1] == digests[-2]


def test_a_page_may_end_between_statements_of_a_cell_alone():
    function = "def f():\n    b = 1\n\n    return b"
    short = f"x = 1\ny = 2\n\n{function}"
    assert latex._parts(short) == [(short, "")]
    first = "import a\n\nx = 1\ny = 2\nz = 3"
    parts = latex._parts(f"{first}\n\n\n{function}")
    assert [code for code, _ in parts] == [first, function]
    assert [options for _, options in parts] == ["continues", "continued"]
    assert latex._parts("x = 1") == [("x = 1", "")]
    assert latex._parts("x\n" * 40) == [("x\n" * 40, "breakable")]


def write_editions(project, monkeypatch, change):
    """A chapter in LaTeX, in HTML and as a copy, after a change to its executed
    notebook.
    """
    project.write("1_first", code("x = 1"))
    (source,) = find_sources()
    notebook = execute_here(source.read(), monkeypatch)
    change(notebook)
    contents = collect(SMOKE, [(source, notebook)])
    tex, _ = latex.make_document(contents)
    page = make_pages(contents)["1-first.html"]
    copy = str(make_copies(contents)["1_first.ipynb"].cells)
    return tex, page, copy


def test_no_edition_shows_a_raw_cell(project, monkeypatch):
    def add_raw(notebook):
        notebook.cells.append(new_raw_cell("of a raw <b> a_b", id="raw"))

    for written in write_editions(project, monkeypatch, add_raw):
        assert "of a raw" not in written


def test_all_editions_show_an_error(project, monkeypatch):
    def fail(notebook):
        error = new_output("error", ename="OddError", evalue="a_b <c> & d")
        notebook.cells[-1].outputs = [error]

    tex, page, copy = write_editions(project, monkeypatch, fail)
    assert "OddError: a\\PYZus{}b" in tex
    assert "<samp>OddError: a_b &lt;c&gt; &amp; d</samp>" in page
    assert "OddError" in copy
