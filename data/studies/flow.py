"""Chapter 4's flows: one training over seeds, scored on the test split at 20, 4 and 2
evaluations of the network.

The last 10,000 train images are held out of the training. How samples are drawn was
chosen on them, by what a classifier learns from the samples; data/README.md says where
the code of the choice is.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from dlapps import gan
from dlapps.gan import flow, judge, to_uint8
from labreport import paths, results
from studies.gan import NUM_MANY, SEEDS_OF_MANY
from studies.gan_judge import SHARES, Judge, draw, load_images
from studies.gan_settings import CONDITIONAL_SETTINGS
from studies.runs import Calls, add_entries, make_missing, sweep_missing

SEEDS = range(5)
EVALUATIONS = (20, 4, 2)
NUM_HELD_OUT = 10_000


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn: what `flow.sample` takes, with guidance from time `begin`
    until `end`.
    """

    num_steps: int
    solver: str
    guidance: float
    begin: float = 0
    end: float = 1

    def weigh(self, time: float) -> float:
        """The guidance at a time: 1, which is none, out of the interval (Kynkäänniemi
        et al. 2024).
        """
        return self.guidance if self.begin <= time < self.end else 1

    def draw(self, network: flow.VelocityNetwork, labels: Tensor, seed: int) -> Tensor:
        """Digits uint8 (N, 32, 32) of the labels (N,)."""
        return to_uint8(
            flow.sample(
                network, labels, 10_000 + seed, self.num_steps, self.solver, self.weigh
            )
        )


def choose_sampling(evaluations: int) -> Sampling:
    """The one whose samples teach most: the highest GAN-train accuracy on held-out
    images of those it was taken of.
    """
    tried = [
        entry
        for entry in results.load("flow-selection")[f"{evaluations}"]
        if "gan_train_accuracy" in entry
    ]
    return Sampling(
        **max(tried, key=lambda entry: entry["gan_train_accuracy"])["sampling"]
    )


def checkpoint_of(seed: int) -> Path:
    """Where a training is taken up."""
    return paths.cache() / "flow" / f"{seed}.pt"


def train(seed: int) -> tuple[flow.VelocityNetwork, dict[str, object]]:
    """One training, taken up where it was stopped; 30 minutes on one core. With its
    entry: what it took.
    """
    before = time.process_time()

    def monitor(network: nn.Module, epoch: int) -> dict[str, float]:
        nonlocal before
        spent, before = time.process_time() - before, time.process_time()
        return {"cpu_seconds": spent}

    images, labels = (part[:-NUM_HELD_OUT] for part in load_images("train"))
    checkpoint = checkpoint_of(seed)
    network, history = flow.fit_flow(
        images, labels, flow.STANDARD, seed, monitor=monitor, checkpoint=checkpoint
    )
    return network, {"cpu_seconds": round(sum(history.cpu_seconds))}


def load_network(seed: int) -> flow.VelocityNetwork:
    """The network of a training; of seed 0 the committed one, in float16, on a machine
    without its checkpoint.
    """
    return train(seed)[0] if seed or checkpoint_of(seed).is_file() else flow.load_best()


def score(evaluations: int, seed: int) -> dict[str, object]:
    """The entry of a seed and a number of evaluations, read on the test split."""
    network, sampling, judge_of_test = (
        load_network(seed),
        choose_sampling(evaluations),
        Judge(),
    )
    spent = count_seconds(
        partial(sampling.draw, network, judge_of_test.real[1][:1000], seed)
    )
    scores = judge_of_test.score_conditional(partial(sampling.draw, network), seed)
    return {
        "scores": scores | {"cpu_seconds_of_1000": spent},
        "settings": asdict(sampling),
    }


def teach_many(seed: int) -> dict[str, object]:
    """GAN-train with NUM_MANY samples, as of the tuned conditional generator."""
    asked = torch.arange(NUM_MANY) % 10
    samples = choose_sampling(EVALUATIONS[0]).draw(load_network(seed), asked, seed + 2)
    return {
        "scores": {
            "gan_train_accuracy": judge.gan_train_accuracy(
                samples, asked, *load_images("test"), seed=seed
            )
        }
    }


def count_seconds(call: Callable[[], object]) -> float:
    """What a call takes, in seconds of one core."""
    start = time.process_time()
    call()
    return round(time.process_time() - start, 2)


def time_gan() -> dict[str, float]:
    """What the tuned cDCGAN takes on the same machine: its training, by one epoch of
    it, and 1,000 samples.
    """
    images, settings = load_images("train"), CONDITIONAL_SETTINGS["tuned"][0]
    an_epoch = count_seconds(
        partial(gan.fit_conditional_gan, *images, replace(settings, num_epochs=1))
    )
    samples = count_seconds(
        partial(draw, gan.load_best("cdcgan"), 1000, 0, torch.arange(1000) % 10)
    )
    return {
        "cpu_seconds": round(settings.num_epochs * an_epoch),
        "cpu_seconds_of_1000": samples,
    }


def make_flow() -> Path:
    """All trainings, then their scores, each saved as soon as it is there; what
    data/results/flow.json holds already is not made again.
    """
    add_entries("flow", {("shares",): SHARES}, SEEDS)
    make_missing("flow", {("gan",): time_gan}, SEEDS)
    trainings: Calls = {("trainings", seed): partial(train, seed) for seed in SEEDS}
    for place, (network, entry) in sweep_missing("flow", trainings):
        if place[1] == 0:
            flow.save_flow(paths.networks() / "flow.pt", network)
        add_entries("flow", {place: entry}, SEEDS)
    runs = {
        (f"{number} evaluations", seed): partial(score, number, seed)
        for seed in SEEDS
        for number in EVALUATIONS
    }
    runs |= {
        ("20 evaluations, 60,000", seed): partial(teach_many, seed)
        for seed in SEEDS[:SEEDS_OF_MANY]
    }
    make_missing("flow", {("runs", *run): call for run, call in runs.items()}, SEEDS)
    return paths.results() / "flow.json"
