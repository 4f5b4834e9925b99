"""Chapter 4's flows: one training over seeds, scored on the test split.

Samples are drawn with twenty evaluations of the network. The last 10,000 train images
are held out of the training. How samples are drawn was chosen on them, by what a
classifier learns from the samples; data/README.md says where the code of the choice is.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path

import torch
from torch import Tensor, nn

from dlapps import gan
from dlapps.gan import flow, to_uint8
from labreport import results
from labreport.report import find_report
from labreport.results import Entry
from studies.gan_judge import SHARES, Judge, draw, load_images
from studies.gan_settings import RUNS
from studies.runs import Calls, add_entries, make_missing, sweep_missing

SEEDS = range(5)
NUM_HELD_OUT = 10_000


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn by `flow.sample`, with guidance between two times."""

    num_steps: int
    solver: str
    guidance: float
    begin: float = 0
    end: float = 1

    def weigh(self, time: float) -> float:
        """The guidance at a time; outside the interval it is 1, which is none.

        So do Kynkäänniemi et al. (2024).
        """
        return self.guidance if self.begin <= time < self.end else 1

    def draw(self, network: flow.VelocityNetwork, labels: Tensor, seed: int) -> Tensor:
        """Digits uint8 (N, 32, 32) of the labels (N,)."""
        digits = flow.sample(
            network, labels, 10_000 + seed, self.num_steps, self.solver, self.weigh
        )
        return to_uint8(digits)


def choose_sampling() -> Sampling:
    """The sampling with the highest GAN-train accuracy on held-out images.

    It evaluates the network twenty times.
    """
    trials = results.load("flow-selection")["20"]
    measured = [trial for trial in trials if "gan_train_accuracy" in trial]
    best = max(measured, key=itemgetter("gan_train_accuracy"))
    return Sampling(**best["sampling"])


def checkpoint_of(seed: int) -> Path:
    """The checkpoint of a training."""
    return find_report().cache / "flow" / f"{seed}.pt"


def train(seed: int) -> tuple[flow.VelocityNetwork, Entry]:
    """One training and its entry, which says what it took: 30 minutes on one core.

    A training that was stopped goes on.
    """
    before = time.process_time()

    def monitor(network: nn.Module, epoch: int) -> dict[str, float]:
        nonlocal before
        now = time.process_time()
        seconds = now - before
        before = now
        return {"cpu_seconds": seconds}

    images, labels = load_images("train")
    network, history = flow.fit_flow(
        images[:-NUM_HELD_OUT],
        labels[:-NUM_HELD_OUT],
        flow.STANDARD,
        seed,
        monitor=monitor,
        checkpoint=checkpoint_of(seed),
    )
    return network, {"cpu_seconds": round(sum(history.cpu_seconds))}


def load_network(seed: int) -> flow.VelocityNetwork:
    """The network of a training.

    That of seed 0 is the committed one, in float16, on a machine without its
    checkpoint.
    """
    if seed == 0 and not checkpoint_of(seed).is_file():
        return flow.load_best()
    network, _ = train(seed)
    return network


def score(seed: int) -> Entry:
    """The entry of a seed, measured on the test split."""
    network = load_network(seed)
    sampling = choose_sampling()
    judge_of_test = Judge()
    _, labels = judge_of_test.real
    seconds = count_seconds(partial(sampling.draw, network, labels[:1000], seed))
    scores = judge_of_test.score_conditional(partial(sampling.draw, network), seed)
    scores["cpu_seconds_of_1000"] = seconds
    return {"scores": scores, "settings": asdict(sampling)}


def cover(seed: int) -> float:
    """The coverage of the samples that `score` scores.

    The entries of flow.json are older than this measure, and of their networks only
    that of seed 0 was kept.
    """
    judge_of_test = Judge()
    labels = judge_of_test.draw_labels(seed)
    return judge_of_test.cover(choose_sampling().draw(load_network(seed), labels, seed))


def count_seconds(call: Callable[[], object]) -> float:
    """What a call takes, in seconds of one core."""
    start = time.process_time()
    call()
    return round(time.process_time() - start, 2)


def time_gan() -> dict[str, float]:
    """What the tuned cDCGAN takes on the same machine, in seconds of one core.

    Its training, by one epoch of it, and 1,000 samples.
    """
    images, labels = load_images("train")
    settings = RUNS["cdcgan tuned"].trial
    one_epoch = replace(settings, num_epochs=1)
    epoch_seconds = count_seconds(
        partial(gan.fit_gan, images, one_epoch, labels=labels)
    )
    generator = gan.load_best("cdcgan")
    classes = torch.arange(1000) % 10
    return {
        "cpu_seconds": round(settings.num_epochs * epoch_seconds),
        "cpu_seconds_of_1000": count_seconds(
            partial(draw, generator, 1000, 0, classes)
        ),
    }


def make_flow() -> Path:
    """Make all trainings, then their scores, each saved as soon as it is there.

    What data/results/flow.json holds already is not made again.
    """
    add_entries("flow", {("shares",): SHARES}, SEEDS)
    make_missing("flow", {("gan",): time_gan}, SEEDS)
    trainings: Calls = {("trainings", seed): partial(train, seed) for seed in SEEDS}
    for place, (network, entry) in sweep_missing("flow", trainings):
        if place == ("trainings", 0):
            flow.save_flow(find_report().networks / "flow.pt", network)
        add_entries("flow", {place: entry}, SEEDS)
    make_missing("flow", {("coverage", 0): partial(cover, 0)}, SEEDS)
    runs: Calls = {}
    for seed in SEEDS:
        runs["runs", "20 evaluations", seed] = partial(score, seed)
    make_missing("flow", runs, SEEDS)
    return find_report().results / "flow.json"
