"""Chapter 4's eight Gaussians: losses and learning rates over seeds, a few seconds each."""

from functools import partial
from pathlib import Path
from typing import Any

from dlapps.core import results
from dlapps.core.results import Entry
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


def train(name: str, seed: int) -> Entry:
    """One training of 3,000 steps, and its entry."""
    training = toy.fit_ring(**SETTINGS[name], num_frames=NUM_FRAMES, seed=seed)
    modes, close = zip(*map(toy.count_modes, training.samples), strict=True)
    history = {"modes": list(modes), "near": [round(share, 4) for share in close]}
    return {"scores": {name: values[-1] for name, values in history.items()}, "history": history}


def make_gan_ring() -> Path:
    """Every setting over seeds: modes found and share of samples close to one, at each moment."""
    calls = {("runs", name, seed): partial(train, name, seed) for name in SETTINGS for seed in SEEDS}
    found = dict(sweep(calls, "trainings"))
    parts = nest({place: found[place] for place in calls})
    return results.save("gan-ring", {"shares": ["near"], **parts}, SEEDS)
