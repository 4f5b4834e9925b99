"""The verbs: labreport new, run, report, html, notebooks, check, class, diff, variants,
study.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from labreport import LabreportError, paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; wrong input is one sentence on stderr and exit
    code 2.
    """
    args = _parser().parse_args(arguments)
    try:
        if getattr(args, "seed", None) is not None:
            os.environ["LABREPORT_SEED"] = str(args.seed)
        if args.verb not in (_new, _diff):
            paths.require_report(f"labreport {args.name}")
        return args.verb(args)
    except LabreportError as error:
        print(f"labreport: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        wanted = "files and folders that can be read and written"
        print(
            f"labreport: expected {wanted}, got {error}; free space, or change their rights.",
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

    new = verbs.add_parser(
        "new", help="write the folder of a report of your own, with a chapter that runs"
    )
    new.add_argument("folder", type=Path, metavar="FOLDER")
    new.add_argument("--title", required=True)
    new.add_argument(
        "--author", required=True, action="append", help="once for each author"
    )
    new.set_defaults(verb=_new)

    run = verbs.add_parser("run", help="execute notebooks")
    run.add_argument(
        "chapters", nargs="*", metavar="CHAPTER", help="numbers or names; default: all"
    )
    run.add_argument(
        "--stale", action="store_true", help="only those that are not up to date"
    )
    report = verbs.add_parser(
        "report",
        help="execute what is stale and build all editions: PDF, HTML, reading copies",
    )
    html = verbs.add_parser("html", help="the same, HTML alone, without TeX")
    copies = verbs.add_parser(
        "notebooks", help="the same, reading copies alone: notebooks, numbers filled in"
    )
    for verb, function in (
        (run, _run),
        (report, _build),
        (html, _build),
        (copies, _build),
    ):
        verb.add_argument(
            "--profile", default="quick", help="smoke, quick (the default) or full"
        )
        verb.add_argument(
            "--seed",
            type=int,
            help="of all chance; any but 0 has a folder of its own in report/build",
        )
        verb.set_defaults(verb=function)
    for verb in (report, html, copies):
        verb.add_argument(
            "--strict",
            action="store_true",
            help="end with 2 where the run contradicts a sentence",
        )

    check = verbs.add_parser(
        "check",
        help="list unanswered questions, typed numbers, unused figures, bad pages",
    )
    check.set_defaults(verb=_check)

    course = verbs.add_parser(
        "class",
        help="write the folder of a course for nbgrader, made from the chapters",
    )
    course.add_argument("folder", type=Path, metavar="FOLDER")
    course.set_defaults(verb=_class)

    diff = verbs.add_parser(
        "diff", help="list the numbers that moved between two builds, with their spread"
    )
    for name in ("old", "new"):
        diff.add_argument(name, type=Path, metavar=f"{name.upper()}.json")
    diff.set_defaults(verb=_diff)

    variants = verbs.add_parser(
        "variants",
        help="run the chapters under other seeds, threads, processors and data",
    )
    variants.add_argument(
        "names", nargs="*", metavar="NAME", help="of report/variants.toml; default: all"
    )
    variants.set_defaults(verb=_variants)

    study = verbs.add_parser(
        "study", help="make again what data/results holds, by the code in data/studies"
    )
    study.add_argument("names", nargs="+", metavar="NAME")
    study.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="runs at a time, each a process; default: one per core",
    )
    study.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a dask.distributed cluster that makes the runs",
    )
    study.set_defaults(verb=_study)
    return parser


def _new(args: argparse.Namespace) -> int:
    from labreport.editions.sources import write_report

    for path in write_report(args.folder, args.title, args.author):
        _say(f"Wrote {path}")
    _say(
        f"Open the chapter in Jupyter, or build the report: cd {shlex.quote(str(args.folder))} && labreport report"
    )
    return 0


def _run(args: argparse.Namespace) -> int:
    from labreport.editions.execute import run_notebooks
    from labreport.editions.sources import select_sources
    from labreport.editions.staleness import is_stale

    profile = _profile_name(args.profile)
    with _alone():
        sources = select_sources(args.chapters)
        if args.stale:
            sources = [source for source in sources if is_stale(source, profile)]
        run_notebooks(sources, profile, _say)
    return 0


def _build(args: argparse.Namespace) -> int:
    from labreport.editions.current import EDITIONS, find_outdated, read_refuted

    profile = _profile_name(args.profile)
    editions = EDITIONS if args.name == "report" else [args.name]
    with _alone():
        outdated = find_outdated(editions, profile, _say)
        if outdated:
            from labreport.editions.build import (
                build,
            )  # its imports take longer than all of the above

            build(outdated, profile, _say)
        refuted = read_refuted(editions)
    if not refuted:
        return 0
    _say("Sentences that do not hold in this run, and are marked in the text:")
    for line in refuted:
        _say(f"  {line}")
    if args.strict:
        remedy = "correct them or the code, or build without --strict"
        raise LabreportError(
            f"expected sentences that hold in this run, got {len(refuted)} that do not; {remedy}."
        )
    return 0


def _alone() -> AbstractContextManager:
    """What lets one run or build at a time write in a report's folder: the others wait."""
    from filelock import FileLock, Timeout

    paths.build().mkdir(parents=True, exist_ok=True)
    lock = FileLock(paths.build() / ".lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        _say("Waiting for another labreport that writes in this folder")
        return lock.acquire()


def _check(args: argparse.Namespace) -> int:
    """0 when there is nothing to complain about, else 1."""
    from labreport.editions import checks, pages

    complaints = checks.find_complaints()
    try:
        complaints += pages.find_complaints()
    except paths.MissingPackageError as error:
        _say(f"The pages of the PDF were not looked at: {error}")
    print("\n".join(complaints) or "Nothing to complain about.")
    return int(bool(complaints))


def _class(args: argparse.Namespace) -> int:
    from labreport.course.course import write_course

    for path in write_course(args.folder):
        _say(f"Wrote {path}")
    return 0


def _diff(args: argparse.Namespace) -> int:
    """0 when nothing moved but times, else 1."""
    from labreport.editions.diff import find_changes, is_time, read_results

    changes = find_changes(read_results(args.old), read_results(args.new))
    for name, change in changes.items():
        _say(f"{name}: {change}")
    return int(not all(map(is_time, changes)))


def _study(args: argparse.Namespace) -> int:
    from labreport import environment, sweeps

    studies = [sweeps.find_study(name) for name in args.names]
    environment.limit_threads()
    with sweeps.workers(
        environment.num_processes() if args.jobs is None else args.jobs, args.scheduler
    ):
        for name, make in zip(args.names, studies, strict=True):
            _say(f"{name}: {make()}")
    return 0


def _variants(args: argparse.Namespace) -> int:
    from labreport.editions.variants import run_variants

    _say(f"Wrote {run_variants(args.names, _say)}")
    return 0


def _profile_name(name: str) -> str:
    from labreport.profiles import get_profile

    return get_profile(name, LabreportError).name


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
