"""Chapter 4's long runs: every trial over its seeds, judged by the digit classifier.

Training sees the train split alone. Samples are compared with the test split, and so
are train images: no generator is expected to pass them.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dlapps import gan
from labreport import results
from labreport.results import Entry
from studies.gan_judge import SHARES, Judge, load_images
from studies.gan_settings import RUNS, make_networks
from studies.runs import Calls, bfloat16, make_missing
from studies.weights import save_network

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
# Those whose generator is committed, by its file.
COMMITTED = {
    ("cdcgan tuned", 0): "gan-cdcgan.pt",
    ("dcgan practical", 0): "gan-dcgan.pt",
}


def fit(name: str, seed: int) -> gan.Training:
    """One training."""
    trial = RUNS[name].trial
    images, digits = load_images("train", trial.size)
    labels = None
    if trial.num_classes:
        labels = digits % trial.num_classes  # of one class, all are 0
    networks = make_networks(trial, seed)
    return gan.fit_gan(
        images, trial, seed, labels=labels, networks=networks, frame_every=200
    )


def train(name: str, seed: int) -> Entry:
    """The entry of one training: scores, and the gradient's lengths if it is watched.

    The generator is written, if it is to be kept.
    """
    with bfloat16():
        training = fit(name, seed)
    run = (name, seed)
    if run in COMMITTED:
        save_network(training.generator, COMMITTED[run], "generator")
    entry: Entry = {"scores": Judge().score_generator(training.generator, seed)}
    if run in WATCHED:
        gradient = thin(training.history.generator_gradient)
        entry["history"] = {"generator_gradient": gradient}
    return entry


def thin(values: Sequence[float]) -> list[float]:
    """Means of about 100 parts of a history: enough for a plot."""
    length = math.ceil(len(values) / 100)
    thinned = []
    for start in range(0, len(values), length):
        thinned.append(float(np.mean(values[start : start + length])))
    return thinned


def make_gan() -> Path:
    """Make all runs, everything once and then with the next seed."""
    calls: Calls = {
        ("real",): lambda: Judge().score_real(),
        ("grey",): lambda: Judge().score_grey(),
    }
    for seed in SEEDS:
        for name, run in RUNS.items():
            if seed < run.num_seeds:
                calls["runs", name, seed] = partial(train, name, seed)
    return make_missing("gan", calls, SEEDS, shares=SHARES)


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
