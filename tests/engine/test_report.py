"""From Markdown and numbers to a PDF; what needs a kernel or TeX is marked `report`."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from html import unescape
from types import SimpleNamespace

import nbformat
import pytest
from conftest import PARAMETERS, QUICK, SMOKE, code, text
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError
from nbformat.v4 import new_code_cell, new_notebook, new_output
from pypdf import PdfReader
from test_html import FIRST, SECOND

from labreport import LabreportError, environment, paths
from labreport.chapters import read_notebook
from labreport.cli import main
from labreport.editions import execute, staleness, typeset
from labreport.editions.build import build as build_editions
from labreport.editions.contents import Contents
from labreport.editions.executed import Number, require_in_text
from labreport.editions.outputs import fragments
from labreport.editions.prose import Edition, ProseFilter
from labreport.editions.sources import find_sources
from labreport.notebook.expressions import (
    evaluate,
    find_placeholders,
    replace_placeholders,
)
from labreport.notebook.messages import MIME
from labreport.notebook.numbering import Label, Numbering
from labreport.notebook.syntax import parse, walk, write
from labreport.runs import Run

SCOPE = {
    "accuracy": 0.9131,
    "parameters": 138_357_544,
    "rate": 1.26e-5,
    "change": -0.35,
}
SCOPE |= {"name": "a_b & 50% *#1*"}
LABELS = {
    "fig-1-line": Label("Figure 1.1", "1_transfer", 2),
    "tab-2-scores": Label("Table 2.1", "2_x", 2),
}
CONTENTS = Contents(SMOKE, [], LABELS, {}, [], {"simonyan2015very"})
EDITION = Edition(
    refer=lambda label, named: {"t": "Str", "c": f"<{label}: {named.words}>"},
    equation=lambda tex, label, number: {"t": "Str", "c": f"<{label} {number} {tex}>"},
    heading=lambda heading: [{"t": "Str", "c": f"<{heading.number}>"}],
    refuted={"t": "Str", "c": "<refuted>"},
)


def filtered(written, language="markdown-smart", chapter="1"):
    """A piece of Markdown of that chapter, after the filter."""
    numbers = []
    for inner in find_placeholders(written):
        numbers.append(Number(inner, **evaluate(inner, SCOPE), cell="cell"))
    places = {number.expression: place for place, number in enumerate(numbers)}
    (tree,) = parse(
        [replace_placeholders(written, lambda inner: f"{{{{{places[inner]}}}}}")]
    )
    # A title stands above.
    Numbering(chapter, counts=Counter({1: 1})).number_prose(tree, 2)
    executed = SimpleNamespace(number=chapter, numbers=numbers)
    prose = ProseFilter(EDITION, CONTENTS, executed)
    return write([walk(tree, prose)], language, ["--wrap=preserve"])[0]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("{{accuracy:.1%}} of {{parameters}}", "91.3% of 138,357,544"),
        ("{{accuracy}}", "0.913"),
        ("**{{accuracy}}** ({{rate:.2e}}).", "**0.913** (1.26\u00a0×\u00a010⁻⁵)."),
        ("{{change}} points", "−0.35 points"),
        ("{{name}}", "a_b & 50% \\*#1\\*"),
        ("All of\n{{parameters}}. But", "All of\n138,357,544. But"),
        (
            "`{{accuracy}}`\n\n```\n{{accuracy}}\n```",
            "`{{accuracy}}`\n\n    {{accuracy}}",
        ),
        ("Said. <!-- a remark -->", "Said."),
        ("in 40 s, 3 × 4, -0.5 and x-1", "in 40 s, 3 × 4, −0.5 and x-1"),
        ("$f(1, 2) = 25,088$", "$f(1, 2) = 25{,}088$"),
        ("95 % (.5 to -.7), {{accuracy:.0f}} %, *3* %", "95% (0.5 to −0.7), 1%, *3*%"),
        (
            "`.5 %`, 1.5, v.5, $\\varepsilon = .1$ of $.05x$",
            "`.5 %`, 1.5, v.5, $\\varepsilon = 0.1$ of $0.05x$",
        ),
    ],
)
def test_numbers_take_their_format_and_leave_code_alone(written, read):
    assert filtered(written).replace("&nbsp;", " ") == read


@pytest.mark.parametrize(
    ("written", "got"),
    [
        (r"It reads \{\{accuracy\}\}.", "{{accuracy}}"),
        ("It reads {{accuracy}.", "{{accuracy}"),
        ("It reads {{accuracy:{width}}}.", "{{accuracy:"),
    ],
)
def test_a_placeholder_that_was_not_evaluated_is_not_printed(written, got):
    with pytest.raises(LabreportError, match=f"got {re.escape(got)} as text; close"):
        filtered(written)


@pytest.mark.parametrize(
    "written",
    [
        "~~~\n{{0}}\n~~~",
        "So:\n\n    {{0}}",
        "[here](https://host/{{0}})",
        '<b title="{{0}}">here</b>',
    ],
)
def test_a_placeholder_stands_in_a_sentence(written):
    (tree,) = parse([written])
    number = Number("accuracy", "0.9", 0.9, "cell")
    with pytest.raises(LabreportError, match=r"got \{\{accuracy\}\} in a block of"):
        require_in_text(tree, written.replace("0", "accuracy"), [number])
    (tree,) = parse(["It reads {{0}} of *{{0}}*."])
    require_in_text(tree, "It reads {{accuracy}} of *{{accuracy}}*.", [number])
    require_in_text(parse(["`{{0}}`"]), "`{{0}}`", [])


def test_references_belong_to_their_chapter():
    assert filtered("See @fig-line.", "plain") == "See <fig-1-line: Figure 1.1>."
    assert filtered("See @fig-1-line, @tab-scores", "plain", chapter="2") == (
        "See <fig-1-line: Figure 1.1>, <tab-2-scores: Table 2.1>"
    )
    assert (
        filtered("## Limits {#sec-limits}", chapter="3")
        == r"## \<3.1\>Limits {#sec-3-limits}"
    )


@pytest.mark.parametrize("between", ["\n\n", "\n"])
def test_equations_keep_their_tex_and_get_a_number(between):
    equation = "\\begin{equation}\nx\n\\label{eq-x}\n\\end{equation}"
    shown = filtered(
        f"So{between}{equation}{between}and `\\begin{{equation}}`", "plain"
    )
    assert "<eq-1-x (1.1) \\begin{equation}\nx\n\\end{equation}>" in shown
    assert "< \\begin{align*}" in filtered(
        "\\begin{align*}a &= b \\\\ c &= d\\end{align*}", "plain"
    )


@pytest.mark.parametrize(("number", "title"), [("3", "Chapter 3"), ("B", "Appendix B")])
def test_parts_are_counted_in_reading_order(number, title):
    first, second = (
        f"\\begin{{equation}}\n{x}\n\\label{{eq-{x}}}\n\\end{{equation}}" for x in "ab"
    )
    (tree,) = parse([f"# Title\n\n{first}\n\nSo\n{second}\n\n## Section {{#sec-s}}"])
    numbering = Numbering(number)
    numbering.number_prose(tree, 2)
    assert {label: named.words for label, named in numbering.labels.items()} == {
        f"sec-{number}": title,
        f"eq-{number}-a": f"Equation ({number}.1)",
        f"eq-{number}-b": f"Equation ({number}.2)",
        f"sec-{number}-s": f"Section {number}.1",
    }


def test_pandoc_takes_all_fragments_at_once_and_escapes_them():
    fragments = [
        "## A & B",
        "50% of a_b, #1, {x}",
        "- one\n- two",
        "It cites [@he2016deep].",
    ]
    *latex, rest = write(parse(fragments), "latex", ["--natbib"])
    assert rest == ""
    assert latex[0] == r"\subsection{A \& B}"
    assert latex[1] == r"50\% of a\_b, \#1, \{x\}"
    assert latex[2].startswith(r"\begin{itemize}")
    assert latex[3] == r"It cites \citep{he2016deep}."


def write_edition(edition, run):
    stale = staleness.find_stale(find_sources(), run)
    build_editions([edition], stale, run, say=lambda line: None)


def build(run=SMOKE):
    write_edition("pdf", run)
    return run.build / "report.pdf"


def words_of(pdf):
    return "\n".join(page.extract_text() for page in PdfReader(pdf).pages)


@pytest.mark.report
@pytest.mark.programs("latexmk")
def test_a_report_holds_what_the_notebook_told(project, monkeypatch):
    foreign = project.home / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    spec = {"argv": ["false"], "display_name": "foreign", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(project.home / "jupyter"))
    # Two numbers of one expression.
    first, second = (
        (code(f"score = {{'own': {n}}}"), text('Here {{score["own"]}}.'))
        for n in (11, 22)
    )
    project.write("1_transfer", *FIRST, *first)
    project.write("2_saliency", *SECOND, *second)
    pdf = build()
    words = " ".join(words_of(pdf).split())
    for expected in (
        "25.0% of 4,000 in a_b & <50%>, see Figure 1.1, Table 1.1, Section 1.1 and ",
        "Equation (1.2).",
        "50% of A & B_c, “4,000” points",
        "Figure 2.1 It moves.",
        "See Figure 1.1, Section 1.1.2, Equation (1.2), Section 2.2, Table 1.2.",
        "- a_b & c",
        "printed → kept",
        "Simonyan and Zisserman, 2015",
        "profile smoke",
        "How to read this report Cells & 5% of notes.",
    ):
        assert expected in words
    assert "never shown" not in re.sub(r'print\("never shown"\)', "", words).lower()
    assert re.findall(r"Here (\d+)\.", words) == ["11", "22"]
    results = json.loads((project.build / "results.json").read_text())
    chapter = results["chapters"]["1_transfer"]
    assert (chapter["profile"], chapter["commit"]) == (
        "smoke",
        "",
    )  # this project is no checkout
    number = {
        "expression": "share:.1%",
        "text": "25.0%",
        "value": 0.25,
        "cell": "cell-3",
    }
    assert chapter["numbers"][0] == number
    last = [entry["numbers"][-1] for entry in results["chapters"].values()]
    assert [(number["expression"], number["value"]) for number in last] == [
        ('score["own"]', 11),
        ('score["own"]', 22),
    ]
    before = pdf.read_bytes()
    monkeypatch.setattr(execute, "execute", None)  # nothing may run from here on
    shutil.rmtree(project.build / "smoke" / "tex")
    for drawn in (project.home / "figures").glob("*.pdf"):
        drawn.write_bytes(b"that of another profile")
    assert build().read_bytes() == before

    project.write("1_transfer", *FIRST, *first, text("Only the prose is new."))
    assert "Only the prose is new." in words_of(build())

    last = pdf.read_bytes()
    project.write("1_transfer", *FIRST, *first, text(r"See $\undefinedcommand$."))
    said = r"Undefined control sequence.* at line \d+, '.*; see .*report\.log"
    with pytest.raises(LabreportError, match=said):
        build()
    assert pdf.read_bytes() == last


@pytest.mark.report
def test_what_a_cell_prints_is_one_output_however_it_came(project):
    lines = ["import time", "print(1, flush=True)", "time.sleep(0.5)", "print(2)"]
    project.write("1_transfer", code("\n".join(lines)))
    (source,) = find_sources()
    execute.run_notebooks([source], SMOKE, lambda line: None)
    executed = execute.read_executed(source, SMOKE)
    outputs = [cell.outputs for cell in executed.cells if cell.cell_type == "code"]
    assert [output.text for output in outputs[-1]] == ["1\n2\n"]


@pytest.mark.report
def test_a_run_has_its_profile_and_seed_and_says_what_it_was_made_from(project):
    run = Run("smoke", 4)
    cell = code("print(profile, seed)")
    cell.outputs = [new_output("stream", text="of a person's run")]
    path = project.write("1_transfer", cell, code(""), text("Words."))
    (source,) = find_sources()
    assert staleness.is_stale(source, run)
    execute.run_notebooks([source], run, lambda line: None)
    assert not staleness.is_stale(source, run)
    executed = execute.read_executed(source, run)
    assert [output.text for output in executed.cells[3].outputs] == ["smoke 4\n"]
    assert executed.cells[1].source == PARAMETERS
    made = executed.metadata.labreport
    assert made["inputs"] == staleness.fingerprint(source.read(), run)
    assert 0 < execute.last_duration(source, run) == made["seconds"]
    assert execute.last_duration(source, Run("quick", 4)) == 0
    path.write_text(path.read_text().replace("print(", "print(0, "))
    assert staleness.is_stale(source, run)


@pytest.mark.report
@pytest.mark.parametrize(
    ("step", "got"),
    [
        (
            "step = 1\nstep / 0",
            "ZeroDivisionError: division by zero in cell 6 (step = 1)",
        ),
        (
            "import os\nos._exit(1)",
            "a kernel that died (out of memory?) in cell 6 (import os)",
        ),
    ],
)
def test_a_failing_cell_is_named_and_loses_nothing(project, monkeypatch, step, got):
    monkeypatch.setattr(environment.joblib, "cpu_count", lambda: 2)
    notebook = read_notebook(project.write("1_transfer", code("print('fine')")))
    notebook.metadata.labreport = {"seconds": 1.0}  # it ran
    kept = nbformat.writes(notebook).encode()
    paths.write_atomically(project.build / "smoke" / "1_transfer.ipynb", kept)
    (project.build / "report.pdf").write_bytes(b"the last good one")

    project.write("1_transfer", text("A step:"), code("print('fine')"), code(step))
    project.write("2_beside", code("x = 1"))
    with pytest.raises(LabreportError) as caught:
        build()
    assert f"expected 1_transfer.ipynb to run, got {got}; correct it" in str(
        caught.value
    )
    assert (project.build / "smoke" / "1_transfer.ipynb").read_bytes() == kept
    assert (project.build / "report.pdf").read_bytes() == b"the last good one"
    failed = read_notebook(project.build / "smoke" / "1_transfer.failed.ipynb")
    assert failed.cells[4].outputs[0].text == "fine\n"
    if "ZeroDivisionError" in got:
        (error,) = failed.cells[5].outputs
        assert (error.ename, len(error.traceback) > 1) == ("ZeroDivisionError", True)
    beside = read_notebook(project.build / "smoke" / "2_beside.ipynb")
    assert beside.metadata.labreport["seconds"] > 0


@pytest.mark.report
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
def test_ctrl_c_ends_a_run_in_the_cell_where_it_is(project):
    begun = project.build / "begun"
    waiting = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\n"
    project.write("1_transfer", code(waiting + "time.sleep(600)"))
    command = [sys.executable, "-m", "labreport.cli", "run", "1", "--profile", "smoke"]
    process = subprocess.Popen(
        command, cwd=project.home, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not begun.exists():
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.endswith("labreport: stopped; what was finished is kept.\n")
    assert "Traceback" not in error
    failed = read_notebook(project.build / "smoke" / "1_transfer.failed.ipynb")
    assert failed.cells[-1].outputs[0].ename == "KeyboardInterrupt"


@pytest.mark.report
def test_code_that_changed_since_it_ran_stops_a_build(project):
    path = project.write("1_transfer", code("x = 1"))
    (source,) = find_sources()
    execute.run_notebooks([source], SMOKE, lambda line: None)
    path.write_text(path.read_text().replace("x = 1", "x = 2"))
    with pytest.raises(LabreportError, match="run the command again"):
        execute.read_executed(source, SMOKE)


@pytest.mark.report
def test_a_cell_whose_output_does_not_come_is_named_and_loses_nothing(
    project, monkeypatch
):
    run_cell = NotebookClient.async_execute_cell

    async def lose_output(client, cell, index):
        if "lost" in cell.source:
            what = "Timeout waiting for IOPub output"
            raise CellTimeoutError.error_from_timeout_and_cell(what, 60, cell)
        return await run_cell(client, cell, index)

    monkeypatch.setattr(NotebookClient, "async_execute_cell", lose_output)
    project.write("1_transfer", code("print('fine')"), code("print('lost')"))
    got = r"no answer of the kernel for 60 s in cell 5 \(print\('lost'\)\); correct it"
    with pytest.raises(LabreportError, match=got):
        build()
    failed = read_notebook(project.build / "smoke" / "1_transfer.failed.ipynb")
    assert failed.cells[3].outputs[0].text == "fine\n"


@pytest.mark.report
def test_a_kernel_that_does_not_start_is_one_sentence(project, monkeypatch):
    async def fail(client):
        raise RuntimeError("Kernel didn't respond in 60 seconds")

    monkeypatch.setattr(NotebookClient, "async_start_new_kernel_client", fail)
    project.write("1_transfer")
    got = r"got no kernel \(Kernel didn't respond in 60 seconds\); correct it"
    with pytest.raises(LabreportError, match=got):
        build()


@pytest.mark.report
def test_a_claim_below_a_cell_that_failed_is_a_mistake(project):
    failed = code("1 / 0", "raises-exception")
    project.write("1_transfer", failed, text("Sure. <!-- holds: 1 < 2 -->"))
    got = "the claim '1 < 2' to be true or false, got no value from a cell of code"
    with pytest.raises(LabreportError, match=got):
        write_edition("html", SMOKE)


@pytest.mark.report
@pytest.mark.parametrize(
    ("prose", "complaint"),
    [
        (
            "{{gone:.1%}}",
            r"cell 5 .*: expected a value of \{\{gone:.1%\}\}, "
            "got NameError: name 'gone'",
        ),
        (
            "True? <!-- holds: y > 1 -->",
            r"1_transfer, cell 5 \(True\? .*\): expected the claim 'y > 1' to be true "
            "or false, got NameError: name 'y' is not defined; correct it or the cell "
            "above.",
        ),
        (
            "Half? <!-- holds: x / 2 -->",
            "expected the claim 'x / 2' to be true or false, got 0.5; correct it",
        ),
        (
            "True? <!-- Holds: x > 0 -->",
            r"1_transfer, cell 5 \(True\? .*\): expected a claim, "
            "got '<!-- Holds: x > 0'",
        ),
        (
            "True? <!-- holds: x > 0",
            r"1_transfer, cell 5 \(True\? .*\): expected a comment that is closed",
        ),
    ],
)
@pytest.mark.parametrize("run", [SMOKE, QUICK])
def test_a_placeholder_or_a_claim_that_is_a_mistake_stops_a_build(
    project, run, prose, complaint
):
    project.write("1_transfer", code("x = 1"), text(prose))
    with pytest.raises(LabreportError, match=complaint):
        write_edition("html", run)
    assert not (project.build / "html").exists()


@pytest.mark.report
def test_a_claim_above_all_code_is_a_mistake(project):
    path = project.write("1_transfer")
    notebook = read_notebook(path)
    notebook.cells[0].source = "# Title\n\nSure. <!-- holds: 1 < 2 -->"
    nbformat.write(notebook, path)
    with pytest.raises(
        LabreportError,
        match=r"cell 1 .*: expected the claim '1 < 2' .*, got no value from a cell of",
    ):
        write_edition("html", QUICK)


DOUBTFUL = (
    code("x = 1"),
    text(
        "## Results\n\nBefore, which holds. <!-- holds: x == 1 --> "
        "Of {{x}} image all are right. <!-- holds: x > 1 --> "
        "After.\n\n- An item.\n- Another *one*, for sure. <!-- holds: x == 2 -->"
    ),
    text("A paragraph is true.\n\n<!-- holds: x == 3 -->"),
)
REFUTED = [
    "Chapter 1, Section 1.1 Results: “Of 1 image all are right.” (claim: x > 1)",
    "Chapter 1, Section 1.1 Results: “Another one, for sure.” (claim: x == 2)",
    "Chapter 1, Section 1.1 Results: “A paragraph is true.” (claim: x == 3)",
]


@pytest.mark.report
@pytest.mark.programs("latexmk")
def test_what_a_run_contradicts_is_marked_and_listed_and_stops_only_a_strict_build(
    project, capsys
):
    project.write("1_transfer", *DOUBTFUL)
    for _ in range(2):  # the second one finds everything up to date
        assert main(["report"]) == 0
        said = capsys.readouterr()
        assert said.out.splitlines()[-4:] == [
            "Sentences that do not hold in this run, and are marked in the text:",
            *(f"  {line}" for line in REFUTED),
        ]
        assert said.err == ""
        assert main(["report", "--strict"]) == 2
        said = capsys.readouterr()
        assert all(f"  {line}\n" in said.out for line in REFUTED)
        assert said.err.startswith(
            "labreport: expected sentences that hold in this run, got 3 that do not;"
        )
    mark = "[In this run this does not hold.]"
    page = (project.build / "html" / "1-transfer.html").read_text()
    assert page.count(f'<span class="refuted">{mark}</span>') == 3
    assert f'all are right. <span class="refuted">{mark}</span> After.' in page
    index = (project.build / "html" / "index.html").read_text()
    copy = (project.build / "notebooks" / "1_transfer.ipynb").read_text()
    assert copy.replace("\\", "").count(f"**{mark}**") == 3
    words = " ".join(words_of(project.build / "report.pdf").split())
    assert words.count(mark) == 3
    assert "Before, which holds. Of 1 image all are right. [In" in words
    for written in (words, unescape(index)):
        assert "Sentences that do not hold in this run" in written
        assert "Another one, for sure." in written


@pytest.mark.report
def test_smoke_looks_for_mistakes_only(project, capsys):
    project.write("1_transfer", *DOUBTFUL)
    assert main(["html", "--profile", "smoke", "--strict"]) == 0
    assert "does not hold" not in capsys.readouterr().out
    assert (
        "refuted"
        not in (project.build / "html" / "1-transfer.html")
        .read_text()
        .partition("</style>")[2]
    )


def test_outputs_depend_on_code_profile_and_data_but_not_on_prose(
    monkeypatch, tmp_path
):
    notebook = new_notebook(cells=[text("prose"), code("x = 1")])
    before = staleness.fingerprint(notebook, QUICK)
    notebook.cells[0].source = "other prose"
    notebook.cells.append(text("and more"))
    assert staleness.fingerprint(notebook, QUICK) == before
    notebook.cells[2].source = "and {{x}}"
    assert staleness.fingerprint(notebook, QUICK) != before
    notebook.cells[2].source = "<!-- holds: x > 0 -->"
    assert staleness.fingerprint(notebook, QUICK) != before
    notebook.cells.pop()
    assert staleness.fingerprint(notebook, Run("full")) != before
    monkeypatch.setenv("DLAPPS_DATA", str(tmp_path))
    assert staleness.fingerprint(notebook, QUICK) != before
    monkeypatch.delenv("DLAPPS_DATA")
    notebook.cells[1].source = "x = 2"
    assert staleness.fingerprint(notebook, QUICK) != before


def test_changed_results_make_a_notebook_stale_that_mentions_them(project):
    notebook = read_notebook(
        project.write("1_first", code('results.load("study-runs")'))
    )
    before = staleness.fingerprint(notebook, QUICK)
    (project.home / "data" / "results").mkdir(parents=True)
    (project.home / "data" / "results" / "study-old").mkdir()
    for other in ("other", "stud"):
        (project.home / "data" / "results" / f"{other}-runs.json").write_text("{}")
    assert staleness.fingerprint(notebook, QUICK) == before
    (project.home / "data" / "results" / "study-runs.json").write_text("{}")
    assert staleness.fingerprint(notebook, QUICK) != before


def test_changed_results_make_a_notebook_stale_whose_module_reads_them(project):
    notebook = read_notebook(project.write("1_first", code("import moons")))
    module = project.home / "notebooks" / "moons.py"
    module.write_text('"""Not suns."""\nvalues = load("moons")\n')
    before = staleness.fingerprint(notebook, QUICK)
    results = project.home / "data" / "results"
    paths.write_atomically(results / "suns.json", b"{}")
    assert staleness.fingerprint(notebook, QUICK) == before
    paths.write_atomically(results / "moons.json", b"{}")
    assert staleness.fingerprint(notebook, QUICK) != before


def test_what_does_not_fit_the_page_is_said(tmp_path):
    said = "Overfull \\hbox ({}pt too wide) in paragraph at lines 1--2\n"
    float_ = "LaTeX Warning: Float too large for page by 73.6pt on input line 3.\n"
    (tmp_path / "report.log").write_text(
        said.format("7.25") + said.format("4.9") + float_
    )
    wide, tall = typeset.find_overflows(tmp_path)
    assert "a line 7.25 pt too wide" in wide
    assert "a figure or table 73.6 pt taller than the page" in tall
    (tmp_path / "report.log").write_text(said.format("5.0"))
    assert typeset.find_overflows(tmp_path) == []


def test_figures_and_tables_are_read_in_the_order_in_which_a_cell_shows_them():
    shown = [("animation", "first"), ("table", "rows"), ("figure", "second")]
    outputs = []
    for kind, name in shown:
        message = {"kind": kind, "name": name, "caption": f"Caption of {name}."}
        outputs.append(new_output("display_data", {MIME: message}))
    cell = new_code_cell("show()", outputs=outputs)
    notebook = new_notebook(cells=[cell])
    captions = [fragment.text for fragment in fragments(notebook)]
    assert captions == [f"Caption of {name}." for _, name in shown]


def test_a_notebook_of_an_old_format_gets_names_for_its_cells(tmp_path):
    cell = {"cell_type": "markdown", "metadata": {}, "source": "# Title"}
    content = {"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": [cell]}
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(content), encoding="utf-8")
    notebook = read_notebook(path)
    assert [cell.id for cell in notebook.cells] == ["cell-1"]
    path.write_text(json.dumps({"nbformat": 3, "worksheets": []}), encoding="utf-8")
    with pytest.raises(LabreportError, match="got nbformat 3 instead of 4; restore"):
        read_notebook(path)
