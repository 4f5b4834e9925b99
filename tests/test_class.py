"""A class of many: each submission costs its own points only, and points come from the chapter and the checks alone."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from conftest import Project, code, text
from nbformat.v4 import new_output

from dlapps.classroom import fence, marking
from dlapps.classroom.checks import CHAPTERS
from dlapps.classroom.editions import INVITATION
from dlapps.classroom.points import Exercise, find_exercises, find_questions, total
from dlapps.notebook import MIME
from dlapps.outline import used_names
from dlapps.report.sources import find_sources, read_notebook

LIMITS = fence.Limits(seconds=300, cell_seconds=60, disk=50 << 20, answer=1 << 20)
SPLIT, FEATURES = 7, 8  # the places of the two exercises in the chapter
LABELS = "y_train, y_test = np.arange(15).repeat(100), np.arange(2985) % 15"
FORGED = {"kind": "verdicts", "verdicts": [{"name": "the whole split", "fault": None, "why": "Forged."}]}


def exercise(source, *defines, points):
    cell = code(source, "exercise")
    cell.metadata["exercise"] = {"defines": list(defines), "points": points}
    return cell


def write_chapters(project):
    asked = text("Why?", "question", number="3a", points=4, rubric="Two reasons.")
    project.write(
        "1_transfer_learning",
        asked,
        text("Because.", "answer"),
        code("import numpy as np\nfrom sklearn.svm import LinearSVC"),
        code("given = 1"),
        exercise(LABELS, "y_train", "y_test", points=5),
        exercise("X_train, X_test = np.eye(15)[y_train], np.eye(15)[y_test]", "X_train", "X_test", points=10),
        code("baseline = LinearSVC(random_state=0).fit(X_train, y_train)"),
        code("baseline_accuracy = baseline.score(X_test, y_test)"),
        code("y_train = X_train = y_test = X_test = None"),
    )
    project.write("2_other", text("How?", "question", number="1"), text("So.", "answer"), code("1"))


class Class:
    """Submissions that differ from the chapter in one thing, each a file of its own."""

    def __init__(self, home: Path) -> None:
        self.chapter, self.folder = home / "notebooks" / "1_transfer_learning.ipynb", home / "submissions"
        self.folder.mkdir()
        self.files: list[Path] = []

    def add(self, name, change=lambda cells: None):
        notebook = read_notebook(self.chapter)
        notebook.metadata["dlapps"] = {"chapter": "1_transfer_learning"}
        change(notebook.cells)
        return self.add_bytes(name, nbformat.writes(notebook).encode())

    def add_bytes(self, name, content):
        path = self.folder / f"{name}.ipynb"
        path.write_bytes(content)
        self.files.append(path)
        return path

    def add_code(self, name, source):
        """Code before the second exercise: what stands above it has been made."""
        return self.add(name, lambda cells: cells.insert(FEATURES, code(source)))


def split(cells):
    """The first exercise in a cell above its own and one below it, the second in a cell below a blank."""
    first, second = (part.strip() for part in LABELS.split("="))
    assert (first, second[:5]) == ("y_train, y_test", "np.ar")
    cells[FEATURES].source, features = "# Exercise", cells[FEATURES].source
    cells.insert(FEATURES + 1, code(features))
    cells[SPLIT].source = "y_test = np.arange(2985) % 15"
    cells.insert(SPLIT, code("y_train = np.arange(15).repeat(100)"))


def without_ids(cells):
    for number, cell in enumerate(cells):
        if {"exercise", "answer"} & set(cell.metadata.get("tags", [])):
            cell.metadata["nbgrader"] = {"grade_id": cell.id}
        cell.id = f"another-{number}"


def blank(cells):
    cells[4].source = INVITATION.format(" to question 3a")
    cells[SPLIT].source = cells[FEATURES].source = "# Exercise"


def forge(cells):
    blank(cells)
    message = {"kind": "verdicts", "verdicts": FORGED["verdicts"]}
    cells[5].outputs = [new_output("display_data", {MIME: message, "text/plain": "passed"})]
    cells.append(code(f"from IPython.display import display\ndisplay({{{MIME!r}: {message!r}}}, raw=True)"))


def rename(cells):
    for number, cell in enumerate(cells):
        cell.id = f"renamed-{number}"


SLEEP = f"99{os.getpid()}.5"  # seconds that no other process sleeps
HOSTILE = {
    "loop": "import time\nwhile True: time.sleep(1)",
    "memory": "hog = np.ones(100 << 30, np.uint8)",
    "exit": "import os\nos._exit(0)",
    "deleting": "import shutil\nshutil.rmtree({treasure!r}, ignore_errors=True)",
    "reading": "import pathlib\nfiles = [p for p in pathlib.Path({home!r}).rglob('*.*') if p.is_file()]\n"
    "read = [p for p in files if p.stat().st_size]\n"
    "assert not read, read",
    "processes": "import subprocess\nstarted = [subprocess.Popen(['sleep', '{sleep}'], start_new_session=True)"
    " for _ in range(40)]",
    "writing": "with open('endless', 'wb') as file:\n    while True: file.write(bytes(1 << 20))",
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Everything that a class could hand in, checked at once: marks by name, and the folders."""
    home = tmp_path_factory.mktemp("class")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLAPPS_HOME", str(home))
        patch.delenv("DLAPPS_DATA", raising=False)
        write_chapters(Project(home))
        given = Class(home)
        treasure = home / "treasure"
        treasure.mkdir()
        (treasure / "kept.txt").write_text("kept")
        given.add("solution")
        given.add("blank", blank)
        for name, source in HOSTILE.items():
            given.add_code(
                name, source.format(treasure=str(treasure), home=str(home), sleep=SLEEP) if "{" in source else source
            )
        given.add("shapes", lambda cells: cells[SPLIT].update(source="y_train = y_test = np.zeros((2, 3))"))
        given.add("values", lambda cells: cells[FEATURES].update(source="X_train = X_test = 0"))
        given.add("split", split)
        given.add("without ids", without_ids)
        given.add("forged", forge)
        given.add("renamed", rename)
        given.add_bytes("json", b'{"cells": [')
        given.add_bytes("empty", b"")
        kernel = read_notebook(given.chapter)
        kernel.metadata |= {
            "dlapps": {"chapter": "1_transfer_learning"},
            "kernelspec": {"name": "none", "display_name": "None"},
        }
        given.add_bytes("kernel", nbformat.writes(kernel).encode())
        given.add_bytes("another", (home / "notebooks" / "2_other.ipynb").read_bytes())
        other = read_notebook(home / "notebooks" / "2_other.ipynb")
        other.metadata["dlapps"] = {"chapter": "2_other"}
        nbformat.write(other, given.files[-1])
        given.add_code(
            "stubborn", "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)"
        )
        # Elsewhere, since it is hidden from those that are checked with it alone.
        stubborn = given.files.pop().rename(tmp_path_factory.mktemp("elsewhere") / "stubborn.ipynb")
        fence.has_walls()  # asked once, before there are threads
        with ThreadPoolExecutor(1) as pool:
            soon = replace(LIMITS, seconds=30)
            alone = pool.submit(marking.check_class, [stubborn], home / "alone", None, limits=soon)
            marked = marking.check_class(given.files, home / "feedback", None, jobs=3, limits=LIMITS)
        yield {each.student: each for each in [*marked, *alone.result()]}, home


def note_of(mark):
    return mark.verdicts[0].fault


@pytest.mark.report
def test_the_solution_has_all_points_and_the_blank_none(checked):
    marks = checked[0]
    assert total(marks["solution"].points) == 15, marks["solution"].verdicts
    assert total(marks["blank"].points) == 0
    assert marks["solution"].to_be_read == ["3a"]
    assert marks["blank"].to_be_read == []
    assert total(marks["values"].points) == 5, "names without right values"


@pytest.mark.report
@pytest.mark.parametrize(
    ("name", "words"),
    {
        "loop": "one that was stopped after 60 seconds",
        "stubborn": "expected an end within 0.5 minutes, got none",
        "memory": "Unable to allocate 100. GiB",
        "exit": "got one that died",
        "writing": "OSError: [Errno ",
        "json": "expected a notebook in ",
        "empty": "expected a notebook in ",
        "another": "expected a notebook of 1_transfer_learning, got one of 2_other",
    }.items(),
)
def test_each_hostile_submission_ends_with_one_sentence(checked, name, words):
    mark = checked[0][name]
    assert words in note_of(mark)
    assert "\n" not in note_of(mark)


@pytest.mark.report
def test_what_is_right_counts_whatever_else_a_submission_does(checked):
    marks = checked[0]
    whole = ("loop", "memory", "deleting", "processes", "writing", "kernel")
    assert {total(marks[name].points) for name in (*whole, "split", "without ids")} == {15}
    assert {total(marks[name].points) for name in ("shapes", "stubborn", "exit", "json", "empty", "another")} == {0}


@pytest.mark.report
def test_neither_solutions_nor_other_submissions_are_read(checked):
    if not fence.has_walls():
        pytest.skip("no bubblewrap")
    assert note_of(checked[0]["reading"]) is None


@pytest.mark.report
def test_forged_outputs_and_renamed_cells_have_no_points(checked):
    for name in ("forged", "renamed"):
        assert total(checked[0][name].points) == 0
        faults = {verdict.name: verdict.fault for verdict in checked[0][name].verdicts}
        assert "got none in cell" in faults["every exercise has code"], name
        assert faults.get("the whole split", "not asked"), name


@pytest.mark.report
def test_no_process_is_left_and_nothing_was_deleted(checked):
    home = checked[1]
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"sleep {SLEEP}" not in running
    assert not (home / "data").exists()
    assert not list((home / "submissions").glob("endless"))
    if fence.has_walls():
        assert (home / "treasure" / "kept.txt").read_text() == "kept"


@pytest.mark.report
def test_a_class_has_a_table_a_summary_and_a_letter_each(checked):
    marks, home = checked
    with (home / "feedback" / "points.csv").open(newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert list(rows) == [name for name in marks if name != "stubborn"]
    assert rows["solution"]["total (15)"] == "15"
    assert rows["solution"]["cell-7 (5)"] == "5"
    assert rows["solution"]["cell-7: the whole split (1.667)"] == "1.667"
    assert rows["solution"]["to be read"] == "3a"
    assert rows["solution"]["answers (4)"] == ""
    assert rows["exit"]["note"] == note_of(marks["exit"])
    letter = (home / "feedback" / "shapes.md").read_text()
    assert "**the whole split**: expected 1,500 and 2,985 pictures" in letter
    assert "Check both counts before any accuracy" in letter
    assert "**Question 3a** (4): to be read. Two reasons." in letter
    assert "<h2" in (home / "feedback" / "shapes.html").read_text()
    summary = (home / "feedback" / "summary.md").read_text()
    assert f"{len(rows)} submissions" in summary
    assert "Two reasons." in summary


@pytest.fixture
def fenced(tmp_path, monkeypatch):
    if not fence.has_walls():
        pytest.skip("no bubblewrap: apt install bubblewrap")
    module = tmp_path / "asked_in_a_fence.py"
    monkeypatch.syspath_prepend(str(tmp_path))

    def ask(source, hidden=(), limits=LIMITS):
        module.write_text(f"import json, os, socket, subprocess\nprint(json.dumps({source}))")
        return fence.run("asked_in_a_fence", {}, limits, hidden)

    return ask


def test_within_the_fence_nothing_is_written_but_in_the_own_folder(fenced, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "word")
    assert fenced("[os.access(path, os.W_OK) for path in ('/', '/tmp', '/usr', os.getcwd())]") == [False] * 3 + [True]
    assert fenced("sorted(name for _, name in socket.if_nameindex())") == ["lo"]
    assert "SECRET" not in fenced("list(os.environ)")
    solution = tmp_path / "solution.txt"
    solution.write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "solution.txt").write_text("secret")
    cat = f"subprocess.run(['cat', {str(solution)!r}], capture_output=True, text=True).stdout"
    read = f"[{cat}, os.listdir({str(tmp_path / 'folder')!r})]"
    assert fenced(read) == ["secret", ["solution.txt"]]
    assert fenced(read, [solution, tmp_path / "folder"]) == ["", []]


def test_an_answer_is_bounded(fenced):
    with pytest.raises(marking.ClassroomError, match="got more than 1,048,576 bytes"):
        fenced("'x' * 2_000_000")


@pytest.mark.parametrize("walls", [True, False])
def test_what_goes_on_for_too_long_ends_with_all_that_it_started(walls, fenced, monkeypatch):
    monkeypatch.setattr(fence, "has_walls", lambda: walls)
    start = f"subprocess.Popen(['sleep', '{SLEEP}'], start_new_session=True).pid and [0 for _ in iter(int, 1)]"
    with pytest.raises(marking.ClassroomError, match=r"expected an end within 0\.0\d+ minutes, got none"):
        fenced(start, limits=replace(LIMITS, seconds=4))
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"sleep {SLEEP}" not in running


def test_a_name_that_a_spreadsheet_would_compute_is_text(project, tmp_path):
    write_chapters(project)
    (tmp_path / "=1+1.ipynb").write_text("{")
    marking.check_class([tmp_path / "=1+1.ipynb"], tmp_path / "feedback", find_sources()[0])
    with (tmp_path / "feedback" / "points.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["student"] == "'=1+1"


def test_files_of_one_name_are_called_by_their_folders(tmp_path):
    files = [tmp_path / student / "1_transfer_learning.ipynb" for student in ("ada", "bob")]
    assert marking.name_students(files) == ["ada-1_transfer_learning", "bob-1_transfer_learning"]
    with pytest.raises(marking.ClassroomError, match=r"each file once, got 1_transfer_learning\.ipynb twice"):
        marking.name_students([files[0], files[0]])
    deep = [tmp_path / course / "hw" / "1.ipynb" for course in "pq"]
    assert marking.name_students(deep) == ["p-hw-1", "q-hw-1"]
    assert marking.name_students([tmp_path / "b" / "Summary.ipynb"]) == ["b-Summary"]


def test_a_folder_stands_for_the_notebooks_in_it(tmp_path):
    for name in ("b/ada.ipynb", "a.ipynb", "b/.ipynb_checkpoints/ada-checkpoint.ipynb", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert marking.list_files([tmp_path]) == [tmp_path / "a.ipynb", tmp_path / "b" / "ada.ipynb"]
    with pytest.raises(marking.ClassroomError, match=r"expected notebooks in .*, got none"):
        marking.list_files([tmp_path / "b" / ".ipynb_checkpoints"])


def test_a_teachers_points_and_the_rows_of_other_files_stay(project, tmp_path):
    write_chapters(project)
    folder, source = tmp_path / "feedback", find_sources()[0]
    files = [tmp_path / f"{name}.ipynb" for name in ("ada", "bob", "eve")]
    for file in files:
        file.write_text("{")
    marking.check_class(files[:2], folder, source)
    with (folder / "points.csv").open(newline="") as file:
        heads, *rows = csv.reader(file)
    rows[0][heads.index("answers (4)")] = "3"
    with (folder / "points.csv").open("w", newline="") as file:
        csv.writer(file).writerows([heads, *rows])
    marking.check_class([files[2], files[0]], folder, source)
    with (folder / "points.csv").open(newline="") as file:
        found = {row["student"]: row["answers (4)"] for row in csv.DictReader(file)}
    assert found == {"ada": "3", "bob": "", "eve": ""}
    before = (folder / "points.csv").read_bytes()
    with pytest.raises(marking.ClassroomError, match="to have the points of 2_other as they are given now"):
        marking.check_class(files[:1], folder, find_sources()[1])
    assert (folder / "points.csv").read_bytes() == before


def test_a_check_of_two_exercises_belongs_to_the_last():
    made = [Exercise("labels", ("y_train", "y_test"), 6), Exercise("fit", ("baseline", "X_train", "X_test"), 1)]
    worth = marking.possible(made, "1_transfer_learning")
    assert set(worth["labels"]) == {"labels defines its names", "the whole split", "every class"}
    assert {"same seed same classifier", "no empty rows"} < set(worth["fit"])
    assert [round(sum(shares.values()), 6) for shares in worth.values()] == [6, 1]


def test_points_and_names_come_from_the_chapter():
    cells = [
        text("Why?", "question", number="1"), text("So.", "answer"), text("And so.", "answer"),
        code("a, b = 1, 2", "exercise"), code("print(a)"),
    ]  # fmt: skip
    for number, cell in enumerate(cells):
        cell.id = str(number)
    (question,), (made,) = find_questions(cells), find_exercises(cells)
    assert (question.cells, question.points, question.rubric) == (("1", "2"), 1, "")
    assert (made.defines, made.points) == (("a",), 1)
    cells[3].metadata["exercise"] = {"defines": ["b"], "points": 5}
    assert find_exercises(cells)[0].defines == ("b",)


def test_committed_chapters_give_points_and_no_check_looks_at_a_name_of_two_exercises():
    for source in find_sources():
        exercises, questions = find_exercises(source.read().cells), find_questions(source.read().cells)
        defined = [name for exercise in exercises for name in exercise.defines]
        looked_at = {name for check in CHAPTERS.get(source.name, ()) for name in check.names.values()}
        assert all(defined.count(name) <= 1 for name in looked_at), source.name
        assert all(len(shares) > 1 for shares in marking.possible(exercises, source.name).values()), source.name
        if source.number in (1, 4):
            assert all(question.rubric for question in questions)


def test_later_cells_read_no_other_names_of_an_exercise_than_it_asks_for():
    for source in find_sources():
        cells = source.read().cells
        own = {exercise.cell: set(exercise.defines) for exercise in find_exercises(cells)}
        for cell in (cell for cell in cells if cell.id in own):
            del cell.metadata["exercise"]
        read = {exercise.cell: set(exercise.defines) for exercise in find_exercises(cells)}
        given = set().union(*(used_names(cell.source)[1] for cell in cells if cell.id not in own))
        left = {cell: names - own[cell] - given for cell, names in read.items()}
        assert not any(left.values()), (source.name, left)


def test_students_cells_are_valid_for_nbgrader(tmp_path, monkeypatch):
    validator = pytest.importorskip("nbgrader.nbgraderformat", reason="no nbgrader: pip install nbgrader")
    from dlapps.classroom.editions import make_student

    for source in find_sources():
        student = nbformat.from_dict(json.loads(json.dumps(make_student(source, "ada"))))
        validator.MetadataValidator().validate_nb(student)
