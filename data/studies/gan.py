"""Chapter 4's long runs: every settings over its seeds, judged by the digit classifier.

Training sees the train split alone; samples are compared with the test split, and so
are train images: the floor that no generator is expected to pass.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dlapps import gan
from dlapps.gan import judge
from labreport import paths, results
from studies.gan_judge import SHARES, Judge, draw, load_images
from studies.gan_settings import CONDITIONAL_SETTINGS, SETTINGS, Trial, fit_trial
from studies.runs import Calls, add_entries, make_missing, sweep_missing

RUNS: dict[str, tuple[Trial, int]] = {
    f"dcgan {name}": settings for name, settings in SETTINGS.items()
}
RUNS |= {f"cdcgan {name}": settings for name, settings in CONDITIONAL_SETTINGS.items()}
SEEDS = tuple(range(max(number for _, number in RUNS.values())))
# As many samples as there are train images, for a classifier to learn from; and the
# seeds that draw them.
NUM_MANY, SEEDS_OF_MANY = 60_000, 3
# Whose course is kept: the one that the chapter shows, one of 64 x 64 that collapses
# and recovers, and of the saturating loss a run that learns and the four that stand
# still, one of them for a time only.
WATCHED = [("dcgan practical", 0), ("dcgan 64 x 64", 1)]
WATCHED += [("dcgan saturating loss", seed) for seed in (3, 4, 6, 8, 9)]


def fit(run: str, seed: int) -> gan.Training:
    """One training, taken up where it was stopped; one whose checkpoint is there
    already is only read.
    """
    settings = RUNS[run][0]
    images, labels = load_images("train", settings.size)
    checkpoint = paths.cache() / "gan" / f"{run} {seed}.pt"
    classes = labels if settings.num_classes else None
    return fit_trial(
        images, settings, seed, labels=classes, checkpoint=checkpoint, frame_every=200
    )


def train(run: str, seed: int) -> tuple[gan.Training, dict[str, object]]:
    """One training and its entry: scores, and of those that are watched their history."""
    training = fit(run, seed)
    scores = Judge().score_generator(training.generator, training.settings, seed)
    watched = {"history": thin(training.history)} if (run, seed) in WATCHED else {}
    return training, {"scores": scores, **watched}


def teach_many(seed: int) -> dict[str, object]:
    """GAN-train of the tuned conditional generator with NUM_MANY samples."""
    asked = torch.arange(NUM_MANY) % 10
    samples = draw(fit("cdcgan tuned", seed).generator, NUM_MANY, seed + 2, asked)
    accuracy = judge.gan_train_accuracy(samples, asked, *load_images("test"), seed=seed)
    return {"scores": {"gan_train_accuracy": accuracy}}


def thin(history: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Means of about 100 parts of a history, rounded, by name: what a plot needs of a
    long training.
    """
    every = -(-len(history["spread"]) // 100)
    return {
        name: [
            float(f"{np.mean(values[edge : edge + every]):.4g}")
            for edge in range(0, len(values), every)
        ]
        for name, values in history.items()
    }


def make_gan() -> Path:
    """All settings, each saved as soon as it is done; what data/results/gan.json holds
    already is not run again.
    """
    add_entries("gan", {("shares",): SHARES}, SEEDS)
    make_missing("gan", {("real",): lambda: Judge().score_real()}, SEEDS)
    make_missing("gan", {("grey",): lambda: Judge().score_grey()}, SEEDS)
    # Everything once, then with the next seed.
    calls: Calls = {
        ("runs", run, seed): partial(train, run, seed)
        for seed in SEEDS
        for run, (_, number) in RUNS.items()
        if seed < number
    }
    for (_, run, seed), (training, entry) in sweep_missing("gan", calls):
        if seed == 0 or (run, seed) in WATCHED:
            save_samples(run if seed == 0 else f"{run} {seed}", training)
        add_entries("gan", {("runs", run, seed): entry}, SEEDS)
    many: Calls = {
        ("runs", "cdcgan tuned, 60,000", seed): partial(teach_many, seed)
        for seed in range(SEEDS_OF_MANY)
    }
    make_missing("gan", many, SEEDS)
    return paths.results() / "gan.json"


def save_samples(run: str, training: gan.Training) -> None:
    """The last samples of the fixed latent vectors to gan.npz, sixteen or ten a label;
    tuned generators to files.
    """
    path = paths.results() / "gan.npz"
    samples = results.load_arrays("gan") if path.exists() else {}
    samples[run] = training.frames.numpy()[
        -1:, : 100 if training.settings.num_classes else 16
    ]
    results.save_arrays("gan", samples)
    kind, settings = run.split(" ", 1)
    if settings == "tuned":
        gan.save_generator(paths.networks() / f"gan-{kind}.pt", training.generator)
    if settings == "practical":
        gan.save_generator(
            paths.networks() / f"gan-{kind}-practical.pt", training.generator
        )
