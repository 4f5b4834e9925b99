"""The verbs: exit codes, and one sentence for wrong input."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import code, text

from labreport.cli import main

HEAVY = {"torch", "matplotlib", "nbclient", "nbconvert"}


@pytest.mark.parametrize(
    ("begin", "heavy"),
    [
        ("labreport.cli; labreport.cli._parser()", HEAVY | {"numpy"}),
        ("labreport.editions.committed", HEAVY),  # JupyterLab's server, for its hook
        (
            "labreport.notebook",
            {"torch", "scipy", "nbclient", "nbconvert"},
        ),  # each kernel
    ],
)
def test_what_is_called_often_loads_nothing_heavy(begin, heavy):
    command = f"import sys, {begin}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


@pytest.mark.parametrize(
    ("names", "arguments", "sentence"),
    [
        ("", "report", "expected notebooks such as 1_first_chapter.ipynb, got none in"),
        (
            "1_a",
            "report --profile fast",
            "expected a profile among smoke, quick, full, got 'fast'; choose",
        ),
        (
            "2_b 1_a",
            "run 7",
            "expected a chapter among 1 (1_a), 2 (2_b), got '7'; choose one.",
        ),
        (
            "1_a",
            "run --seed -1",
            "expected --seed from 0, got -1; name another.",
        ),
        (
            "1_a",
            "study nothing",
            "expected a function make_nothing() in ",
        ),
    ],
)
def test_wrong_input_is_one_sentence(project, capsys, names, arguments, sentence):
    for name in names.split():
        project.write(name)
    assert main(arguments.split()) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"labreport: {sentence}")
    assert complaint.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(project, capsys):
    project.write("1_transfer")
    project.build.write_text("a file in the way")
    assert main(["run", "--profile", "smoke"]) == 2
    complaint = capsys.readouterr().err
    assert re.fullmatch(
        r"labreport: expected files and folders .*, got .*build.*; .*\.\n", complaint
    )


@pytest.mark.parametrize("arguments", [["report"], ["html"], ["run"], ["check"]])
def test_a_verb_that_needs_a_report_says_so(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.delenv("LABREPORT_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    purpose = f"labreport {arguments[0]}"
    expected = f"a folder with report/report.toml for {purpose}, got {tmp_path}; change"
    assert expected in capsys.readouterr().err
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path / "mistyped"))
    assert main(arguments) == 2
    assert f"for {purpose}, got {tmp_path}/mistyped; change" in capsys.readouterr().err
    assert not (tmp_path / "mistyped").exists()


def test_a_number_of_threads_that_is_none_stops_a_build_in_one_sentence(
    project, monkeypatch, capsys
):
    project.write("1_transfer")
    monkeypatch.setenv("LABREPORT_THREADS", "none")
    assert main(["report"]) == 2
    sentence = (
        "expected a number of threads in LABREPORT_THREADS, got 'none'; set 1 or more."
    )
    assert capsys.readouterr().err == f"labreport: {sentence}\n"


def test_check_says_when_all_is_well(project, capsys):
    project.write(
        "1_transfer", text("Why?", "question", number="1"), text("Because.", "answer")
    )
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "Nothing to complain about.\n"


def test_check_lists_what_to_mend(project, capsys):
    project.write(
        "1_transfer",
        code('chapter.show_figure(f, "lonely", "See @fig-gone.")'),
        code('chapter.show_figure(g, name="far", caption="Again.")'),
        text("{{2 * x}}, `{{not * evaluated}}` and @nobody2020work"),
        text("Why?", "question", number="1"),
        text("## A section", "answer"),
        text("Why not?", "question", number="2"),
    )
    assert main(["check"]) == 1
    complaints = capsys.readouterr().out
    for words in (
        "expected names, attributes and literal keys",
        "cell 9 (Why not?): a question without an answer",
        "no text refers to the figure @fig-1-lonely",
        "expected a reference to something shown, got @fig-1-gone; correct it.",
        "expected a work in report/references.bib, got @nobody2020work; add it",
    ):
        assert words in complaints
    assert complaints.count("got 2 * x; compute it in the cell above.") == 1
    assert "got not * evaluated" not in complaints


def test_check_names_a_placeholder_above_all_code_and_knows_a_table_of_runs(
    project, capsys
):
    table = 'table = study.table(["a"], ["score"])\n'
    shown = 'chapter.show_table(table, "scores", "As @fig-gone.")'
    sentence = text("{{run.score:.2f}}, @tab-scores")
    path = project.write("1_transfer", code(table + shown), sentence)
    path.write_text(
        path.read_text().replace(
            "# A chapter", "# A chapter of {{number}}\\n\\nSo. <!-- holds: 1 < 2 -->"
        )
    )
    assert main(["check"]) == 1
    where = "1_transfer, cell 1 (# A chapter of {{number}})"
    assert capsys.readouterr().out.splitlines() == [
        f"{where}: {{{{number}}}} above all code, where nothing has a value yet",
        f"{where}: 1 < 2 above all code, where nothing has a value yet",
        "1_transfer: expected a reference to something shown, got @fig-1-gone; "
        "correct it.",
    ]


@pytest.mark.parametrize(
    ("cell", "place", "sentence"),
    [
        (
            text("Words.\n\n# Again"),
            4,
            "one top heading (#) and sections (##) below, got # Again;",
        ),
        (None, 1, "expected a top heading (# Title), got none;"),
        (
            text("## A {#sec-my_part}"),
            4,
            "a label such as sec-first-part, got sec-my_part; use small",
        ),
        (
            code("chapter.show_figure(f, 'a', 'A')\nchapter.show_figure(g, 'a', 'B')"),
            4,
            "expected one use of the label fig-1-a, got one in cell 4 and one in cell",
        ),
        (
            code("for name in names:\n    chapter.show_figure(f, name, 'A')"),
            4,
            "expected the name of each figure as it is, such as 'cat', got one that",
        ),
        (
            text("## A {#part}"),
            4,
            "expected a label such as sec-first-part, got part; use small",
        ),
        (
            text(r"\begin{equation}x\label{eq-X}\end{equation}"),
            4,
            "such as eq-first-part, got eq-X",
        ),
        (
            text("\\begin{equation*}x\\label{eq-x}\\end{equation*}"),
            4,
            "expected a label in an equation with a number, got eq-x in equation*;",
        ),
        (
            text("$x = {{x}}$"),
            4,
            "expected a formula without placeholders, got x = {{0}};",
        ),
        (
            text("```python\nx"),
            4,
            "pandoc can read, got '```python' (a block left open);",
        ),
        (
            text("Why?", "question"),
            4,
            'metadata "question": {"number": "3"}, or "3a", got None;',
        ),
        (text("Why?", "question", number="3.5"), 4, "or \"3a\", got '3.5';"),
        (text("Why?", "question", number=[3]), 4, 'or "3a", got [3];'),
    ],
)
def test_a_mistake_of_structure_stops_a_build(
    project, capsys, monkeypatch, cell, place, sentence
):
    monkeypatch.setattr("labreport.editions.build.run_notebooks", None)
    path = project.write("1_transfer", *[cell] * bool(cell))
    if not cell:
        path.write_text(path.read_text().replace("# A chapter", "A chapter"))
    assert main(["html"]) == 2
    error = capsys.readouterr().err.removeprefix("labreport: ")
    assert error.startswith(f"1_transfer, cell {place}")
    assert sentence in error
    assert error.count("\n") == 1
    assert main(["check"]) != 0
    assert error in "".join(capsys.readouterr()).replace("labreport: ", "")


def test_a_label_of_two_sections_stops_a_build(project, capsys, monkeypatch):
    monkeypatch.setattr("labreport.editions.build.run_notebooks", None)
    project.write("1_transfer", text("## A {#sec-part}"), text("## B {#sec-part}"))
    assert main(["html"]) == 2
    wanted = (
        "expected one use of the label sec-1-part, got one in cell 4 and one in cell"
    )
    assert wanted in capsys.readouterr().err


def test_run_takes_numbers_names_and_files(project, monkeypatch):
    ran = []
    run = "labreport.editions.execute.run_notebooks"
    monkeypatch.setattr(run, lambda chosen, *_: ran.append([s.name for s in chosen]))
    project.write("1_a")
    project.write("2_b")
    for given in (["2"], ["2_b"], ["2_b.ipynb"], []):
        assert main(["run", *given]) == 0
    assert ran == [["2_b"]] * 3 + [["1_a", "2_b"]]
