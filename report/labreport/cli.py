"""The command `labreport` and its verbs: new, run, report, html, notebooks, check,
class, diff, study.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from labreport import LabreportError, expected, paths
from labreport.profiles import get_profile
from labreport.runs import Run

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Wrong input gives one sentence on stderr and the code 2.
    """
    args = _parser().parse_args(arguments)
    try:
        if args.verb not in (_new, _diff):
            paths.require_report(f"labreport {args.name}")
        return args.verb(args)
    except LabreportError as error:
        print(f"labreport: {error}", file=sys.stderr)
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

    new = add(
        "new",
        _new,
        "write the folder of a report of your own, with a chapter that runs",
    )
    new.add_argument("folder", type=Path, metavar="FOLDER")
    new.add_argument("--title", required=True)
    new.add_argument(
        "--author", required=True, action="append", help="once for each author"
    )

    run = add("run", _run, "execute notebooks")
    run.add_argument(
        "chapters", nargs="*", metavar="CHAPTER", help="numbers or names; default: all"
    )
    run.add_argument(
        "--stale", action="store_true", help="only those that are not up to date"
    )
    report = add(
        "report",
        _build,
        "execute what is stale and build all editions: PDF, HTML, reading copies",
    )
    html = add("html", _build, "the same, HTML alone, without TeX")
    copies = add(
        "notebooks",
        _build,
        "the same, reading copies alone: notebooks, numbers filled in",
    )
    for builder in (run, report, html, copies):
        builder.add_argument(
            "--profile", default="quick", help="smoke, quick (the default) or full"
        )
        builder.add_argument(
            "--seed",
            type=int,
            default=0,
            help="of all chance; any but 0 has a folder of its own in report/build",
        )
    for builder in (report, html, copies):
        builder.add_argument(
            "--strict",
            action="store_true",
            help="end with 2 where the run contradicts a sentence",
        )

    add(
        "check",
        _check,
        "list unanswered questions, typed numbers, unused figures",
    )

    course = add(
        "class",
        _class,
        "write the folder of a course for nbgrader, made from the chapters",
    )
    course.add_argument("folder", type=Path, metavar="FOLDER")

    diff = add(
        "diff",
        _diff,
        "list the numbers that moved between two builds, with their spread",
    )
    diff.add_argument("old", type=Path, metavar="OLD.json")
    diff.add_argument("new", type=Path, metavar="NEW.json")

    study = add(
        "study",
        _study,
        "make again what data/results holds, by the code in data/studies",
    )
    study.add_argument("names", nargs="+", metavar="NAME")
    study.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="runs at a time, each a process; default: one per core",
    )
    return parser


def _new(args: argparse.Namespace) -> int:
    from labreport.editions.sources import write_report

    for path in write_report(args.folder, args.title, args.author):
        _say(f"Wrote {path}")
    folder = shlex.quote(str(args.folder))
    _say(
        "Open the chapter in Jupyter, or build the report: "
        f"cd {folder} && labreport report"
    )
    return 0


def _run(args: argparse.Namespace) -> int:
    from labreport.editions.execute import require_outlines, run_notebooks
    from labreport.editions.sources import select_sources
    from labreport.editions.staleness import find_stale

    run = _choose_run(args)
    with _alone(run):
        sources = select_sources(args.chapters)
        require_outlines(sources)
        if args.stale:
            sources = find_stale(sources, run)
        run_notebooks(sources, run, _say)
    return 0


def _build(args: argparse.Namespace) -> int:
    from labreport.editions.current import EDITIONS, find_outdated
    from labreport.editions.sources import find_sources
    from labreport.editions.staleness import find_stale

    run = _choose_run(args)
    editions = list(EDITIONS) if args.name == "report" else [args.name]
    with _alone(run):
        stale = find_stale(find_sources(), run)
        outdated = editions if stale else find_outdated(editions, run, _say)
        if outdated:
            # Slow to import, and not needed where all is up to date.
            from labreport.editions.build import build

            build(outdated, stale, run, _say)
        refuted = json.loads((run.build / "results.json").read_bytes())["refuted"]
    if not refuted:
        return 0
    _say("Sentences that do not hold in this run, and are marked in the text:")
    for line in refuted:
        _say(f"  {line}")
    if args.strict:
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
    if args.seed < 0:
        raise expected("--seed from 0", args.seed, "name another")
    return Run(get_profile(args.profile).name, args.seed)


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
    from labreport.editions import checks

    complaints = checks.find_complaints()
    if not complaints:
        _say("Nothing to complain about.")
        return 0
    for complaint in complaints:
        _say(complaint)
    return 1


def _class(args: argparse.Namespace) -> int:
    from labreport.course.course import write_course

    for path in write_course(args.folder):
        _say(f"Wrote {path}")
    return 0


def _diff(args: argparse.Namespace) -> int:
    """Return 0 when nothing moved but times, else 1."""
    from labreport.editions.diff import find_changes, is_time, read_results

    changes = find_changes(read_results(args.old), read_results(args.new))
    for name, change in changes.items():
        _say(f"{name}: {change}")
    return 0 if all(is_time(name) for name in changes) else 1


def _study(args: argparse.Namespace) -> int:
    from labreport import environment, sweeps

    studies = [sweeps.find_study(name) for name in args.names]
    environment.limit_threads()
    jobs = environment.num_processes() if args.jobs is None else args.jobs
    with sweeps.workers(jobs):
        for name, make in zip(args.names, studies, strict=True):
            _say(f"{name}: {make()}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
