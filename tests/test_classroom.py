"""The class edition: nothing of the solution leaves, nothing of a student's gets lost, and checks speak in lines."""

from __future__ import annotations

import hashlib
import json

import nbformat
import pytest
from conftest import code, text
from nbformat.v4 import new_code_cell, new_markdown_cell

from dlapps.classroom import Verdict, editions, examine, marking, notebooks
from dlapps.cli import main
from dlapps.report.sources import find_sources, read_notebook, tags


@pytest.fixture
def chapter(project):
    project.write(
        "1_transfer",
        text("Why?", "question", number="3a"),
        new_markdown_cell("Because of the secret.", metadata={"tags": ["answer"], "hint": "secret"}),
        new_code_cell(
            "for row in range(3):\n    unread = row\nsecret_weight, bias = 41, 1\ndef score(x):\n    inner = x\n"
            "    return secret_weight * x + bias",
            metadata={"tags": ["exercise"], "secret": True},
        ),
        code("result = score(2)"),
        code("secret = result", "exercise"),
    )
    return find_sources()[0]


def edition_of(chapter, folder):
    assert main(["class", "student", "--folder", str(folder)]) == 0
    return folder / chapter.path.name


def change(path, index, source=None):
    """Write something into a cell of a student's file, or delete it."""
    notebook = read_notebook(path)
    if source is None:
        del notebook.cells[index]
    else:
        notebook.cells[index].source = source
    nbformat.write(notebook, path)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sources_of(path):
    return [cell.source for cell in read_notebook(path).cells]


def test_the_student_edition_holds_blanks_and_nothing_of_the_solution(chapter, tmp_path):
    student = read_notebook(edition_of(chapter, tmp_path / "class"))
    answer, exercise, kept, last = student.cells[4:]
    assert answer.source.startswith("*Your answer to question 3a:")
    assert exercise.source == f"# Exercise: define score, as the text says.\n{editions.HOW_TO_CHECK}"
    assert exercise.metadata.exercise == {"defines": ["score"], "points": 1}
    assert last.source == "# Exercise: define secret, as the text says."
    assert kept == chapter.read().cells[6]
    assert [tags(cell) for cell in (answer, exercise)] == [["answer"], ["exercise"]]
    assert answer.metadata.nbgrader == {
        "grade": True, "grade_id": "cell-4", "locked": False, "points": 1, "schema_version": 3, "solution": True,
        "task": False,
    }  # fmt: skip
    written = json.dumps(student)
    assert not any(word in written for word in ("Because", "secret_weight", "bias", "41", "hint"))
    assert student.cells[:4] == chapter.read().cells[:4]


@pytest.mark.parametrize(
    ("source", "says"),
    {
        "print(1)": "write what the text describes",
        "%time x": "write what the text describes",
        "import a\nb, (c, d) = e\nwith f as g: pass": "define a, b, c, d and g, as the text says",
    }.items(),
)
def test_an_exercise_says_what_it_defines(source, says):
    cell = code(source, "exercise")
    assert editions._blanks([cell]) == [f"# Exercise: {says}.\n{editions.HOW_TO_CHECK}"]


def test_an_exercise_says_what_of_the_library_it_is_done_with():
    cells = [
        code("from dlapps import dann, images as pictures\nimport numpy as np"),
        code(
            "settings = dann.PAPER\nchapter.record(a=1)\nnp.dann = pictures.stack(chapter.profile.num_digits)",
            "exercise",
        ),
    ]
    used = "# Of use: dann.PAPER, pictures.stack, chapter.profile.num_digits."
    assert used in editions._blanks(cells)[1].split("\n")


def test_an_edition_of_ones_own_says_whose_it_is(project, tmp_path):
    path = project.write("1_transfer", text("Why?", "question", number="1"))
    notebook = read_notebook(path)
    notebook.cells[1].source += '\nstudent = ""'
    nbformat.write(notebook, path)
    assert main(["class", "student", "--folder", str(tmp_path / "class"), "--seed", "ada", 'o"b']) == 0
    for student in ("ada", 'o"b'):
        edition = read_notebook(tmp_path / "class" / student / path.name)
        assert edition.cells[1].source == f'profile = "quick"\nstudent = {json.dumps(student)}'
        assert edition.metadata.dlapps["student"] == student
    for name in ("..", "../ada", "a\\b"):
        assert main(["class", "student", "--folder", str(tmp_path / "class"), "--seed", name]) == 2
    assert sorted(path.name for path in (tmp_path / "class").iterdir()) == ["ada", 'o"b']


def test_rubrics_stay_with_the_teacher(project):
    asked = text("Why?", "question", number="1", points=3, rubric="The secret.")
    project.write("1_transfer", asked, text("So.", "answer"))
    student = editions.make_student(find_sources()[0])
    assert "secret" not in json.dumps(student)
    assert student.cells[4].metadata.nbgrader["points"] == 3


def test_the_solution_comes_back_as_it_was(chapter, tmp_path, capsys):
    path = edition_of(chapter, tmp_path / "class")
    assert main(["class", "solution", str(path)]) == 0
    assert capsys.readouterr().out.endswith("3 cells put back\n")
    assert read_notebook(path).cells == chapter.read().cells
    before = digest(path)
    assert main(["class", "solution", str(path)]) == 0
    assert digest(path) == before


def test_what_a_student_wrote_stays_below_the_solution(chapter, tmp_path):
    path = edition_of(chapter, tmp_path / "class")
    change(path, 4, "I think so.")
    change(path, 5, "score = None")
    notebook = read_notebook(path)
    notebook.cells[4].attachments = {"plot.png": {"image/png": "aGVsbG8="}}
    notebook.cells.insert(6, new_code_cell("mine = 1"))
    nbformat.write(notebook, path)
    assert main(["class", "solution", str(path)]) == 0
    solved = read_notebook(path).cells
    solution = [cell.source for cell in chapter.read().cells]
    assert [cell.source for cell in solved] == [
        *solution[:5], "I think so.", solution[5], "score = None", "mine = 1", *solution[6:],
    ]  # fmt: skip
    assert [cell.cell_type for cell in solved[5:9]] == ["markdown", "code", "raw", "code"]
    assert [tags(solved[place]) for place in (5, 7)] == [["student"], ["student"]]
    assert solved[5].attachments == notebook.cells[4].attachments
    assert main(["class", "solution", str(path)]) == 0
    assert read_notebook(path).cells == solved


def test_a_deleted_blank_comes_back_in_its_place(chapter, tmp_path):
    path = edition_of(chapter, tmp_path / "class")
    change(path, 4, "I think so.")
    change(path, 5)
    assert main(["class", "solution", str(path)]) == 0
    solution = [cell.source for cell in chapter.read().cells]
    assert sources_of(path) == [*solution[:5], "I think so.", *solution[5:]]


def test_a_class_edition_never_replaces_what_somebody_wrote(chapter, tmp_path, capsys):
    path = edition_of(chapter, tmp_path / "class")
    assert edition_of(chapter, tmp_path / "class") == path
    change(path, 4, "I think so.")
    before = digest(path)
    assert main(["class", "student", "--folder", str(path.parent)]) == 2
    assert "or one that nobody wrote in, got another; move it away" in capsys.readouterr().err
    assert digest(path) == before
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_another_chapter_than_the_edition_was_made_of_is_refused(chapter, project, tmp_path, capsys):
    path = edition_of(chapter, tmp_path / "class")
    before = digest(path)
    project.write("1_transfer", text("A new cell shifts all ids."), *chapter.read().cells[3:])
    assert main(["class", "solution", str(path)]) == 2
    assert "got one with other blanks; take the version" in capsys.readouterr().err
    assert digest(path) == before


def test_an_improved_answer_is_put_back(chapter, tmp_path):
    path = edition_of(chapter, tmp_path / "class")
    change(chapter.path, 4, "Because, and better.")
    assert main(["class", "solution", str(path)]) == 0
    assert sources_of(path)[4] == "Because, and better."


@pytest.mark.parametrize("action", ["check", "solution"])
@pytest.mark.parametrize(
    "content", [None, "{", "[]", "{}", "\udc80", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5}']
)
def test_a_file_that_is_no_notebook_is_one_sentence(project, tmp_path, capsys, action, content):
    path = tmp_path / "1_mine.ipynb"
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert main(["class", action, str(path)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("dlapps: expected a notebook in 1_mine.ipynb, got ")
    assert str(tmp_path) not in complaint
    assert complaint.count("\n") == 1


def test_a_notebook_of_no_chapter_is_one_sentence(chapter, tmp_path, capsys):
    path = tmp_path / "notes.ipynb"
    path.write_bytes(chapter.path.read_bytes())
    for action in ("check", "solution"):
        assert main(["class", action, str(path)]) == 2
        assert "expected a notebook of a chapter, got notes.ipynb; take one that" in capsys.readouterr().err


@pytest.mark.report
def test_check_runs_a_notebook_and_says_what_is_wrong_a_line_each(project, tmp_path, capfd):
    project.write(
        "1_transfer_learning",
        text("Why?", "question", number="1"),
        text("Because.", "answer"),
        text("How?", "question", number="2"),
        text("Somehow.", "answer"),
        code('assert profile == "smoke"\nimport numpy as np'),
        code("y_train, y_test = np.arange(15).repeat(100), np.arange(2900) % 15"),
        code("X_train = np.eye(1500)", "exercise"),
        code("after = X_train.sum()"),
    )
    path = edition_of(find_sources()[0], tmp_path / "class")
    change(path, 4, "Because.")
    before = digest(path)
    capfd.readouterr()
    assert main(["class", "check", str(path)]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert digest(path) == before
    assert all(line.startswith(("passed  ", "failed  ")) for line in lines)
    found = {line[8:].partition(":")[0]: line for line in lines}
    for name, words in {
        "runs from top to bottom": "NameError: name 'X_train' is not defined in cell 11 (after = X_train.sum())",
        "every question has an answer": "got none to 2. A number is no answer.",
        "every exercise has code": "got none in cell 10. The comment",
        "the whole split": "expected 1,500 and 2,985 pictures, got 1,500 and 2,900. 15-Scene has 1,500",
        "accuracy on the test pictures": "expected variables baseline, baseline_accuracy, X_test, got none of them",
    }.items():
        assert found[name].startswith("failed")
        assert words in found[name]
    assert found["every class"] == "passed  every class"
    # Of an exercise without code more is not said than that.
    assert not {"cell-9 defines its names", "no empty rows"} & found.keys()


def test_an_answer_is_what_was_written_below_the_invitation_or_in_a_cell_below(chapter):
    cells, invited = chapter.read().cells, editions.INVITATION.format(" to question 3a")

    def left(*sources, deleted=False):
        notebook = editions.make_student(chapter)
        written = [new_markdown_cell(source) for source in sources[1:]]
        notebook.cells[4].source = sources[0]
        notebook.cells[4 + (not deleted) : 5] = written
        if deleted:
            notebook.cells[4:5] = written
        return list(examine.unanswered(notebook, cells))

    assert left(invited) == left("") == left(f"{invited}\n\n") == ["3a"]
    assert left(f"{invited}\n\nBecause.") == left("Because.") == left(invited, "Because.") == []
    assert left("*Your answer to question 3a: because.*") == []
    assert left(invited, "Because.", deleted=True) == []


def test_code_in_a_cell_below_is_code_of_the_exercise(chapter):
    cells = chapter.read().cells
    notebook = editions.make_student(chapter)
    first = cells[5].id
    assert first in examine.unwritten(notebook, cells)
    notebook.cells.insert(6, new_code_cell("# mine\nscore = print"))
    assert first not in examine.unwritten(notebook, cells)


def test_a_notebook_that_lost_its_ids_is_known_by_its_blanks(chapter, tmp_path):
    path = edition_of(chapter, tmp_path / "class")
    ids = [cell.id for cell in read_notebook(path).cells]
    told = json.loads(path.read_text())
    for cell in told["cells"]:
        del cell["id"]
    path.write_text(json.dumps({**told, "nbformat_minor": 2}))
    found = [cell.id for cell in notebooks.read(path).cells]
    assert [found[place] == ids[place] for place in range(4, 8)] == [True, True, False, True]
    assert main(["class", "solution", str(path)]) == 0
    assert sources_of(path) == [cell.source for cell in chapter.read().cells]


def test_check_tells_by_its_exit_code_whether_all_passed(tmp_path, monkeypatch, capsys):
    verdicts = [Verdict("shapes", None, "Why. So.")]
    monkeypatch.setattr(marking, "examine", lambda path, source: verdicts)
    assert main(["class", "check", "any.ipynb"]) == 0
    verdicts.append(Verdict("counts", "expected 2, got 3", "Why. So."))
    assert main(["class", "check", "any.ipynb"]) == 1
    assert capsys.readouterr().out.endswith("passed  shapes\nfailed  counts: expected 2, got 3. Why. So.\n")


def test_the_committed_chapters_have_an_edition_without_their_answers():
    for source in find_sources():
        student = json.dumps(editions.make_student(source))
        for cell in source.read().cells:
            if "answer" in tags(cell):
                assert json.dumps(cell.source)[1:80] not in student
