"""Chapter 4's long runs: every preset over seeds, judged by the digit classifier; one run on other images.

Training sees the train split alone; samples are compared with the test split, and so are train images: the floor that
no generator is expected to pass. The selection that came before never reads the test split.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlapps import gan
from dlapps.core import paths, results
from dlapps.core.runtime import number_format
from dlapps.gan.judge import SIZE
from dlapps.gan.networks import AnyGenerator
from studies import gan_presets as presets
from studies.gan_judge import SHARES, Judge, draw, load_held_out, load_images
from studies.gan_presets import Trial, fit_trial
from studies.runs import Calls, add_entries, make_missing, rounded, sweep_missing


@dataclass(frozen=True)
class Plan:
    """What is trained: a preset, on which images, in which precision."""

    preset: Trial
    data: str = "MNIST"
    precision: str = "fast"


PLANS = {
    "dcgan": {
        **{name: Plan(preset) for name, preset in presets.PRESETS.items()},
        "practical, float32": Plan(presets.PRACTICAL, precision="float32"),
        "64 x 64, spectral norm, float32": Plan(presets.PRESETS["64 x 64, spectral norm"], precision="float32"),
        "Fashion-MNIST": Plan(presets.PRACTICAL, data="Fashion-MNIST"),
    },
    "cdcgan": {name: Plan(preset) for name, preset in presets.CONDITIONAL_PRESETS.items()},
}
SEEDS = (0, 1, 2)

# Candidates: what steadies an unconditional DCGAN, lets one draw 64 x 64, and makes a conditional one worth learning
# from; one seed, judged on held-out images of the train split. The finalists are presets.
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
    "together": presets.TOGETHER,
    "together, latent 30": {**presets.TOGETHER, "latent_dim": 30},
    "together, latent 30, first block": {**presets.TOGETHER, **presets.UNLABELLED},
    "together, discriminator no wider": {**presets.TOGETHER, "discriminator_channels": 32},
    "together, first block without batch norm": {**presets.TOGETHER, "norm": "batch but first"},
}
# After the preset best was chosen and read.
STABILISERS["later, both fast"] = {**presets.AVERAGED, **presets.UNLABELLED, **presets.BOTH_FAST}
STABILISERS["later, both fast, no fall"] = {**presets.WIDE, **presets.UNLABELLED, **presets.BOTH_FAST}
# Two epochs: what has collapsed by then stays so in five, as the practical's setting shows.
LARGE: dict[str, dict[str, Any]] = {
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
LABELLED: dict[str, dict[str, Any]] = {"together": {}, "both fast": {**presets.BOTH_FAST, "num_epochs": 2}, "R1": R1}
LABELLED |= {f"seeking {weight:g}": {"seeking": weight} for weight in (0.03, 0.1, 0.3, 1)}
TRIED = {"32": (presets.PRACTICAL, STABILISERS)}
TRIED |= {"64": (replace(presets.PRACTICAL, size=64, num_epochs=2), LARGE)}
TRIED |= {"told": (replace(presets.CONDITIONAL, num_epochs=3, **presets.TOGETHER), LABELLED)}
CANDIDATES = {
    f"{kind}, {name}": replace(base, **change)
    for kind, (base, tried) in TRIED.items()
    for name, change in tried.items()
}


def fit(kind: str, name: str, seed: int, judge: Judge) -> gan.Training:
    """One training, taken up where it was stopped; one whose checkpoint is there already is only read."""
    plan = PLANS[kind][name]
    preset = plan.preset
    images, labels = load_images(plan.data, "train", preset.size)
    checkpoint = paths.cache() / "gan" / f"{kind} {name} {seed}.pt"
    return fit_trial(
        images, preset, seed, labels=labels if preset.num_classes else None, checkpoint=checkpoint, frame_every=200,
        measure=lambda generator: judge.measure_often(generator, preset), measure_every=200, precision=plan.precision,
    )  # fmt: skip


def train(kind: str, name: str, seed: int) -> tuple[gan.Training, dict[str, object]]:
    """One training and its entry: history of about 100 points, scores, and the number format of the plan on this
    machine, where its checkpoint must have been made too."""
    plan = PLANS[kind][name]
    judge, preset = Judge(plan.data), plan.preset
    training = fit(kind, name, seed, judge)
    num_batches = training.frame_batches[-1]
    every = -(-num_batches // 100)
    history = thin(training.history, every)
    scores = judge.score_generator(training.generator, preset, seed) | average_ends(history)
    if preset.num_classes:
        scores |= compare_spreads(training.generator, *judge.real)
    precision = number_format("cpu", plan.precision)
    return training, {
        "scores": scores,
        "settings": {"number_format": precision, "batches": num_batches, "history_every": every},
        "health": training.history.health(),
        "history": history,
        "measures": training.history.measures,
        **({"real": judge.score_real()} if plan.data != "MNIST" else {}),
    }


def score_pooled(judge: Judge) -> dict[str, object]:
    """The conditional generators of all seeds as one, which draw in turns."""
    generators = [fit("cdcgan", "best, seeking", seed, judge).generator for seed in SEEDS]

    def draw_digits(labels: Tensor, seed: int) -> Tensor:
        images = torch.empty(len(labels), SIZE, SIZE, dtype=torch.uint8)
        for first, generator in enumerate(generators):
            rows = slice(first, None, len(generators))
            images[rows] = draw(generator, len(labels[rows]), seed, labels[rows])
        return images

    return {"scores": judge.score_conditional(draw_digits, 0)}


def compare_spreads(generator: AnyGenerator, real: Tensor, labels: Tensor) -> dict[str, float]:
    """How much 1,000 samples vary within a label, in multiples of real images: "spread" as samples are drawn, with the
    running statistics of batch norm, "spread_in_batches" with those of batches of 100, as in training."""
    asked = torch.arange(1000) % 10
    z = gan.draw_latents(len(asked), generator.latent_dim, 0)
    # Batches change the running statistics.
    trained = copy.deepcopy(generator).train()
    with torch.no_grad():
        batches = torch.arange(len(z)).split(100)
        parts = [gan.generate(trained, z[rows], asked[rows]) for rows in batches]
    # Samples lie in [-1, 1], two units wide.
    unit = gan.spread(real.float() / 127.5, labels)
    drawn = {"spread": gan.sample(generator, z, asked), "spread_in_batches": torch.cat(parts)}
    return rounded({name: gan.spread(images, asked) / unit for name, images in drawn.items()})


def thin(history: Mapping[str, Sequence[float]], every: int) -> dict[str, list[float]]:
    """Means over `every` batches, rounded, by name: what a plot needs of a long training."""
    return {
        name: [float(f"{np.mean(values[edge : edge + every]):.4g}") for edge in range(0, len(values), every)]
        for name, values in history.items()
        if name != "measures"
    }


def average_ends(history: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Means of the last eight of about a hundred points, of what says how a training ended."""
    names = ("real_probability", "fake_probability", "generator_loss", "spread")
    return rounded({f"last_{name}": np.mean(history[name][-8:]) for name in names}, 6)


def measure(score: Callable[[Judge], object], held_out: bool = False) -> object:
    """A score of no single training, by a judge of digits."""
    return score(Judge(held_out=held_out))


def make_gan() -> Path:
    """All presets, each saved as soon as it is done; what data/results/gan.json holds already is not run again."""
    add_entries("gan", {("shares",): SHARES}, SEEDS)
    make_missing("gan", {("real",): partial(measure, Judge.score_real)}, SEEDS)
    # Everything once, then with the next seed.
    runs = [(kind, name) for kind, plans in PLANS.items() for name in plans]
    calls: Calls = {("runs", " ".join(run), seed): partial(train, *run, seed) for seed in SEEDS for run in runs}
    for place, (training, entry) in sweep_missing("gan", calls):
        (kind, name), seed = place[1].split(" ", 1), place[2]
        if seed == 0:
            save_samples(kind, name, training)
        if seed == 0 and name == "best":
            gan.save_generator(paths.results() / f"gan-{kind}.pt", training.generator, training.preset)
        add_entries("gan", {place: entry}, SEEDS)
    # These need the trainings.
    last: Calls = {("runs", "cdcgan pooled", 0): partial(measure, score_pooled)}
    last["neighbours",] = partial(measure, Judge.score_neighbours)
    last["copies",] = partial(measure, Judge.score_copies)
    make_missing("gan", last, SEEDS)
    return paths.results() / "gan.json"


def save_samples(kind: str, name: str, training: gan.Training) -> None:
    """The fixed latent vectors' samples to gan.npz: all frames of a practical preset, of others what the last shows:
    sixteen samples, or ten a label."""
    path = paths.results() / "gan.npz"
    samples = results.load_arrays("gan") if path.exists() else {}
    frames = training.frames.numpy()
    shown = frames if name == "practical" else frames[-1:, : 100 if training.preset.num_classes else 16]
    samples[f"{kind} {name}"] = shown
    results.save_arrays("gan", samples)


def try_candidate(name: str) -> dict[str, object]:
    """One training on the images that are not held out: scores, in words and in numbers, and the classes on the way."""
    preset, judge = CANDIDATES[name], Judge(held_out=True)
    images, labels = load_held_out()[0]
    checkpoint = paths.cache() / "gan" / f"selection {name}.pt"
    training = fit_trial(
        gan.prepare_images(images, preset.size), preset, labels=labels if preset.num_classes else None,
        checkpoint=checkpoint, measure=lambda generator: judge.measure_often(generator, preset),
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
    calls: Calls = {("real",): partial(measure, Judge.score_real, held_out=True)}
    calls |= {("runs", candidate, 0): partial(try_candidate, candidate) for candidate in CANDIDATES}
    add_entries("gan-selection", {("shares",): SHARES}, [0])
    make_missing("gan-selection", calls, [0])
    return paths.results() / "gan-selection.json"
