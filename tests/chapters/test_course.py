"""The course for nbgrader: what students get, how it is graded, and what a submission
cannot do.
"""

import csv
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import nbformat
import pytest
from conftest import CHECKOUT, code, skip_unless_fetched, text
from nbclient import execute

from labreport import LabreportError, cli
from labreport.build import read_report
from labreport.course import course
from labreport.report import Report, tags
from labreport.run import Run

NOTEBOOKS = CHECKOUT / "notebooks"
CHAPTERS = sorted(path.stem for path in NOTEBOOKS.glob("[1-4]_*.ipynb"))
SOLUTION = """seed = 0


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(context, features, weight):
        context.weight = weight
        return features.view_as(features)

    @staticmethod
    def backward(context, gradient):
        return -context.weight * gradient, None


torch.manual_seed(seed)"""
NAME = "3_domain_adaptation"
TEST = "reversal_test"
MISSING = "expected `Reverse`, got no such variable: the exercise asks for it."
needs_nbgrader = pytest.mark.skipif(find_spec("nbgrader") is None, reason="no nbgrader")
# Statements that define b, between // and //.
MARKED = [
    "a = 1\n//b = a//\nc = b",
    "//b = {}\nfor x in c:\n    b[x] = 1//\nb",
    "a\n//@c\n@d\ndef b():\n    return 1//",
    "//with c:\n    a, b = c//",
]


@pytest.fixture
def tiny(project):
    """A chapter with an exercise of two points, and a question with two answers and
    what is measured between them.
    """
    exercise = code(SOLUTION, "exercise")
    exercise.metadata["exercise"] = {"defines": ["Reverse"], "points": 2}
    path = project.write(
        NAME,
        code("import torch"),
        exercise,
        text("**Question 1a**\n\nWhy?", "question", points=3, rubric="3: because."),
        text("It is so, @sec-why.", "answer"),
        code("shown = 1"),
        text("As {{shown}} shows.", "answer"),
        text("## See {#sec-why}"),
        tags=["title"],
    )
    path.write_text(path.read_text().replace('"cell-4"', '"reversal"'))
    shutil.copytree(NOTEBOOKS / "checks", path.parent / "checks")
    return path


def make(report):
    """The assignment of the only chapter of a report."""
    (document,), _ = read_report(report.sources(), Run(report, "smoke"))
    return course.make_notebook(document, report)


def test_a_test_stands_behind_its_exercise_and_an_answer_behind_its_measurement(
    tiny, project
):
    notebook = make(project.report)
    marks = {cell.id: cell.metadata.get("nbgrader") for cell in notebook.cells}
    points = {name: each.get("points") for name, each in marks.items() if each}
    assert points == {"reversal": None, TEST: 2, "cell-5": None, "answer-1a": 3}
    assert [name for name in points if marks[name]["locked"]] == [TEST, "cell-5"]
    order = f"cell-3 reversal_task reversal {TEST} cell-5 cell-7 answer-1a cell-9"
    assert list(marks)[4:] == order.split()
    assert notebook.cells[6].source == course.mark_solution(SOLUTION, {"Reverse"})
    answer = notebook.cells[-2].source
    assert re.search(r"It is so, \[Section\s1.1\].*\n\nAs \{\{shown\}\} sh", answer)
    assert "rubric" not in str([cell.metadata for cell in notebook.cells])


@pytest.mark.parametrize("marked", MARKED)
def test_students_write_the_statements_that_define_what_is_asked(marked):
    before, solution, behind = marked.split("//")
    plain = before + solution + behind
    expected = f"{before}{course.BEGIN}\n{solution}\n{course.END}{behind}"
    assert course.mark_solution(plain, {"b"}) == expected


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_exercise_has_its_check_which_asks_for_what_it_defines(chapter):
    tasks = course.read_tasks(NOTEBOOKS / "checks" / f"{chapter[2:]}.py")
    for cell in nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells:
        if "exercise" in tags(cell):
            task = tasks.pop(cell.id.replace("-", "_"))
            for name in cell.metadata.exercise["defines"]:
                assert f"`{name}" in task
    assert tasks == {}


@pytest.mark.report
def test_beside_an_assignment_lies_what_its_chapter_read(
    tiny, project, tmp_path, monkeypatch, capsys
):
    package = tiny.parent / "drawings"
    package.mkdir()
    (package / "one.py").write_text("from drawings import two")
    (package / "two.py").write_text("width = 1")
    (package / "other.py").write_text("")
    notebook = tiny.read_text().replace("import torch", "import torch, drawings.one")
    tiny.write_text(notebook)
    make_course = ["class", str(tmp_path / "course")]
    monkeypatch.setattr(course, "find_spec", lambda package: None)
    assert cli.main(make_course) == 2
    assert 'run pip install "labreport[class]".' in capsys.readouterr().err
    monkeypatch.setattr(course, "find_spec", lambda package: package)
    assert cli.main(make_course) == 0, capsys.readouterr().err
    folder = tmp_path / "course" / "source" / NAME
    modules = [path.name for path in sorted(folder.glob("drawings/*"))]
    assert modules == ["one.py", "two.py"]
    assert (folder / "checks" / "domain_adaptation.py").is_file()
    assert (folder / "report" / "references.bib").is_file()
    tiny.write_text(notebook.replace("shown = 1", "shown = 2"))
    capsys.readouterr()
    assert cli.main(make_course) == 2
    told = capsys.readouterr()
    assert "expected a new folder, got one with " in told.err
    assert told.out == ""  # nothing ran


@pytest.mark.parametrize(
    ("typed", "wrong", "sentence"),
    [
        ('"Reverse"', '"other"', "names that it defines, got other"),
        ('"reversal"', '"other"', "a check other in checks/domain_adaptation.py"),
    ],
)
def test_a_mistake_is_one_sentence(tiny, project, typed, wrong, sentence):
    tiny.write_text(tiny.read_text().replace(typed, wrong))
    with pytest.raises(LabreportError, match=f"cell .*expected .*{sentence}"):
        make(project.report)


@pytest.fixture
def alone(monkeypatch):
    """No report about, and the smallest profile, as where a class is graded."""
    monkeypatch.delenv("LABREPORT_HOME", raising=False)
    monkeypatch.delenv("DLAPPS_DATA", raising=False)
    monkeypatch.setenv("LABREPORT_PROFILE", "smoke")


@pytest.fixture(scope="module")
def chapters(tmp_path_factory):
    """The folder of the course of the committed chapters."""
    skip_unless_fetched()
    home = tmp_path_factory.mktemp("report")
    (home / "report").mkdir()
    for name in ("report.toml", "profiles.toml", "references.bib"):
        shutil.copy(CHECKOUT / "report" / name, home / "report")
    shutil.copytree(NOTEBOOKS, home / "notebooks")
    shutil.copytree(CHECKOUT / "data" / "results", home / "data" / "results")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DLAPPS_DATA", raising=False)
        patch.setattr(course, "find_spec", lambda package: package)
        course.write_course(Run(Report(home), "smoke"), home / "course", print)
    return home / "course"


@pytest.mark.solutions
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_solution_passes_all_tests_of_its_chapter(chapter, alone, chapters):
    folder = chapters / "source" / chapter
    execute(nbformat.read(folder / f"{chapter}.ipynb", 4), folder)


class Course:
    """A course of which one assignment is graded, with nbgrader as a teacher calls
    it.
    """

    def __init__(self, folder, name):
        self.folder = folder
        self.name = name
        self.call("generate_assignment", name)
        self.solution = self.read("source")
        self.release = self.read("release")

    def call(self, *arguments):
        command = [sys.executable, "-m", "nbgrader", *arguments]
        subprocess.run(command, cwd=self.folder, capture_output=True, check=True)

    def read(self, part):
        return nbformat.read(self.folder / part / self.name / f"{self.name}.ipynb", 4)

    def submit(self, student, notebook):
        path = self.folder / "submitted" / student / self.name / f"{self.name}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)

    def grade(self, *options):
        """The score of each student."""
        self.call("autograde", self.name, *options)
        self.call("export", "--assignment", self.name)
        with (self.folder / "grades.csv").open() as file:
            rows = list(csv.DictReader(file))
        return {row["student_id"]: float(row["score"]) for row in rows}


@needs_nbgrader
@pytest.mark.nbgrader
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_solution_has_all_points_and_a_blank_none(chapter, alone, chapters):
    made = Course(chapters, chapter)
    made.submit("all", made.solution)
    made.submit("none", made.release)
    tests = [cell for cell in made.solution.cells if cell.id.endswith("_test")]
    points = sum(cell.metadata.nbgrader.points for cell in tests)
    assert made.grade() == {"all": points, "none": 0}


@needs_nbgrader
@pytest.mark.nbgrader
def test_grading_outlives_what_is_handed_in(tiny, project, tmp_path, alone):
    course.write_course(Run(project.report, "smoke"), tmp_path / "course", print)
    made = Course(tmp_path / "course", NAME)
    for secret in ("context.weight", "because", "It is so"):
        assert secret not in str(made.release)
    flood = f"{SOLUTION}\nprint('x' * 100_000_000)"
    sources = {"overwritten": "pass", "loop": "while True: pass", "flood": flood}
    for student, source in sources.items():
        notebook = made.read("release")
        for cell in notebook.cells:
            if cell.id == "reversal":
                cell.source = source
            elif cell.id == TEST:
                cell.source = "assert True"
        made.submit(student, notebook)
    made.release.cells = [cell for cell in made.release.cells if cell.id != TEST]
    made.submit("deleted", made.release)
    scores = made.grade("--Execute.timeout=30")
    assert scores == {"overwritten": 0, "loop": 0, "flood": 2, "deleted": 0}
    assert len(str(made.read("autograded/flood"))) < 1e6
    assert "CellTimeoutError" in str(made.read("autograded/loop"))
    made.call("generate_feedback", NAME)
    for student in ("deleted", "overwritten"):
        page = (made.folder / "feedback" / student / NAME / f"{NAME}.html").read_text()
        assert MISSING in " ".join(page.split())
        assert "3: because." in page
