"""Chapter 4's long runs: every preset over seeds, judged by the digit classifier; one run on other images.

Training sees the train split alone; samples are compared with the test split, and so are train images: the floor that
no generator is expected to pass.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlapps import gan
from dlapps.core import paths, results
from dlapps.core.runtime import number_format
from dlapps.core.sweeps import sweep
from dlapps.gan.judge import SIZE
from dlapps.gan.networks import AnyGenerator
from studies.gan_judge import Judge, draw, load_images
from studies.gan_presets import CONDITIONAL_PRESETS, PRACTICAL, PRESETS, Trial, fit_trial


@dataclass(frozen=True)
class Plan:
    """What is trained: a preset, on which images, in which precision."""

    preset: Trial
    data: str = "MNIST"
    precision: str = "fast"


PLANS = {
    "dcgan": {
        **{name: Plan(preset) for name, preset in PRESETS.items()},
        "practical, float32": Plan(PRACTICAL, precision="float32"),
        "64 x 64, spectral norm, float32": Plan(PRESETS["64 x 64, spectral norm"], precision="float32"),
        "Fashion-MNIST": Plan(PRACTICAL, data="Fashion-MNIST"),
    },
    "cdcgan": {name: Plan(preset) for name, preset in CONDITIONAL_PRESETS.items()},
}
SEEDS = (0, 1, 2)


def list_runs() -> Iterator[tuple[str, str, int]]:
    """(kind, preset, seed): everything once, then with the next seed."""
    for seed in SEEDS:
        yield from ((kind, name, seed) for kind, plans in PLANS.items() for name in plans)


def fit(kind: str, name: str, seed: int, judge: Judge) -> gan.Training:
    """One training, taken up where it was stopped; one whose checkpoint is there already is only read."""
    plan = PLANS[kind][name]
    preset = plan.preset
    images, labels = load_images(plan.data, "train", preset.size)
    checkpoint = paths.cache() / "gan" / f"{kind} {name} {seed}.pt"
    return fit_trial(
        images, preset, seed, labels=labels if preset.num_classes else None, checkpoint=checkpoint, frame_every=200,
        measure=lambda generator: judge.glance(generator, preset), measure_every=200, precision=plan.precision,
        progress=True,
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
    return training, {
        "number_format": number_format("cpu", plan.precision),
        "scores": scores,
        "health": training.history.health(),
        "batches": num_batches,
        "history_every": every,
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

    return judge.score_conditional(draw_digits, 0)


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
    return {name: round(float(gan.spread(images, asked) / unit), 4) for name, images in drawn.items()}


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
    return {f"last_{name}": round(float(np.mean(history[name][-8:])), 6) for name in names}


def make_gan() -> Path:
    """All presets, each saved as soon as it is done; what data/results/gan.json holds already is not run again."""
    path = paths.results() / "gan.json"
    parts = results.load("gan").parts if path.exists() else {"real": {}, "dcgan": {}, "cdcgan": {}}
    parts.pop("made", None)
    if not parts["real"]:
        parts["real"] = Judge().score_real()
        results.save("gan", parts, SEEDS)
    missing = [run for run in list_runs() if str(run[2]) not in parts[run[0]].get(run[1], {})]
    calls = {run: partial(train, *run) for run in missing}
    for (kind, name, seed), (training, entry) in sweep(calls, "trainings"):
        parts[kind].setdefault(name, {})[str(seed)] = entry
        if seed == 0:
            save_samples(kind, name, training)
        if seed == 0 and name == "best":
            gan.save_generator(paths.results() / f"gan-{kind}.pt", training.generator, training.preset)
        results.save("gan", parts, SEEDS)
    last: dict[str, Callable[[Judge], object]] = {"cdcgan pooled 0": score_pooled}
    last |= {"neighbours": Judge.score_neighbours, "copies": Judge.score_copies}
    for part, score in last.items():
        if part not in parts:
            parts[part] = score(Judge())
            results.save("gan", parts, SEEDS)
    return path


def save_samples(kind: str, name: str, training: gan.Training) -> None:
    """The fixed latent vectors' samples to gan.npz: all frames of a practical preset, of others what the last shows:
    sixteen samples, or ten a label."""
    path = paths.results() / "gan.npz"
    samples = results.load_arrays("gan") if path.exists() else {}
    frames = training.frames.numpy()
    shown = frames if name == "practical" else frames[-1:, : 100 if training.preset.num_classes else 16]
    samples[f"{kind} {name}"] = shown
    results.save_arrays("gan", samples)
