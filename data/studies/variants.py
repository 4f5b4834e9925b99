"""The chapters under other seeds, threads, instruction sets and data, strictly: which
sentences do not hold there. `python -m studies.variants`, half an hour on two cores.

Each variant has a folder of its own, report/build/variants/NAME, with its pages. A
second call builds again what has changed since. Those on "the mirror" use the data sets
in DLAPPS_DATA, which has to be set, all others what packages carry.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from labreport.report import find_report


@dataclass(frozen=True)
class Variant:
    """The seed, the environment's variables, and whether the mirror is used."""

    seed: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    mirror: bool = False


# Instruction sets.
AVX512 = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
VARIANTS = {
    "seed-0": Variant(),
    "seed-1": Variant(1),
    "seed-2": Variant(2),
    "seed-3": Variant(3),
    "seed-4": Variant(4),
    "two-threads": Variant(variables={"LABREPORT_THREADS": "2"}),
    "avx512": Variant(variables=AVX512),
    "avx2": Variant(variables=AVX2),
    "mirror": Variant(mirror=True),
    "mirror-seed-1": Variant(1, mirror=True),
    "mirror-avx2": Variant(variables=AVX2, mirror=True),
}
# What a variant borrows from the report.
BORROWED = (
    "notebooks",
    "data",
    "report/references.bib",
    "report/report.toml",
    "report/profiles.toml",
)


def build(name: str, variant: Variant) -> bool:
    """Build the pages of a variant. Returns whether all sentences hold."""
    home = find_report().folder / "build" / "variants" / name
    for borrowed in BORROWED:
        link = home / borrowed
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(find_report().root / borrowed)
    command = [sys.executable, "-m", "labreport.cli", "html", "--strict"]
    command += ["--seed", str(variant.seed)]
    variables = choose_variables(variant, home)
    return subprocess.run(command, env=variables, check=False).returncode == 0


def choose_variables(variant: Variant, home: Path) -> dict[str, str]:
    """The environment of a variant, whose report is in the folder `home`.

    What is fetched lies in one folder for all variants that use the mirror, and one for
    the others, so that none takes what another was given.
    """
    variables = dict(os.environ)
    mirror = variables.pop("DLAPPS_DATA", None)
    fetched = "fetched"
    if variant.mirror:
        if not mirror:
            sys.exit("variants: expected the mirror's folder in DLAPPS_DATA; set it.")
        variables["DLAPPS_DATA"] = str(Path(mirror).resolve())
        fetched = "fetched-with-mirror"
    variables["LABREPORT_HOME"] = str(home)
    variables["DLAPPS_HOME"] = str(home.parent / fetched)
    return variables | variant.variables


def main() -> int:
    """Build all variants; 1 if a sentence fails in one of them."""
    failing = []
    for name, variant in VARIANTS.items():
        print(f"\n{name}", flush=True)
        if not build(name, variant):
            failing.append(name)
    print("\nSentences fail in:", ", ".join(failing) or "none")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
