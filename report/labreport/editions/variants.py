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
from labreport.editions.contents import outputs
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
    variables of the caller.

    unset: variables of the caller that change numbers; a variant has them only if it
    keeps them. store: the variable that says where a run keeps what it fetches, which
    is one folder for all variants that keep the same variables.
    """

    name: str
    unset: Sequence[str] = ()
    store: str = ""
    seed: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    keep: Sequence[str] = ()

    @property
    def home(self) -> Path:
        """Return the variant's folder."""
        folder = self.name.replace(" ", "-").replace(",", "")
        return paths.report() / "build" / "variants" / folder

    def variables(self) -> dict[str, str]:
        """Return the environment of its run.

        Raises LabreportError if the caller lacks a variable that the variant keeps.
        """
        variables = dict(os.environ)
        for name in (*self.unset, "LABREPORT_THREADS"):
            variables.pop(name, None)
        for name in self.keep:
            value = os.environ.get(name)
            if not value:
                raise expected(
                    f"{name} for the variant {self.name!r}", "none", "set it"
                )
            variables[name] = os.path.abspath(value)
        variables.update(self.environment)
        variables["LABREPORT_HOME"] = str(self.home)
        variables["LABREPORT_SEED"] = str(self.seed)
        if self.store:
            folder = "-".join(["fetched", *self.keep])
            variables[self.store] = str(self.home.parent / folder)
        return variables


@dataclass(frozen=True)
class Plan:
    """The content of report/variants.toml."""

    profile: str
    chapters: list[str]
    variants: list[Variant]


@dataclass
class Spread:
    """What a chapter says in all variants.

    For a cell and an expression these are the values of a number, and for a claim the
    variants in which it fails.
    """

    values: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    claims: dict[str, list[str]] = field(default_factory=dict)

    def add(self, variant: str, notebook: NotebookNode) -> None:
        """Add what the chapter's executed copy in a variant says."""
        for cell in notebook.cells:
            for _, message in outputs(cell, "values"):
                for expression, value in message["values"].items():
                    key = f"{cell.id} {expression}"
                    self.values.setdefault(key, []).append(value)
                for claim in message["claims"]:
                    failing = self.claims.setdefault(f"{cell.id} {claim['claim']}", [])
                    if not claim.get("holds"):
                        failing.append(variant)

    def summary(self) -> dict[str, Any]:
        """Return how many numbers and claims there are, and which of them differ."""
        moving = {}
        for key, values in self.values.items():
            ordered = sorted(values, key=_as_number)
            least = ordered[0].get("text", "–")
            greatest = ordered[-1].get("text", "–")
            if least != greatest:
                runs = len(values)
                moving[key] = {"least": least, "greatest": greatest, "runs": runs}
        return {
            "numbers": len(self.values),
            "moving": moving,
            "claims": len(self.claims),
            "failing": {key: names for key, names in self.claims.items() if names},
        }


def read_plan() -> Plan:
    """Read report/variants.toml. Raises LabreportError if it is not valid."""
    path = paths.report() / "variants.toml"
    try:
        tables = paths.read_toml(path)
        unset = tables.get("unset", [])
        store = tables.get("store", "")
        variants = [
            Variant(name, unset, store, **settings)
            for name, settings in tables["variants"].items()
        ]
        return Plan(tables["profile"], tables["chapters"], variants)
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
    by_name = {variant.name: variant for variant in plan.variants}
    for name in names:
        check_name("a variant", name, by_name)
    chosen = [by_name[name] for name in names] or plan.variants
    chapters = len(plan.chapters)
    say(f"Variants to run ({plan.profile}): {len(chosen)}, of {chapters} chapters each")
    for variant in chosen:
        _run(variant, plan, say)
    seconds: dict[str, dict[str, int]] = {}
    spreads: dict[str, Spread] = {}
    for variant in plan.variants:
        for path in _find_executed(variant, plan.profile):
            chapter = path.stem
            notebook = read_notebook(path)
            seconds.setdefault(variant.name, {})[chapter] = round(
                read_seconds(notebook)
            )
            spreads.setdefault(chapter, Spread()).add(variant.name, notebook)
    results = {
        "made": environment.describe(),
        "profile": plan.profile,
        "variants": seconds,
        "chapters": {name: spreads[name].summary() for name in sorted(spreads)},
    }
    content = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    return paths.write_atomically(paths.results() / "variants.json", content.encode())


def _run(variant: Variant, plan: Plan, say: Callable[[str], None]) -> None:
    """Run those of the plan's chapters that are not up to date in a variant."""
    for name in BORROWED:
        link = variant.home / name
        target = paths.project() / name
        if target.exists() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target.resolve())
    begun = time.monotonic()
    command = [sys.executable, "-m", "labreport.cli", "run", *plan.chapters]
    command += ["--profile", plan.profile, "--stale"]
    run = subprocess.run(
        command, env=variant.variables(), capture_output=True, text=True
    )
    if run.returncode:
        error = run.stderr.strip()
        raise LabreportError(
            f"expected the variant {variant.name!r} to run, got {error}"
        )
    say(f"{variant.name}: {time.monotonic() - begun:.0f} s")


def _find_executed(variant: Variant, profile: str) -> list[Path]:
    """Find the executed copies of the chapters that have run in a variant."""
    folder = variant.home / "report" / "build"
    if variant.seed:
        folder = folder / f"seed-{variant.seed}"
    copies = sorted((folder / profile).glob("[!.]*.ipynb"))
    # A run that failed leaves a file with two suffixes.
    return [path for path in copies if "." not in path.stem]


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
