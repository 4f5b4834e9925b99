"""The course for nbgrader: what students get, how it is graded, and what a submission
cannot do.
"""

import csv
import os
import re
import subprocess
import sys
from importlib.util import find_spec

import nbformat
import pytest
from conftest import CHECKOUT, code, text
from nbclient import NotebookClient

from labreport import LabreportError, cli, paths
from labreport.chapters import code_cells, tags
from labreport.course import course
from labreport.editions.execute import OwnKernelManager
from labreport.editions.sources import find_sources, select_sources
from labreport.notebook.code import used_names

NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("[1-4]_*.ipynb"))
CHAPTERS = {path.stem: path for path in NOTEBOOKS}
CHECKS = CHECKOUT / "notebooks" / "checks"
# The modules of notebooks/plots that a chapter imports, one of them through another.
PLOTS = {
    "1_transfer_learning": ["transfer", "diagrams"],
    "2_visualizing_networks": ["visualizing"],
    "3_domain_adaptation": ["dann", "diagrams"],
    "4_generative_adversarial_networks": ["gan", "diagrams"],
}
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
NAME, TEST = "3_domain_adaptation", "reversal_test"
MISSING = "expected `Reverse`, got no such variable: the exercise asks for it."
MAGIC = code("%time a = 1", "exercise")
MAGIC.metadata["exercise"] = {"defines": ["a"]}
needs_nbgrader = pytest.mark.skipif(find_spec("nbgrader") is None, reason="no nbgrader")


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
        text("Why?", "question", number="1a", points=3, rubric="3: because."),
        text("It is so.", "answer"),
        code("shown = 1"),
        text("As {{shown}} shows.", "answer"),
        text("See."),
        tags=["title"],
    )
    path.write_text(path.read_text().replace('"cell-4"', '"reversal"'))
    (path.parent / "checks").symlink_to(CHECKS)
    return find_sources()[0]


def test_a_test_stands_behind_its_exercise_and_an_answer_behind_its_measurement(tiny):
    notebook = course.make_notebook(tiny)
    marks = {cell.id: cell.metadata.get("nbgrader") for cell in notebook.cells}
    points = {name: each.get("points") for name, each in marks.items() if each}
    assert points == {"reversal": None, TEST: 2, "cell-5": None, "answer-1a": 3}
    assert [name for name in points if marks[name]["locked"]] == [TEST, "cell-5"]
    order = f"cell-3 reversal_task reversal {TEST} cell-5 cell-7 answer-1a cell-9"
    assert list(marks)[4:] == order.split()
    given, rest = notebook.cells[6].source.split("### BEGIN SOLUTION\n")
    assert given.strip() == "seed = 0"
    assert rest.split("### END SOLUTION")[1].strip() == "torch.manual_seed(seed)"
    assert "rubric" not in str([cell.metadata for cell in notebook.cells])


def test_an_unknown_reference_stops_a_class(tiny):
    notebook = tiny.path.read_text()
    tiny.path.write_text(notebook.replace("See.", "See @sec-nowhere."))
    with pytest.raises(LabreportError, match="something shown, got @sec-3-nowhere"):
        course.make_notebook(tiny)


@pytest.mark.parametrize(
    ("lines", "solution"),
    [
        (["a = 1", "b = a", "c = b"], ["b = a"]),
        (
            ["b = {}", "for x in c:", "    b[x] = 1", "b"],
            ["b = {}", "for x in c:", "    b[x] = 1"],
        ),
        (
            ["b = []", "for x in c:", "    b.append(x)"],
            ["b = []", "for x in c:", "    b.append(x)"],
        ),
        (
            [
                "b = f()",
                "for x in c:",
                "    train(b, x)",
                "for x in d:",
                "    a[x] = b",
            ],
            ["b = f()", "for x in c:", "    train(b, x)"],
        ),
        (["b = [1]", "for x in b:", "    print(b.index(x))"], ["b = [1]"]),
        (
            ["a", "@c", "@d", "def b():", "    return 1"],
            ["@c", "@d", "def b():", "    return 1"],
        ),
        (["with c:", "    a, b = c"], ["with c:", "    a, b = c"]),
    ],
)
def test_students_write_the_statements_that_define_what_is_asked(lines, solution):
    marked = course.mark_solution("\n".join(lines), {"b"}).split("\n")
    begin = marked.index(course.BEGIN)
    end = marked.index(course.END)
    assert marked[begin + 1 : end] == solution
    assert marked[:begin] + solution + marked[end + 1 :] == lines


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_exercise_has_its_check_which_asks_for_all_that_is_needed(chapter):
    tasks = course.read_tasks(CHECKS / f"{chapter[2:]}.py")
    written = set()  # what only a solution defines
    exercises = []
    for cell in code_cells(nbformat.read(CHAPTERS[chapter], 4)):
        shown = cell.source
        if "exercise" in tags(cell):
            names = set(cell.metadata.exercise["defines"])
            before, rest = course.mark_solution(cell.source, names).split(course.BEGIN)
            solution, behind = rest.split(course.END)
            exercises.append(cell.id.replace("-", "_"))
            assert names <= set(re.findall(r"`(\w+)", tasks[exercises[-1]]))
            written |= used_names(solution)[1] - names
            shown = before + behind
        loaded, stored = used_names(shown)
        assert not loaded & written, f"{cell.id} needs what no exercise asks for"
        written -= stored
    assert sorted(exercises) == sorted(tasks)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_beside_an_assignment_lies_what_tests_it_and_what_it_reads(
    chapter, monkeypatch
):
    monkeypatch.setenv("LABREPORT_HOME", str(CHECKOUT))
    (source,) = select_sources([chapter])
    beside = course.find_files_beside(course.make_notebook(source))
    assert {name for name in beside if name.endswith(".py")} == {
        "checks/__init__.py",
        "checks/expect.py",
        f"checks/{chapter[2:]}.py",
        "plots/__init__.py",
        *(f"plots/{name}.py" for name in PLOTS[chapter]),
    }
    source_code = "".join(cell.source for cell in code_cells(source.read()))
    loaded = re.findall(r'results\.load\w*\("([\w-]+)"\)', source_code)
    assert loaded
    for name in loaded:
        files = {f"data/results/{name}.json", f"data/results/{name}.npz"}
        assert files & beside.keys()
    assert {"report/profiles.toml", "report/references.bib"} <= beside.keys()


def test_beside_an_assignment_lies_a_module_that_another_imports(tiny):
    folder = tiny.path.parent
    package = folder / "drawings"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tiny.py").write_text("from drawings import lines")
    (package / "lines.py").write_text("width = 1")
    (package / "other.py").write_text("width = 2")
    (folder / "alone.py").write_text("import torch")
    notebook = course.make_notebook(tiny)
    notebook.cells[6].source = "import alone\nfrom drawings.tiny import lines"
    beside = course.find_files_beside(notebook)
    assert {name for name in beside if not name.startswith("checks/")} == {
        "alone.py",
        "drawings/__init__.py",
        "drawings/tiny.py",
        "drawings/lines.py",
        "report/references.bib",
    }
    assert beside["drawings/lines.py"].read_text() == "width = 1"


def test_a_course_needs_nbgrader_checks_and_a_new_folder(
    tiny, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(course, "find_spec", lambda package: None)
    assert cli.main(["class", str(tmp_path / "course")]) == 2
    complaint = capsys.readouterr().err
    assert "expected the package nbgrader, got none" in complaint
    assert 'run pip install "labreport[class]".' in complaint
    monkeypatch.undo()
    monkeypatch.setattr(course, "find_spec", lambda package: package)
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    assert cli.main(["class", str(tmp_path / "course")]) == 0
    assert (tmp_path / "course" / "source" / NAME / f"{NAME}.ipynb").is_file()
    assert cli.main(["class", str(tmp_path / "course")]) == 2
    there = tmp_path / "course" / "README.md"
    assert f"expected a new folder, got one with {there};" in capsys.readouterr().err
    mistakes = {
        '"Reverse"': "expected code of reversal that defines other, got none",
        '"reversal"': "expected a check other in .*, got none",
    }
    for wrong, said in mistakes.items():
        tiny.path.write_text(tiny.path.read_text().replace(wrong, '"other"'))
        with pytest.raises(LabreportError, match=said):
            course.make_notebook(tiny)


def test_questions_and_answers_have_their_references_in_words(tiny):
    notebook = tiny.path.read_text()
    for words in ("Why?", "It is so.", "See."):
        notebook = notebook.replace(words, f"{words} See @sec-reverse.")
    tiny.path.write_text(notebook.replace("# A chapter", "# A chapter {#sec-reverse}"))
    cells = {cell.id: cell.source for cell in course.make_notebook(tiny).cells}
    for name in ("cell-5", "answer-1a", "cell-9"):
        assert "See Chapter 3." in cells[name]


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (text("Why?", "question"), 'cell 4 .*"question": {"number": "3"}.*got None;'),
        (code("a = 1", "exercise"), '"exercise": {"defines": .*of cell-3, got no name'),
        (MAGIC, "code of cell-3 that is plain Python, got a magic;"),
    ],
)
def test_a_cell_without_its_metadata_is_one_sentence(project, cell, sentence):
    project.write(NAME, cell)
    with pytest.raises(LabreportError, match=f"expected .*{sentence}|{sentence}"):
        course.make_notebook(find_sources()[0])


def run(notebook, folder):
    """The errors of its cells, by id, each as a kernel of this environment says it."""
    client = NotebookClient(
        notebook,
        kernel_manager_class=OwnKernelManager,
        resources={"metadata": {"path": str(folder)}},
        allow_errors=True,
    )
    client.execute()
    errors = {}
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                errors[cell.id] = output.evalue
    return errors


@pytest.mark.solutions
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_solution_passes_all_tests_of_its_chapter(
    chapter, alone, tmp_path, monkeypatch
):
    monkeypatch.setenv("LABREPORT_HOME", str(CHECKOUT))
    (source,) = select_sources([chapter])
    notebook = course.make_notebook(source)
    for name, path in course.find_files_beside(notebook).items():
        paths.write_atomically(tmp_path / name, path.read_bytes())
    monkeypatch.delenv("LABREPORT_HOME")
    assert run(notebook, tmp_path) == {}


@pytest.mark.solutions
def test_without_nbgrader_a_student_reads_the_same_sentence(tiny):
    notebook = course.make_notebook(tiny)
    notebook.cells[6].source = "pass"
    [(cell, message)] = run(notebook, tiny.path.parent).items()
    assert cell == TEST
    assert message.replace("\n", " ") == MISSING


@pytest.fixture
def alone(monkeypatch):
    """No report about, and the smallest profile, as where a class is graded."""
    monkeypatch.delenv("LABREPORT_HOME", raising=False)
    monkeypatch.delenv("DLAPPS_DATA", raising=False)
    monkeypatch.setenv("LABREPORT_PROFILE", "smoke")


class Course:
    """A course of one assignment, with nbgrader as a teacher calls it."""

    def __init__(self, folder, name):
        course.write_course(folder)
        self.folder = folder
        self.name = name
        self.call("generate_assignment", name)
        self.solution = self.read("source")
        self.release = self.read("release")

    def call(self, *arguments):
        environment = dict(os.environ)
        environment.pop("LABREPORT_HOME", None)
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return " ".join(done.stdout.split())

    def read(self, part):
        return nbformat.read(self.folder / part / self.name / f"{self.name}.ipynb", 4)

    def submit(self, student, notebook):
        path = self.folder / "submitted" / student / self.name / f"{self.name}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)

    def validate(self, notebook):
        """What nbgrader says of a notebook in the folder that students get."""
        path = self.folder / "release" / self.name / f"{self.name}.ipynb"
        nbformat.write(notebook, path)
        return self.call("validate", str(path))

    def grade(self, *options):
        """The score of each student."""
        self.call("autograde", self.name, *options)
        self.call("export")
        with (self.folder / "grades.csv").open() as file:
            return {
                row["student_id"]: float(row["score"]) for row in csv.DictReader(file)
            }


@needs_nbgrader
@pytest.mark.nbgrader
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_solution_has_all_points_and_a_blank_none(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("LABREPORT_HOME", str(CHECKOUT))
    sources = select_sources([chapter])
    monkeypatch.setattr(course, "find_sources", lambda: sources)
    made = Course(tmp_path / "course", chapter)
    made.submit("all", made.solution)
    made.submit("none", made.release)
    tests = [cell for cell in made.solution.cells if cell.id.endswith("_test")]
    points = sum(cell.metadata.nbgrader.points for cell in tests)
    assert made.grade() == {"all": points, "none": 0}


@needs_nbgrader
@pytest.mark.nbgrader
def test_grading_outlives_what_is_handed_in(tiny, tmp_path):
    made = Course(tmp_path / "course", NAME)
    handed_out = str(made.release)
    for secret in ("context.weight", "because", "It is so"):
        assert secret not in handed_out
    flood = f"{SOLUTION}\nprint('x' * 100_000_000)"
    sources = {
        "deleted": "pass",
        "overwritten": "pass",
        "loop": "while True: pass",
        "flood": flood,
    }
    for student, source in sources.items():
        notebook = made.read("release")
        cells = {cell.id: cell for cell in notebook.cells}
        cells["reversal"].source = source
        cells[TEST].source = "assert True"
        if student == "deleted":
            notebook.cells.remove(cells[TEST])
        made.submit(student, notebook)
    made.submit("right", made.solution)
    made.submit("blank", made.release)
    assert "Success!" in made.validate(made.solution)
    assert MISSING in made.validate(made.release)
    scores = made.grade("--Execute.timeout=30")
    assert scores == dict.fromkeys([*sources, "blank"], 0) | {"flood": 2, "right": 2}
    assert len(str(made.read("autograded/flood"))) < 1e6
    assert "CellTimeoutError" in str(made.read("autograded/loop"))
    made.call("generate_feedback", NAME)
    for student in ("deleted", "overwritten", "blank"):
        page = (made.folder / "feedback" / student / NAME / f"{NAME}.html").read_text()
        assert MISSING in " ".join(page.split())
        assert "3: because." in page
