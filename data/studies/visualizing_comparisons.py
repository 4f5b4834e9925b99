"""Chapter 2's attacks compared on the same pictures: with noise of their size, and with each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlapps.core.paired import bootstrap_mean, compare_paired

Row = dict[str, Any]
# The noise of the size of an attack.
CONTROLS = {f"FGSM {levels}": f"noise {levels}" for levels in (1, 2, 4)} | {"PGD 1": "noise 1"}
CONTROLS |= dict.fromkeys(("PGD 2, 20 steps", "PGD 2, expects damage"), "noise 2")
NAMES = {"squeezenet1_1": "SqueezeNet"}
NAMES |= {"efficientnet_lite0": "Lite0", "efficientnet_lite2": "Lite2"}


def exceed(first: Row, second: Row, damage: str = "saved") -> dict[str, float]:
    """By how much the first share of pictures is above the second, paired, with its 95 % interval."""
    found = compare_paired(*(as_flags(row["bits"][damage]) for row in (first, second)))
    return {"difference": found.difference, "low": found.low, "high": found.high}


def as_flags(bits: str) -> np.ndarray:
    """bool (N,) of "0110"."""
    return np.array([*bits]) == "1"


def complete_table(rows: Mapping[str, Row]) -> None:
    """Give each attack that has a control its gain over it, in words."""
    for label in CONTROLS.keys() & rows.keys():
        gain = exceed(rows[label], rows[CONTROLS[label]])
        low, high = (min(gain[end], 1) for end in ("low", "high"))
        rows[label]["beyond noise"] = f"{gain['difference']:+.0%} ({low:.0%} to {high:.0%})"


def draw_curves(table: Mapping[str, Mapping[str, Row]], smallest: Mapping[str, Row]) -> dict[str, list[float]]:
    """Share of pictures that withstand, by name: PGD at each epsilon of the grid, noise at the last five."""
    curves = {}
    for network in smallest:
        name = NAMES[network]
        curves[f"{name}, PGD"] = smallest[network]["untargeted"]["withstand"]
        shares = (table[network][f"noise {level}"]["saved"] for level in (1, 2, 4, 8, 16))
        curves[f"{name}, noise"] = [1 - share for share in shares]
    return curves | {"SqueezeNet, to a stingray": smallest["squeezenet1_1"]["targeted"]["withstand"]}


def compare_transfer(made: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Share of pictures that each attack on one network has others misread; the paired interval of best less PGD."""
    shares = {method: np.mean([as_flags(bits) for bits in others.values()], axis=0) for method, others in made.items()}
    gain = bootstrap_mean(shares["best"] - shares["pgd"])
    means = {method: float(share.mean()) for method, share in shares.items()}
    return means | {"low": gain.low, "high": gain.high}


def tabulate_transfer(made: Mapping[str, Mapping[str, Mapping[str, str]]]) -> dict[str, dict[str, float]]:
    """The same share by direction, "one to other"."""
    table: dict[str, dict[str, float]] = {}
    for source, methods in made.items():
        for method, others in methods.items():
            for other, bits in others.items():
                row = table.setdefault(f"{NAMES[source]} to {NAMES[other]}", {})
                row[method] = float(as_flags(bits).mean())
    return table


def list_numbers(parts: Mapping[str, Any]) -> dict[str, Any]:
    """What the chapter's prose says of it."""
    rows = parts["table"]["squeezenet1_1"]
    smallest = parts["smallest"]
    universal = parts["universal"]
    hardened, plain = rows["PGD 2, expects damage"], rows["PGD 2, 20 steps"]
    medians = {kind: found["median"] for kind, found in smallest["squeezenet1_1"].items()}
    damaged = {
        name: {key: row[key] for key in ("jpeg", "resized")}
        for name, row in {"clean": rows["none"], "pgd2": plain}.items()
    }
    return {
        "transfer": compare_transfer(parts["transfer"]["squeezenet1_1"]),
        "hardening": {damage: exceed(hardened, plain, damage) for damage in ("jpeg", "resized")},
        "uap": {name: row["saved"] for name, row in universal.items()} | exceed(*universal.values()),
        "smallest": medians | {"lite": smallest["efficientnet_lite0"]["untargeted"]["median"]},
        "deepfool": {key: rows["DeepFool"][key] for key in ("floats", "saved")},
        "fgsm2": {"jpeg": rows["FGSM 2"]["jpeg"]},
        **damaged,
    }
