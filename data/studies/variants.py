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
from unittest import mock

from nbformat import NotebookNode
from tqdm import tqdm

from labreport import LabreportError, environment, expected, paths
from labreport.chapters import read_notebook
from labreport.editions.execute import read_seconds
from labreport.editions.outputs import messages
from labreport.editions.sources import select_sources
from labreport.runs import Run


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
# Instruction sets, each with the number format that such a machine has.
BFLOAT16 = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "DLAPPS_PRECISION": "bfloat16"}
AVX512 = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "DLAPPS_PRECISION": "float32"}
AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "DLAPPS_PRECISION": "float32",
}
# The data sets instead of what packages carry.
MIRROR = ("DLAPPS_DATA",)
VARIANTS = {
    "seed 0": Variant(),
    "seed 1": Variant(1),
    "seed 2": Variant(2),
    "seed 3": Variant(3),
    "seed 4": Variant(4),
    "two threads": Variant(environment={"LABREPORT_THREADS": "2"}),
    "AVX-512 with bfloat16": Variant(environment=BFLOAT16),
    "AVX-512, float32": Variant(environment=AVX512),
    "AVX2, float32": Variant(environment=AVX2),
    "the mirror": Variant(keep=MIRROR),
    "the mirror, seed 1": Variant(1, keep=MIRROR),
    "the mirror, AVX2, float32": Variant(environment=AVX2, keep=MIRROR),
}
# Variables that change numbers: a variant has them only if it sets or keeps them.
CHANGING = (
    "DLAPPS_DATA",
    "DLAPPS_PRECISION",
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
        notebooks = _run(name, variant, chapters)
        seconds[name] = {}
        for chapter, notebook in notebooks.items():
            seconds[name][chapter] = round(read_seconds(notebook))
            executed.setdefault(chapter, {})[name] = notebook
    results = {
        "made": environment.describe(),
        "profile": PROFILE,
        "variants": seconds,
        "chapters": {name: summarize(executed[name]) for name in sorted(executed)},
    }
    content = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    return paths.write_atomically(paths.results() / "variants.json", content.encode())


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
        target = paths.project() / borrowed
        if target.exists() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target.resolve())
    command = [sys.executable, "-m", "labreport.cli", "run", *chapters]
    command += ["--profile", PROFILE, "--seed", str(variant.seed), "--stale"]
    process = subprocess.run(command, env=variables, capture_output=True, text=True)
    if process.returncode:
        got = process.stderr.strip()
        raise LabreportError(f"expected the variant {name!r} to run, got {got}")
    run = Run(PROFILE, variant.seed)
    executed = {}
    with mock.patch.dict(os.environ, variables):
        for source in select_sources(chapters):
            executed[source.name] = read_notebook(run.executed(source.name))
    return executed


def find_home(name: str) -> Path:
    """Return the folder of the variant of that name."""
    folder = name.replace(" ", "-").replace(",", "")
    return paths.report() / "build" / "variants" / folder


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
    numbers: dict[str, list[dict[str, Any]]] = {}
    claims: dict[str, list[str]] = {}
    for variant, notebook in executed.items():
        for cell, message in messages(notebook, "values"):
            for expression, value in message["values"].items():
                numbers.setdefault(f"{cell.id} {expression}", []).append(value)
            for claim in message["claims"]:
                failing = claims.setdefault(f"{cell.id} {claim['claim']}", [])
                if not claim.get("holds"):
                    failing.append(variant)
    moving = {}
    for key, values in numbers.items():
        values.sort(key=_as_number)
        least = values[0].get("text", "–")
        greatest = values[-1].get("text", "–")
        if least != greatest:
            runs = len(values)
            moving[key] = {"least": least, "greatest": greatest, "runs": runs}
    return {
        "numbers": len(numbers),
        "moving": moving,
        "claims": len(claims),
        "failing": {key: variants for key, variants in claims.items() if variants},
    }


def _as_number(value: Mapping[str, Any]) -> tuple[float, str]:
    """Return what a value is sorted by: the mean of an interval, a number, or the
    letters of a word.
    """
    number = value.get("value")
    if isinstance(number, dict):
        number = number.get("mean", 0.0)
    if isinstance(number, (int, float)):
        return float(number), ""
    return 0.0, str(number)
