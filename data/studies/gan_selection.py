"""What steadies an unconditional DCGAN, lets one draw 64 x 64, and makes a conditional one worth learning from.

One seed, judged on images of the train split that were held out: the test split is not read. The finalists are presets
of `studies.gan`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dlapps import gan
from dlapps.core import paths, results
from dlapps.core.sweeps import sweep
from studies.gan import average_ends, thin
from studies.gan_judge import Judge, load_held_out
from studies.gan_presets import (
    AVERAGED,
    BOTH_FAST,
    CONDITIONAL,
    PRACTICAL,
    TOGETHER,
    UNLABELLED,
    WIDE,
    Trial,
    fit_trial,
)

NO_NORM: dict[str, Any] = {"norm": "none"}
SPECTRAL: dict[str, Any] = {"norm": "spectral"}
# A penalty is for each image apart, and batch norm in D would mix them.
R1: dict[str, Any] = {**NO_NORM, "penalty": "R1"}
# Adam as Gulrajani et al. (2017, algorithm 1) set it, with one step of D for each of G in place of five.
WASSERSTEIN: dict[str, Any] = {**NO_NORM, "loss": "wasserstein", "penalty": "gradient", "penalty_weight": 10.0}
WASSERSTEIN |= {"betas": (0.0, 0.9), "generator_rate": 1e-4, "discriminator_rate": 1e-4}
STABILISERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "averaged weights": {"average": 0.999},
    "fast discriminator": {"discriminator_rate": 1e-3},
    "no norm in D": NO_NORM,
    "R1": R1,
    "WGAN-GP": WASSERSTEIN,
    "spectral norm": SPECTRAL,
    "moved images": {"moves": True},
    "first block without batch norm": {"norm": "batch but first"},
    "together": TOGETHER,
    "together, latent 30": {**TOGETHER, "latent_dim": 30},
    "together, latent 30, first block": {**TOGETHER, **UNLABELLED},
    "together, discriminator no wider": {**TOGETHER, "discriminator_channels": 32},
    "together, first block without batch norm": {**TOGETHER, "norm": "batch but first"},
}
# After the preset best was chosen and read.
STABILISERS["later, both fast"] = {**AVERAGED, **UNLABELLED, **BOTH_FAST}
STABILISERS["later, both fast, no fall"] = {**WIDE, **UNLABELLED, **BOTH_FAST}
# Two epochs: what has collapsed by then stays so in five, as the practical's setting shows.
LARGE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "equal rates": {"generator_rate": 2e-4},
    "first block without batch norm": {"norm": "batch but first"},
    "no norm in D": NO_NORM,
    "no norm in D, default initialisation": {**NO_NORM, "initialised": False},
    "no norm in D, averaged, five epochs": {**NO_NORM, "num_epochs": 5, "average": 0.999, "anneal": True},
    "layer norm": {"norm": "layer"},
    "R1": R1,
    "spectral norm": SPECTRAL,
    "spectral norm, fast discriminator": {**SPECTRAL, "discriminator_rate": 1e-3},
    "spectral norm, discriminator twice as fast": {**SPECTRAL, "discriminator_rate": 4e-4},
    "spectral norm, slow generator": {**SPECTRAL, "discriminator_rate": 4e-4, "generator_rate": 2e-4},
}
# With labels, in three epochs but where a collapse showed after two.
LABELLED: dict[str, dict[str, Any]] = {"together": {}, "both fast": {**BOTH_FAST, "num_epochs": 2}, "R1": R1}
LABELLED |= {f"seeking {weight:g}": {"seeking": weight} for weight in (0.03, 0.1, 0.3, 1)}
CANDIDATES: dict[str, Trial] = {f"32, {name}": replace(PRACTICAL, **change) for name, change in STABILISERS.items()}
CANDIDATES |= {
    f"64, {name}": replace(PRACTICAL, size=64, **{"num_epochs": 2, **change}) for name, change in LARGE.items()
}
BASE = replace(CONDITIONAL, num_epochs=3, **TOGETHER)
CANDIDATES |= {f"told, {name}": replace(BASE, **change) for name, change in LABELLED.items()}


def try_candidate(name: str) -> dict[str, object]:
    """One training on the images that are not held out: scores, in words and in numbers, and the classes on the way."""
    preset, judge = CANDIDATES[name], Judge(held_out=True)
    images, labels = load_held_out()[0]
    checkpoint = paths.cache() / "gan" / f"selection {name}.pt"
    training = fit_trial(
        gan.prepare_images(images, preset.size), preset, labels=labels if preset.num_classes else None,
        checkpoint=checkpoint, measure=lambda generator: judge.glance(generator, preset), progress=True,
    )  # fmt: skip
    history = training.history
    thinned = thin(history, -(-len(history["spread"]) // 100))
    return {
        "scores": judge.score_generator(training.generator, preset, 0) | average_ends(thinned),
        "health": history.health(),
        "measures": history.measures,
    }


def make_gan_selection() -> Path:
    """Every candidate, each saved as soon as it is done; about four hours on one core."""
    path = paths.results() / "gan-selection.json"
    parts = results.load("gan-selection").parts if path.exists() else {}
    runs: dict[str, dict] = parts.get("runs", {})
    real = parts.get("real") or Judge(held_out=True).score_real()
    missing = {name: partial(try_candidate, name) for name in CANDIDATES if name not in runs}
    for name, entry in sweep(missing, "candidates"):
        runs[name] = {"0": entry}
        results.save("gan-selection", {"real": real, "runs": runs}, [0])
    return path
