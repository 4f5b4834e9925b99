"""The chapters under other seeds, threads, instruction sets and data: where each number
goes, where each claim holds.

report/variants.toml says under what they are run. Each variant has a folder of its own,
so that none takes from another, and keeps what it has run: a second call goes on where
the first was stopped.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labreport import environment, paths
from labreport.editions import ReportError
from labreport.editions.sources import read_notebook

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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
    """Under what the chapters run: a seed, variables of their own, and variables of the
    caller that they keep.

    unset: variables of the caller that change numbers, which a variant has only where
    it keeps them.
    store: the variable that says where a run keeps what it fetches: one folder for all
    variants that keep the same.
    """

    name: str
    unset: tuple[str, ...]
    store: str = ""
    seed: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        """The variant's folder."""
        return (
            paths.report()
            / "build"
            / "variants"
            / self.name.replace(" ", "-").replace(",", "")
        )

    def variables(self) -> dict[str, str]:
        """The environment of its run; ReportError where the caller has not what it
        keeps.
        """
        if missing := [name for name in self.keep if not os.environ.get(name)]:
            raise ReportError(
                f"expected {missing[0]} for the variant {self.name!r}, got none; set it."
            )
        foreign = {*self.unset, "LABREPORT_THREADS"}
        own = {name: value for name, value in os.environ.items() if name not in foreign}
        kept = {name: os.path.abspath(os.environ[name]) for name in self.keep}
        folders = {"LABREPORT_HOME": str(self.home)}
        if self.store:
            folders[self.store] = str(
                self.home.parent / "-".join(["fetched", *self.keep])
            )
        return (
            own | kept | self.environment | folders | {"LABREPORT_SEED": str(self.seed)}
        )


def read_variants() -> tuple[str, list[str], list[Variant]]:
    """Profile, chapters and variants of report/variants.toml; ReportError if it is not
    valid.
    """
    path = paths.report() / "variants.toml"
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        common = {"unset": tuple(told.get("unset", ())), "store": told.get("store", "")}
        variants = [
            Variant(name, **common, **facts) for name, facts in told["variants"].items()
        ]
        return told["profile"], told["chapters"], variants
    except (OSError, ValueError, TypeError, KeyError) as error:
        wanted = "profile, chapters and a table of variants"
        raise ReportError(
            f"expected {wanted} in {path}, got {error!r}; correct it."
        ) from error


def run_variants(names: list[str], say: Callable[[str], None]) -> Path:
    """Run these variants, all without names, and write data/results/variants.json of
    all that have run.
    """
    profile, chapters, variants = read_variants()
    chosen = [variant for variant in variants if not names or variant.name in names]
    say(
        f"{len(chosen)} variants of {len(chapters)} chapters ({profile}): some three minutes each, a core a chapter"
    )
    for variant in chosen:
        _run(variant, profile, chapters, say)
    found = {}
    for variant in variants:
        folder = (
            variant.home
            / "report"
            / "build"
            / (f"seed-{variant.seed}" if variant.seed else "")
            / profile
        )
        if folder.is_dir():
            done = [
                path
                for path in sorted(folder.glob("[!.]*.ipynb"))
                if "." not in path.stem
            ]
            found[variant.name] = {path.stem: _read(path) for path in done}
    results = {"made": environment.describe(), "profile": profile, **_compare(found)}
    content = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    return paths.write_atomically(paths.results() / "variants.json", content.encode())


def _run(
    variant: Variant, profile: str, chapters: list[str], say: Callable[[str], None]
) -> None:
    for name in BORROWED:
        place, target = variant.home / name, paths.project() / name
        if target.exists() and not place.is_symlink():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target.resolve())
    begun = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "labreport.cli",
        "run",
        *chapters,
        "--profile",
        profile,
        "--stale",
    ]
    run = subprocess.run(
        command, env=variant.variables(), capture_output=True, text=True
    )
    if run.returncode:
        raise ReportError(
            f"expected the variant {variant.name!r} to run, got {run.stderr.strip()}"
        )
    say(f"{variant.name}: {time.monotonic() - begun:.0f} s")


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """What an executed notebook says: numbers by cell and expression, and whether each
    claim holds.
    """
    numbers: dict[str, Any] = {}
    claims: dict[str, bool] = {}
    notebook = read_notebook(path)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            message = output.get("data", {}).get("application/vnd.labreport+json", {})
            if message.get("kind") == "values":
                numbers |= {
                    f"{cell.id} {inner}": found
                    for inner, found in message["values"].items()
                }
                claims |= {
                    f"{cell.id} {claim['claim']}": claim.get("holds", False)
                    for claim in message["claims"]
                }
    return {
        "numbers": numbers,
        "claims": claims,
        "seconds": notebook.metadata.labreport["seconds"],
    }


def _compare(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """By chapter each number that is not the same in all variants, with its texts, and
    each claim that fails in one.
    """
    chapters: dict[str, Any] = {}
    for chapter in sorted({chapter for each in found.values() for chapter in each}):
        of = {
            variant: each[chapter] for variant, each in found.items() if chapter in each
        }
        values: dict[str, dict[str, Any]] = {}
        failing: dict[str, list[str]] = {}
        for variant, facts in of.items():
            for key, value in facts["numbers"].items():
                values.setdefault(key, {})[variant] = value
            for key, holds in facts["claims"].items():
                if not holds:
                    failing.setdefault(key, []).append(variant)
        ranges = {key: _find_range([*each.values()]) for key, each in values.items()}
        moving = {
            key: each
            for key, each in ranges.items()
            if each["least"] != each["greatest"]
        }
        claims = len(next(iter(of.values()))["claims"])
        chapters[chapter] = {
            "numbers": len(values),
            "moving": moving,
            "claims": claims,
            "failing": failing,
        }
    seconds = {
        variant: {c: round(f["seconds"]) for c, f in each.items()}
        for variant, each in found.items()
    }
    return {"variants": seconds, "chapters": chapters}


def _find_range(values: list[dict[str, Any]]) -> dict[str, Any]:
    """The least and the greatest of a number's texts, by value, and in how many runs it
    was seen.
    """
    found = sorted(values, key=lambda value: _as_number(value.get("value")))
    return {
        "least": found[0].get("text", "–"),
        "greatest": found[-1].get("text", "–"),
        "runs": len(found),
    }


def _as_number(value: Any) -> tuple[float, str]:
    """What values are sorted by: a mean of an interval, a number, or the letters of a
    word.
    """
    if isinstance(value, dict):
        value = value.get("mean", 0.0)
    return (float(value), "") if isinstance(value, (int, float)) else (0.0, str(value))
