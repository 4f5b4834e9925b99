"""A class: every submission checked behind a fence, its points, feedback for each student, what failed how often."""

import csv
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    if folder or len(paths) > 1 or paths[0].is_dir():
        folder, files = folder or Path("feedback"), list_files(paths)
        marked = check_class(files, folder, source, jobs)
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
    that cannot be run has no points, and no effect on the others. In a points.csv that is there already, of the same
    checks, the rows of other files and the teacher's points for answers stay; any other is a ClassroomError.
    """
    students = name_students(paths)
    source = source or _commonest(paths)
    cells = source.read().cells
    scheme = Scheme(source.name, possible(find_exercises(cells), source.name), find_questions(cells))
    read_points(folder / "points.csv", scheme)  # another table is refused before the long part
    fence.has_walls()  # asked once, before there are threads
    hidden = [folder, *dict.fromkeys(path.resolve().parent for path in paths)]
    mark = partial(_mark, scheme=scheme, source=source, cells=cells, limits=limits, hidden=hidden)
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        marks = pool.map(mark, students, paths)
        marked = list(tqdm(marks, "submissions", total=len(paths), leave=False, disable=None))
    table, earlier = io.StringIO(), read_points(folder / "points.csv", scheme)
    csv.writer(table).writerows([heads_of(scheme), *(earlier | _rows(marked, scheme, earlier)).values()])
    letters = [feedback.write_letter(each, scheme) for each in marked]
    files = {"points.csv": table.getvalue(), "summary.md": feedback.summarise(marked, scheme)}
    files |= {f"{student}.md": letter for student, letter in zip(students, letters, strict=True)}
    files |= {f"{student}.html": page for student, page in zip(students, feedback.to_pages(letters), strict=True)}
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return marked


def possible(exercises: Sequence[Exercise], chapter: str) -> dict[str, dict[str, float]]:
    """By exercise, what each check is worth: equal shares for those that look at a name that it has to define.

    A check of several exercises' names belongs to the last of them.
    """
    bound: dict[str, list[str]] = {exercise.cell: [asks_for(exercise.cell)] for exercise in exercises}
    for check in CHAPTERS.get(chapter, ()):
        owners = [each.cell for each in exercises if not set(each.defines).isdisjoint(check.names.values())]
        for cell in owners[-1:]:
            bound[cell].append(check.title)
    return {each.cell: dict.fromkeys(bound[each.cell], each.points / len(bound[each.cell])) for each in exercises}


def list_files(paths: Sequence[Path]) -> list[Path]:
    """The files, and for a folder the notebooks in it and below it; a ClassroomError for one without any."""
    files = []
    for path in paths:
        found = sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]
        kept = [file for file in found if ".ipynb_checkpoints" not in file.parts]
        if not kept:
            raise ClassroomError(f"expected notebooks in {path}, got none; name another folder.")
        files += kept
    return files


def name_students(paths: Sequence[Path]) -> list[str]:
    """What each file is called, with the names of its folders, as many as tell files of one name apart."""
    parts = [path.resolve().with_suffix("").parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["-".join(each[-depth:]) for each in parts]
        # Where names of files do not tell large letters from small; one of the files written is summary.md.
        if len({name.casefold() for name in [*names, "summary"]}) == len(names) + 1:
            return names
    twice = Counter(path.name for path in paths).most_common(1)[0][0]
    raise ClassroomError(f"expected each file once, got {twice} twice; name it once.")


def read_points(path: Path, scheme: Scheme) -> dict[str, list[str]]:
    """The rows of an earlier points.csv of the same checks, by student; none where there is no file."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        heads, *rows = [row for row in csv.reader(file) if row] or [[]]
    if heads != heads_of(scheme):
        raise ClassroomError(
            f"expected {path} to have the points of {scheme.chapter} as they are given now, got another table; move it "
            "away or name another --folder."
        )
    return {row[0]: row for row in rows}


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


def _mark(
    student: str,
    path: Path,
    scheme: Scheme,
    source: Source,
    cells: Sequence[NotebookNode],
    limits: fence.Limits,
    hidden: Sequence[Path],
) -> Marked:
    notebook = new_notebook()
    try:
        given = read(path)
        if (own := find_chapter(given, path, source)) != source:
            raise ClassroomError(f"expected a notebook of {source.name}, got one of {own.name}; hand in the right one.")
        notebook, verdicts = given, look_at(given, source.name, cells, limits, hidden)
    except ClassroomError as error:
        verdicts = [Verdict("is a notebook of the chapter", str(error), _SUBMISSION)]
    passed = {verdict.name for verdict in verdicts if not verdict.fault}
    blank, missing = set(unwritten(notebook, cells)), set(unanswered(notebook, cells))
    points = {}
    for cell, shares in scheme.worth.items():
        counts = set() if cell in blank else passed & shares.keys()
        # Names alone are worth nothing where something is asked of what they stand for.
        if counts == {asks_for(cell)} and len(shares) > 1:
            counts = set()
        points[cell] = {name: share * (name in counts) for name, share in shares.items()}
    to_be_read = [question.number for question in scheme.questions if question.number not in missing]
    told = notebook.metadata.get("dlapps")
    edition = str(told.get("student", "")) if isinstance(told, dict) else ""
    return Marked(student, edition, verdicts, points, to_be_read)


def heads_of(scheme: Scheme) -> list[str]:
    """The first row of points.csv: what a teacher reads first, then the points of each check."""
    heads = ["student", "edition", f"total ({total(scheme.worth):.4g})", "to be read"]
    heads += [f"answers ({scheme.answers:.4g})", "note"]
    for cell, shares in scheme.worth.items():
        heads += [f"{cell}: {name} ({share:.4g})" for name, share in shares.items()]
        heads += [f"{cell} ({sum(shares.values()):.4g})"]
    return heads


def _rows(marked: Iterable[Marked], scheme: Scheme, earlier: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Rows of the table by student; the column of the answers is the teacher's, and stays what it was."""
    place, rows = heads_of(scheme).index("note") - 1, {}
    for each in marked:
        row = [each.student, each.edition, f"{total(each.points):.4g}", ", ".join(each.to_be_read), ""]
        row.append(each.verdicts[0].fault or "")
        for shares in each.points.values():
            row += [f"{points:.4g}" for points in (*shares.values(), sum(shares.values()))]
        # A spreadsheet would take such a cell for a formula.
        row = [f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell for cell in row]
        row[place] = earlier.get(row[0], row)[place]
        rows[row[0]] = row
    return rows
