"""The chapters under other seeds, threads, instruction sets and data: how far each
number moves, and where each claim holds.

Each variant has a folder of its own, so that none takes files from another. It keeps
what it has run: a second call continues where the first was stopped, and runs again
what has changed since. Half an hour on two cores, with the mirror in DLAPPS_DATA.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from tqdm import tqdm

from labreport import LabreportError, environment, expected
from labreport.messages import messages
from labreport.report import (
    Report,
    find_report,
    read_notebook,
    select,
    write_atomically,
)
from labreport.run import Run


@dataclass(frozen=True)
class Variant:
    """The conditions under which the chapters run: a seed, variables of its own, and
    variables of the caller that it keeps.
    """

    seed: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()


PROFILE = "quick"
CHAPTERS = ("1", "2", "3", "4")
# Instruction sets.
AVX512 = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
# The data sets instead of what packages carry.
MIRROR = ("DLAPPS_DATA",)
VARIANTS = {
    "seed 0": Variant(),
    "seed 1": Variant(1),
    "seed 2": Variant(2),
    "seed 3": Variant(3),
    "seed 4": Variant(4),
    "two threads": Variant(environment={"LABREPORT_THREADS": "2"}),
    "AVX-512": Variant(environment=AVX512),
    "AVX2": Variant(environment=AVX2),
    "the mirror": Variant(keep=MIRROR),
    "the mirror, seed 1": Variant(1, keep=MIRROR),
    "the mirror, AVX2": Variant(environment=AVX2, keep=MIRROR),
}
# Variables that change numbers: a variant has them only if it sets or keeps them.
CHANGING = (
    "DLAPPS_DATA",
    "ONEDNN_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
    "LABREPORT_THREADS",
)
# What of the report a variant borrows from it.
BORROWED = (
    "notebooks",
    "data",
    "report/references.bib",
    "report/report.toml",
    "report/profiles.toml",
)


def make_variants() -> Path:
    """Run the chapters in all variants and write data/results/variants.json."""
    return compare(VARIANTS, CHAPTERS)


def compare(variants: Mapping[str, Variant], chapters: Iterable[str]) -> Path:
    """Run these chapters in these variants, and write what moves and what fails."""
    seconds: dict[str, dict[str, int]] = {}
    executed: dict[str, dict[str, NotebookNode]] = {}
    for name, variant in tqdm(variants.items(), "variants"):
        seconds[name] = {}
        for chapter, notebook in _run(name, variant, chapters).items():
            seconds[name][chapter] = round(notebook.metadata.labreport["seconds"])
            executed.setdefault(chapter, {})[name] = notebook
    report = find_report()
    results = {
        "made": environment.describe(report),
        "profile": PROFILE,
        "variants": seconds,
        "chapters": {name: summarize(executed[name]) for name in sorted(executed)},
    }
    content = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    return write_atomically(report.results / "variants.json", content.encode())


def _run(
    name: str, variant: Variant, chapters: Iterable[str]
) -> dict[str, NotebookNode]:
    """Run those of the chapters that are not up to date in a variant.

    Returns the executed copies of all of them, by name.
    """
    home = find_home(name)
    variables = make_variables(name, variant)
    for borrowed in BORROWED:
        link = home / borrowed
        target = find_report().root / borrowed
        if target.exists() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target.resolve())
    command = [sys.executable, "-m", "labreport.cli", "run", *chapters]
    command += ["--profile", PROFILE, "--seed", str(variant.seed), "--stale"]
    process = subprocess.run(command, env=variables, capture_output=True, text=True)
    if process.returncode:
        got = process.stderr.strip()
        raise LabreportError(f"expected the variant {name!r} to run, got {got}")
    report = Report(home)
    run = Run(report, PROFILE, variant.seed)
    executed = {}
    for source in select(report.sources(), chapters):
        executed[source.name] = read_notebook(run.executed(source.name))
    return executed


def find_home(name: str) -> Path:
    """Return the folder of the variant of that name."""
    folder = name.replace(" ", "-").replace(",", "")
    return find_report().folder / "build" / "variants" / folder


def make_variables(name: str, variant: Variant) -> dict[str, str]:
    """Return the environment in which a variant runs.

    What is fetched lies in one folder for all variants that keep the same variables, so
    that packaged data are not those of an earlier run. Raises LabreportError if the
    caller lacks a variable that the variant keeps.
    """
    home = find_home(name)
    variables = dict(os.environ)
    for changing in CHANGING:
        variables.pop(changing, None)
    for kept in variant.keep:
        if not os.environ.get(kept):
            raise expected(f"{kept} for the variant {name!r}", "none", "set it")
        variables[kept] = os.path.abspath(os.environ[kept])
    variables.update(variant.environment)
    variables["LABREPORT_HOME"] = str(home)
    fetched = "-".join(["fetched", *variant.keep])
    variables["DLAPPS_HOME"] = str(home.parent / fetched)
    return variables


def summarize(executed: Mapping[str, NotebookNode]) -> dict[str, Any]:
    """Return how many numbers and claims a chapter has, which numbers differ between
    its executed copies, and where each claim fails.

    executed: a copy for each variant.
    """
    numbers: dict[str, list[tuple[float, str]]] = {}
    claims: dict[str, list[str]] = {}
    for variant, notebook in executed.items():
        verdicts: dict[str, dict[str, Any]] = {}
        for cell in notebook.cells:
            for message in messages(cell, "values"):
                for expression, value in message["values"].items():
                    text = next(iter(value["texts"].values()))
                    found = numbers.setdefault(f"{cell.id} {expression}", [])
                    found.append((_as_number(value["value"]), text))
                # Above the cell that it needs, a claim is tried before its names are
                # there: its last verdict counts.
                verdicts |= message["claims"]
        for claim, verdict in verdicts.items():
            failing = claims.setdefault(claim, [])
            if not verdict.get("holds"):
                failing.append(variant)
    moving = {}
    for key, found in numbers.items():
        least = min(found)[1]
        greatest = max(found)[1]
        if least != greatest:
            runs = len(found)
            moving[key] = {"least": least, "greatest": greatest, "runs": runs}
    return {
        "numbers": len(numbers),
        "moving": moving,
        "claims": len(claims),
        "failing": {key: variants for key, variants in claims.items() if variants},
    }


def _as_number(value: Any) -> float:
    """Return what a value is sorted by: a number, the mean of an interval, 0 for a
    word.
    """
    number = value.get("mean") if isinstance(value, dict) else value
    return float(number) if isinstance(number, int | float) else 0.0
