"""A class of thirty: as many copies of a chapter's solution and of its blank, checked two at a time, beside one check.

`python benchmarks/classroom.py [--copies 30] [--jobs 2] [CHAPTER ...]` prints a row a chapter; some minutes to an hour.
"""

import argparse
import tempfile
import time
from pathlib import Path

from dlapps.classroom import editions, marking
from dlapps.classroom.notebooks import write
from dlapps.classroom.points import total
from dlapps.report.sources import Source, select_sources

HEADER = """\
| chapter | one check, s | copies | all, s | in checks | points of solutions | points of blanks |
|---|---:|---:|---:|---:|---|---|"""


def check_copies(source: Source, copies: int, jobs: int) -> str:
    """A row: seconds, and the least and the most points of what was handed in."""
    solution, blank = source.read(), editions.make_student(source)
    solution.metadata["dlapps"] = {"chapter": source.name}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{kind}-{number}.ipynb" for kind in ("solution", "blank") for number in range(copies)]
        for path, notebook in zip(paths, [solution] * copies + [blank] * copies, strict=True):
            write(path, notebook)
        alone, _ = time_check(paths[:1], folder / "alone", source, 1)
        seconds, marked = time_check(paths, folder / "all", source, jobs)
    points = [total(each.points) for each in marked]
    spans = [f"{min(part):g} to {max(part):g}" for part in (points[:copies], points[copies:])]
    cells = [f"{source.name}", f"{alone:.0f}", f"2 x {copies}", f"{seconds:.0f}", f"{seconds / alone:.1f}", *spans]
    return f"| {' | '.join(cells)} |"


def time_check(paths: list[Path], folder: Path, source: Source, jobs: int) -> tuple[float, list]:
    start = time.perf_counter()
    marked = marking.check_class(paths, folder, source, jobs)
    return time.perf_counter() - start, marked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="4, or its whole name; else 1 to 4")
    options = parser.parse_args()
    print(HEADER)
    for source in select_sources(options.chapters or "1234"):
        print(check_copies(source, options.copies, options.jobs), flush=True)


if __name__ == "__main__":
    main()
