"""Chapter 4's long runs: every trial over its seeds, judged by the digit classifier.

Training sees the train split alone. Samples are compared with the test split, and so
are train images: no generator is expected to pass them.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dlapps import gan
from labreport import results
from labreport.report import find_report
from labreport.results import Entry
from studies.gan_judge import SHARES, Judge, load_images
from studies.gan_settings import RUNS, fit_trial
from studies.runs import Calls, add_entries, bfloat16, make_missing, sweep_missing

SEEDS = tuple(range(max(run.num_seeds for run in RUNS.values())))
# The trainings whose generator's gradient is kept: of the saturating loss one that
# learns and four that stand still, one of them for a time only.
WATCHED = [
    ("dcgan practical", 0),
    ("dcgan saturating loss", 3),
    ("dcgan saturating loss", 4),
    ("dcgan saturating loss", 6),
    ("dcgan saturating loss", 8),
    ("dcgan saturating loss", 9),
]
# The generators of seed 0 that are committed.
COMMITTED = {
    "cdcgan tuned": "gan-cdcgan.pt",
    "dcgan practical": "gan-dcgan.pt",
}


def fit(name: str, seed: int) -> gan.Training:
    """One training."""
    trial = RUNS[name].trial
    images, labels = load_images("train", trial.size)
    if trial.num_classes == 1:
        labels = torch.zeros_like(labels)
    if not trial.num_classes:
        return fit_trial(images, trial, seed, frame_every=200)
    return fit_trial(images, trial, seed, labels, frame_every=200)


def train(name: str, seed: int) -> tuple[gan.Training, Entry]:
    """One training and its entry: scores, and the gradient's lengths if watched."""
    with bfloat16():
        training = fit(name, seed)
    scores = Judge().score_generator(training.generator, seed)
    entry: Entry = {"scores": scores}
    if (name, seed) in WATCHED:
        gradient = thin(training.history.generator_gradient)
        entry["history"] = {"generator_gradient": gradient}
    return training, entry


def thin(values: Sequence[float]) -> list[float]:
    """Means of about 100 parts of a history, rounded: enough for a plot."""
    length = math.ceil(len(values) / 100)
    thinned = []
    for start in range(0, len(values), length):
        mean = np.mean(values[start : start + length])
        thinned.append(float(f"{mean:.4g}"))
    return thinned


def make_gan() -> Path:
    """Make all runs, each saved as soon as it is done.

    What data/results/gan.json holds already is not made again.
    """
    add_entries("gan", {("shares",): SHARES}, SEEDS)
    make_missing("gan", {("real",): lambda: Judge().score_real()}, SEEDS)
    make_missing("gan", {("grey",): lambda: Judge().score_grey()}, SEEDS)
    calls: Calls = {}
    # Everything once, then with the next seed.
    for seed in SEEDS:
        for name, run in RUNS.items():
            if seed < run.num_seeds:
                calls["runs", name, seed] = partial(train, name, seed)
    for (_, name, seed), (training, entry) in sweep_missing("gan", calls):
        if seed == 0:
            save_samples(name, training)
            if name in COMMITTED:
                path = find_report().networks / COMMITTED[name]
                gan.save_generator(path, training.generator)
        elif (name, seed) in WATCHED:
            save_samples(f"{name} {seed}", training)
        add_entries("gan", {("runs", name, seed): entry}, SEEDS)
    return find_report().results / "gan.json"


def make_gan_course() -> Path:
    """Keep frames and losses in the course of one training, for a figure."""
    training = fit("dcgan practical", 0)
    history = training.history
    arrays = {
        "frames": training.frames.numpy()[:12, :5],
        "moments": np.array(training.frame_batches[:12]),
        "discriminator_loss": np.array(thin(history.discriminator_loss), np.float32),
        "generator_loss": np.array(thin(history.generator_loss), np.float32),
    }
    return results.save_arrays("gan-course", arrays)


def save_samples(name: str, training: gan.Training) -> None:
    """Add the last samples of the fixed latent vectors to gan.npz.

    They are sixteen, or ten of each class.
    """
    samples = {}
    if (find_report().results / "gan.npz").exists():
        samples = results.load_arrays("gan")
    number = 100 if training.settings.num_classes else 16
    samples[name] = training.frames.numpy()[-1:, :number]
    results.save_arrays("gan", samples)
