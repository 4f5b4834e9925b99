"""Chapter 4's eight Gaussians: losses and learning rates over seeds, a few seconds each."""

from functools import partial
from pathlib import Path
from typing import Any

from dlapps.core import results
from dlapps.core.sweeps import sweep
from dlapps.gan import toy
from studies.runs import nest

SEEDS = tuple(range(20))
SETTINGS: dict[str, dict[str, Any]] = {
    "equal rates": {},
    "equal rates, saturating loss": {"loss": "saturating"},
    "fast generator": {"rates": (4e-3, 1e-3)},
    "both fast": {"rates": (4e-3, 4e-3)},
}
NUM_FRAMES = 20


def train(name: str, seed: int) -> toy.PointTraining:
    """One training of 3,000 steps."""
    return toy.fit_ring(**SETTINGS[name], num_frames=NUM_FRAMES, seed=seed)


def make_gan_ring() -> Path:
    """Every setting over seeds: modes found and share of samples close to one, at each moment."""
    calls = {(name, seed): partial(train, name, seed) for name in SETTINGS for seed in SEEDS}
    entries = {}
    for (name, seed), training in sweep(calls, "trainings"):
        modes, close = zip(*map(toy.count_modes, training.samples), strict=True)
        shares = [round(share, 4) for share in close]
        history = {"modes": list(modes), "near": shares}
        scores = {"modes": modes[-1], "near": shares[-1]}
        entries[name, seed] = {"scores": scores, "history": history}
    runs = nest({run: entries[run] for run in calls})
    return results.save("gan-ring", {"shares": ["near"], "runs": runs}, SEEDS)
