"""A class: every submission checked behind a fence, its points, feedback for each student, what failed how often."""

import csv
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from tqdm.auto import tqdm

from dlapps.classroom import ClassroomError, Verdict, feedback, fence
from dlapps.classroom.checks import CHAPTERS, asks_for
from dlapps.classroom.examine import LIMITS, examine, look_at, unanswered, unwritten
from dlapps.classroom.notebooks import find_chapter, read
from dlapps.classroom.points import Exercise, Marked, Scheme, find_exercises, find_questions, total
from dlapps.paths import write_atomically
from dlapps.report.sources import Source, select_sources

_SUBMISSION = "Hand in the notebook that you were given, saved by Jupyter. Nothing else of it is read."


def check_notebooks(
    paths: Sequence[Path], folder: Path | None, chapter: str | None, jobs: int, say: Callable[[str], None]
) -> bool:
    """Say what was found in one notebook, and whether all passed; several, or a folder, are left to `check_class`."""
    source = select_sources([chapter])[0] if chapter else None
    if not fence.has_walls():
        print(f"dlapps: {fence.UNFENCED}", file=sys.stderr)
    if folder or len(paths) > 1:
        folder = folder or Path("feedback")
        marked = check_class(paths, folder, source, jobs)
        say(f"Wrote points.csv, summary.md and the feedback of {len(marked)} into {folder}")
        return True
    verdicts = examine(paths[0], source)
    for verdict in verdicts:
        say(verdict.line)
    return not any(verdict.fault for verdict in verdicts)


def check_class(
    paths: Sequence[Path], folder: Path, source: Source | None, jobs: int = 1, limits: fence.Limits = LIMITS
) -> list[Marked]:
    """Check submissions of a chapter (without one, of the chapter that most belong to), so many at a time.

    Writes into the folder points.csv, summary.md, and feedback for each student, as Markdown and HTML. A submission
    that cannot be run has no points, and no effect on the others.
    """
    students = name_students(paths)
    source = source or _commonest(paths)
    fence.has_walls()  # asked once, before there are threads
    mark = partial(_mark, source=source, limits=limits, hidden=paths)
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        marks = pool.map(mark, students, paths)
        marked = list(tqdm(marks, "submissions", total=len(paths), leave=False, disable=None))
    exercises, questions = _asked(source)
    scheme = Scheme(source.name, {each.cell: possible(each, source.name) for each in exercises}, questions)
    table = io.StringIO()
    csv.writer(table).writerows(_rows(marked, scheme))
    letters = [feedback.write_letter(each, scheme) for each in marked]
    files = {"points.csv": table.getvalue(), "summary.md": feedback.summarise(marked, scheme)}
    files |= {f"{student}.md": letter for student, letter in zip(students, letters, strict=True)}
    files |= {f"{student}.html": page for student, page in zip(students, feedback.to_pages(letters), strict=True)}
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return marked


def possible(exercise: Exercise, chapter: str) -> dict[str, float]:
    """What each check of an exercise is worth: equal shares for those that look at a name that it has to define."""
    names = set(exercise.defines)
    checks = CHAPTERS.get(chapter, ())
    bound = [check.title for check in checks if not names.isdisjoint(check.names.values())]
    return dict.fromkeys([asks_for(exercise.cell), *bound], exercise.points / (1 + len(bound)))


def name_students(paths: Sequence[Path]) -> list[str]:
    """What each file is called, with its folder's name where files of several folders are called the same."""
    stems = [path.stem for path in paths]
    for names in (stems, [f"{path.resolve().parent.name}-{path.stem}" for path in paths]):
        if len(set(names)) == len(names):
            return names
    twice = Counter(names).most_common(1)[0][0]
    raise ClassroomError(f"expected files of different names, got two called {twice}; rename one of them.")


def _commonest(paths: Iterable[Path]) -> Source:
    found: Counter[Source] = Counter()
    for path in paths:
        try:
            found[find_chapter(read(path), path)] += 1
        except ClassroomError as error:
            reason = error
    if not found:
        raise reason
    return found.most_common(1)[0][0]


def _mark(student: str, path: Path, source: Source, limits: fence.Limits, hidden: Sequence[Path]) -> Marked:
    notebook = new_notebook()
    try:
        given = read(path)
        if (own := find_chapter(given, path, source)) != source:
            raise ClassroomError(f"expected a notebook of {source.name}, got one of {own.name}; hand in the right one.")
        notebook, verdicts = given, look_at(given, source, limits, hidden)
    except ClassroomError as error:
        verdicts = [Verdict("is a notebook of the chapter", str(error), _SUBMISSION)]
    exercises, questions = _asked(source)
    passed = {verdict.name for verdict in verdicts if not verdict.fault}
    blank, missing = set(unwritten(notebook, exercises)), set(unanswered(notebook, questions))
    points = {}
    for exercise in exercises:
        counts = set() if exercise.cell in blank else passed
        shares = possible(exercise, source.name)
        points[exercise.cell] = {name: share * (name in counts) for name, share in shares.items()}
    to_be_read = [question.number for question in questions if question.number not in missing]
    told = notebook.metadata.get("dlapps")
    edition = str(told.get("student", "")) if isinstance(told, dict) else ""
    return Marked(student, edition, verdicts, points, to_be_read)


def _asked(source: Source) -> tuple:
    cells: list[NotebookNode] = source.read().cells
    return find_exercises(cells), find_questions(cells)


def _rows(marked: Iterable[Marked], scheme: Scheme) -> Iterator[list[str]]:
    """The table for a spreadsheet: a row a student; the column of the answers is the teacher's."""
    heads = ["student", "edition"]
    for cell, shares in scheme.worth.items():
        heads += [f"{cell}: {name} ({share:.4g})" for name, share in shares.items()]
        heads += [f"{cell} ({sum(shares.values()):.4g})"]
    heads += [f"total ({total(scheme.worth):.4g})", "to be read"]
    yield [*heads, f"answers ({scheme.answers:.4g})", "note"]
    for each in marked:
        row = [each.student, each.edition]
        for shares in each.points.values():
            row += [f"{points:.4g}" for points in (*shares.values(), sum(shares.values()))]
        row += [f"{total(each.points):.4g}", ", ".join(each.to_be_read), ""]
        row.append(each.verdicts[0].fault or "")
        # A spreadsheet would take such a cell for a formula.
        yield [f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell for cell in row]
