"""Run the chapters under other seeds, threads, instruction sets and data: how far each
number moves, and where each claim holds.

report/variants.toml lists these variants. Each has a folder of its own, so that none
takes files from another. It keeps what it has run: a second call continues where the
first was stopped.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from labreport import LabreportError, check_name, environment, expected, paths
from labreport.editions.contents import messages
from labreport.editions.execute import read_seconds
from labreport.editions.sources import read_notebook

# What of a report a variant borrows from it.
BORROWED = (
    "notebooks",
    "data",
    "report/references.bib",
    "report/report.toml",
    "report/profiles.toml",
)


@dataclass(frozen=True)
class Variant:
    """The conditions under which the chapters run: a seed, variables of its own, and
    variables of the caller that it keeps.
    """

    seed: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    keep: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """The content of report/variants.toml.

    unset: variables of the caller that change numbers; a variant has them only if it
    keeps them. store: the variable that says where a run keeps what it fetches, which
    is one folder for all variants that keep the same variables.
    """

    profile: str
    chapters: list[str]
    variants: dict[str, Variant]
    unset: Sequence[str] = ()
    store: str = ""

    def home(self, name: str) -> Path:
        """Return the folder of the variant of that name."""
        folder = name.replace(" ", "-").replace(",", "")
        return paths.report() / "build" / "variants" / folder

    def variables(self, name: str) -> dict[str, str]:
        """Return the environment in which the variant of that name runs.

        Raises LabreportError if the caller lacks a variable that the variant keeps.
        """
        variant = self.variants[name]
        home = self.home(name)
        variables = dict(os.environ)
        for unset in (*self.unset, "LABREPORT_THREADS"):
            variables.pop(unset, None)
        for kept in variant.keep:
            if not os.environ.get(kept):
                raise expected(f"{kept} for the variant {name!r}", "none", "set it")
            variables[kept] = os.path.abspath(os.environ[kept])
        variables.update(variant.environment)
        variables["LABREPORT_HOME"] = str(home)
        variables["LABREPORT_SEED"] = str(variant.seed)
        if self.store:
            folder = "-".join(["fetched", *variant.keep])
            variables[self.store] = str(home.parent / folder)
        return variables


def read_plan() -> Plan:
    """Read report/variants.toml. Raises LabreportError if it is not valid."""
    path = paths.report() / "variants.toml"
    try:
        tables = paths.read_toml(path)
        variants = {}
        for name, settings in tables["variants"].items():
            variants[name] = Variant(**settings)
        return Plan(**{**tables, "variants": variants})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise expected(
            f"profile, chapters and a table of variants in {path}",
            repr(error),
            "correct it",
        ) from error


def run_variants(names: list[str], say: Callable[[str], None]) -> Path:
    """Run the variants of these names, or all, and write data/results/variants.json of
    all that have run.
    """
    plan = read_plan()
    for name in names:
        check_name("a variant", name, plan.variants)
    chosen = names or list(plan.variants)
    chapters = len(plan.chapters)
    say(f"Variants to run ({plan.profile}): {len(chosen)}, of {chapters} chapters each")
    for name in chosen:
        begun = time.monotonic()
        _run(name, plan)
        say(f"{name}: {time.monotonic() - begun:.0f} s")
    seconds: dict[str, dict[str, int]] = {}
    executed: dict[str, dict[str, NotebookNode]] = {}
    for name in plan.variants:
        for path in _find_executed(name, plan):
            notebook = read_notebook(path)
            executed.setdefault(path.stem, {})[name] = notebook
            took = round(read_seconds(notebook))
            seconds.setdefault(name, {})[path.stem] = took
    results = {
        "made": environment.describe(),
        "profile": plan.profile,
        "variants": seconds,
        "chapters": {name: summarize(executed[name]) for name in sorted(executed)},
    }
    content = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    return paths.write_atomically(paths.results() / "variants.json", content.encode())


def _run(name: str, plan: Plan) -> None:
    """Run those of the plan's chapters that are not up to date in a variant."""
    for borrowed in BORROWED:
        link = plan.home(name) / borrowed
        target = paths.project() / borrowed
        if target.exists() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target.resolve())
    command = [sys.executable, "-m", "labreport.cli", "run", *plan.chapters]
    command += ["--profile", plan.profile, "--stale"]
    env = plan.variables(name)
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    if run.returncode:
        got = run.stderr.strip()
        raise LabreportError(f"expected the variant {name!r} to run, got {got}")


def _find_executed(name: str, plan: Plan) -> list[Path]:
    """Find the executed copies of the chapters that have run in a variant."""
    seed = plan.variants[name].seed
    folder = plan.home(name) / "report" / "build"
    if seed:
        folder = folder / f"seed-{seed}"
    copies = sorted((folder / plan.profile).glob("[!.]*.ipynb"))
    # A run that failed leaves a file with two suffixes.
    return [path for path in copies if "." not in path.stem]


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
