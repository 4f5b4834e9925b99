"""The command `labreport` and its verbs: new, run, report, html, notebooks, check,
class.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from labreport import LabreportError, expected
from labreport.report import find_report, select, write_report

if TYPE_CHECKING:
    from labreport.run import Run

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Wrong input gives one sentence on stderr and the code 2.
    """
    args = _parser().parse_args(arguments)
    try:
        return args.verb(args)
    except LabreportError as error:
        for line in str(error).split("\n"):
            print(f"labreport: {line}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            "labreport: expected files and folders that can be read and written, got "
            f"{error}; free space, or change their rights.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("labreport: stopped; what was finished is kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="labreport", description="Notebooks to a report."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="name")

    def add(name: str, verb: Verb, words: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=words)
        added.set_defaults(verb=verb)
        return added

    new = add("new", _new, "write the folder of a report, with a chapter that runs")
    new.add_argument("folder", type=Path, metavar="FOLDER")
    new.add_argument("--title", required=True)
    new.add_argument("--author", required=True, action="append", help="once for each")
    run = add("run", _run, "execute notebooks")
    run.add_argument("chapters", nargs="*", metavar="CHAPTER", help="numbers or names")
    report = add("report", _build, "run what is stale, write PDF, HTML, reading copies")
    html = add("html", _build, "the same, HTML alone, without TeX")
    copies = add("notebooks", _build, "the same, reading copies alone")
    check = add("check", _check, "list mistakes, unanswered questions, unused figures")
    course = add("class", _class, "write a course for nbgrader")
    course.add_argument("folder", type=Path, metavar="FOLDER")
    # What an assignment needs is what its chapter reads under smoke.
    course.set_defaults(profile="smoke", seed=0)
    profiles = "smoke, quick (the default) or full"
    seed = "of all chance; any but 0 has a folder of its own in report/build"
    strict = "end with 2 where the run contradicts a sentence"
    for each in (run, report, html, copies, check):
        each.add_argument("--profile", default="quick", help=profiles)
        each.add_argument("--seed", type=int, default=0, help=seed)
    for each in (report, html, copies):
        each.add_argument("--strict", action="store_true", help=strict)
    return parser


def _new(args: argparse.Namespace) -> int:
    for path in write_report(args.folder, args.title, args.author):
        _say(f"Wrote {path}")
    folder = shlex.quote(str(args.folder))
    _say(
        "Open the chapter in Jupyter, or build the report: "
        f"cd {folder} && labreport report"
    )
    return 0


def _run(args: argparse.Namespace) -> int:
    from labreport.build import read_report
    from labreport.run import run_notebooks

    run = _choose_run(args)
    with _alone(run):
        sources = run.report.sources()
        read_report(sources, run)  # a mistake of the text comes first
        run_notebooks(select(sources, args.chapters), run, _say)
    return 0


def _build(args: argparse.Namespace) -> int:
    from labreport.build import WRITERS, build

    run = _choose_run(args)
    editions = list(WRITERS) if args.name == "report" else [args.name]
    with _alone(run):
        refuted = build(editions, run, _say)
    if refuted and args.strict:
        raise expected(
            "sentences that hold in this run",
            f"{len(refuted)} that do not",
            "correct them or the code, or build without --strict",
        )
    return 0


def _choose_run(args: argparse.Namespace) -> Run:
    """Return the run of a command.

    Raises LabreportError for an unknown profile, and for a seed below 0.
    """
    from labreport.run import Run

    report = find_report()
    report.title_page()  # there is one
    report.profile(args.profile)
    if args.seed < 0:
        raise expected("--seed from 0", args.seed, "name another")
    return Run(report, args.profile, args.seed)


def _alone(run: Run) -> AbstractContextManager:
    """Hold the lock of the run's folder.

    Only one run or build writes there at a time; others wait.
    """
    from filelock import FileLock, Timeout

    run.build.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.build / ".lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        _say("Waiting for another labreport that writes in this folder")
        return lock.acquire()


def _check(args: argparse.Namespace) -> int:
    """Return 0 when there is nothing to complain about, else 1."""
    from labreport.build import read_report
    from labreport.check import find_complaints

    run = _choose_run(args)
    try:
        documents, _ = read_report(run.report.sources(), run)
        complaints = list(find_complaints(documents))
    except LabreportError as error:
        complaints = str(error).split("\n")
    for complaint in complaints or ["Nothing to complain about."]:
        _say(complaint)
    return 1 if complaints else 0


def _class(args: argparse.Namespace) -> int:
    from labreport.course.course import write_course

    run = _choose_run(args)
    with _alone(run):
        for path in write_course(run, args.folder, _say):
            _say(f"Wrote {path}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
