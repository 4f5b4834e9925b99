"""Chapter 2's defence: digits read by networks with and without adversarial training, three seeds of each."""

import functools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dlapps import datasets
from dlapps.core import metrics, paths, results, runtime
from dlapps.core.images import as_pictures
from dlapps.core.sweeps import keep, sweep
from dlapps.core.training import to_float16, write_checked
from studies.attack_methods import survives
from studies.defence_methods import apgd, fit_digits, square

SEEDS = (0, 1, 2)
# The epsilon of the training, and its epochs; plain training needs fewer.
TRAININGS = {"robust": (0.3, 6), "plain": (0.0, 3)}
# Curves are of the first test digits, the accuracy at .3 under APGD of all.
EPSILONS = (0.05, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4)
NUM_APGD, NUM_SQUARE = 500, 200


@functools.cache
def load_digits() -> tuple[Tensor, Tensor]:
    """Test digits (10000, 1, 28, 28) in [0, 1], and their labels."""
    test = datasets.load_mnist("test")
    return as_pictures(test.images), torch.from_numpy(test.labels)


def train(name: str, seed: int) -> nn.Module:
    """One training, taken up where it was stopped; four minutes on one core."""
    digits, (epsilon, num_epochs) = datasets.load_mnist("train"), TRAININGS[name]
    checkpoint = paths.cache() / "defence" / f"{name} {seed}.pt"
    return fit_digits(digits.images, digits.labels, epsilon, num_epochs, seed, checkpoint)


def withstand(network: nn.Module, attack: str, epsilon: float, number: int, seed: int) -> float:
    """Share of the first test digits still read as labelled, as floats within epsilon."""
    images, labels = (part[:number] for part in load_digits())
    if attack == "apgd":
        examples = apgd(network, images, epsilon, labels, num_steps=20, num_restarts=2, seed=seed)
    else:
        examples = square(network, images, epsilon, labels, num_queries=500, seed=seed)
    return 1 - float(survives(network, examples, "none").float().mean())


def measure(name: str, seed: int) -> dict[str, Any]:
    """What one network withstands."""
    network, (images, labels) = train(name, seed), load_digits()
    with runtime.autocast("cpu"):
        left = partial(withstand, network, seed=seed)
        apgd = [round(left("apgd", epsilon, NUM_APGD), 4) for epsilon in EPSILONS]
        square = [round(left("square", epsilon, NUM_SQUARE), 4) for epsilon in EPSILONS]
    return {
        "clean_accuracy": float((network(images).argmax(1) == labels).float().mean()),
        "robust_accuracy": withstand(network, "apgd", 0.3, len(images), seed),
        "apgd": apgd,
        "square": square,
    }


def summarise(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, the accuracies at .3, and the deviation of what APGD leaves."""
    square = [entry["square"][EPSILONS.index(0.3)] for entry in entries]
    robust = [entry["robust_accuracy"] for entry in entries]
    clean = [entry["clean_accuracy"] for entry in entries]
    means = {"accuracy": np.mean(robust), "clean": np.mean(clean), "square": np.mean(square)}
    return {name: float(mean) for name, mean in means.items()} | {"accuracy_sd": metrics.deviation(robust)}


def make_visualizing_defence() -> Path:
    """Both networks over seeds, and the weights of the first; about 20 minutes on one core."""
    calls = {(name, seed): partial(keep(measure), name, seed) for seed in SEEDS for name in TRAININGS}
    found = dict(sweep(calls, "defence"))
    runs = {name: {str(seed): found[name, seed] for seed in SEEDS} for name in TRAININGS}
    parts = {name: summarise([*entries.values()]) for name, entries in runs.items()}
    weights = {name: to_float16(train(name, 0)) for name in TRAININGS}
    write_checked(paths.results() / "visualizing-defence.pt", weights)
    settings = {"epsilons": EPSILONS, "num_apgd": NUM_APGD, "num_square": NUM_SQUARE}
    return results.save("visualizing-defence", settings | parts | {"runs": runs}, SEEDS)
