"""Chapter 4's flows: one training over seeds, scored on the test split.

Samples are drawn with twenty evaluations of the network. The last 10,000 train images
are held out of the training. How samples are drawn was chosen on them, by what a
classifier learns from the samples; data/README.md says where the code of the choice is.
"""

from dataclasses import asdict, dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path

import torch
from torch import Tensor, nn

from dlapps.core.runtime import make_generator
from dlapps.gan import flow, to_uint8
from labreport import results
from labreport.report import find_report
from labreport.results import Entry
from studies.gan_judge import SHARES, Judge, load_images
from studies.runs import Calls, add_entries, bfloat16, make_missing

SEEDS = range(5)
NUM_HELD_OUT = 10_000


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn: Euler or midpoint steps, guidance between two times."""

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
        noise = torch.randn(
            len(labels), 1, 32, 32, generator=make_generator(10_000 + seed)
        )
        digits = []
        for x, asked in zip(noise.split(250), labels.split(250), strict=True):
            with bfloat16():
                digits.append(to_uint8(self.follow(network, x, asked).clamp(-1, 1)))
        return torch.cat(digits)

    @torch.no_grad()
    def follow(self, network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        """Lead noise x (N, 1, 32, 32) to images of the labels (N,)."""
        length = 1 / self.num_steps
        for step in range(self.num_steps):
            time = step * length
            slope = guided_velocity(network, x, time, labels, self.weigh(time))
            if self.solver == "midpoint":
                middle = time + length / 2
                guidance = self.weigh(middle)
                halfway = x + length / 2 * slope
                slope = guided_velocity(network, halfway, middle, labels, guidance)
            x = x + length * slope
        return x


def guided_velocity(
    network: nn.Module, x: Tensor, time: float, labels: Tensor, guidance: float
) -> Tensor:
    """The velocity without a label, and w times what the label changes (w: guidance).

    So do Ho and Salimans (2022), whose w is smaller by 1.
    """
    times = x.new_full((len(x),), time)
    if guidance == 1:
        return network(x, times, labels)
    no_labels = torch.full_like(labels, 10)
    both_labels = torch.cat([no_labels, labels])
    both = network(x.repeat(2, 1, 1, 1), times.repeat(2), both_labels)
    without, labelled = both.chunk(2)
    return torch.lerp(without, labelled, guidance)


def choose_sampling() -> Sampling:
    """The sampling with the highest GAN-train accuracy on held-out images.

    It evaluates the network twenty times.
    """
    trials = results.load("flow-selection")["20"]
    measured = [trial for trial in trials if "gan_train_accuracy" in trial]
    best = max(measured, key=itemgetter("gan_train_accuracy"))
    return Sampling(**best["sampling"])


def train(seed: int) -> flow.VelocityNetwork:
    """One training: 30 minutes on one core."""
    images, labels = load_images("train")
    with bfloat16():
        network, _ = flow.fit_flow(
            images[:-NUM_HELD_OUT], labels[:-NUM_HELD_OUT], flow.STANDARD, seed
        )
    return network


def score(seed: int) -> Entry:
    """The entry of a seed, measured on the test split; seed 0's network is kept."""
    network = train(seed)
    if seed == 0:
        flow.save_flow(find_report().networks / "flow.pt", network)
    sampling = choose_sampling()
    scores = Judge().score_conditional(partial(sampling.draw, network), seed)
    return {"scores": scores, "settings": asdict(sampling)}


def make_flow() -> Path:
    """Make all trainings, then their scores, each saved as soon as it is there.

    What data/results/flow.json holds already is not made again.
    """
    add_entries("flow", {("shares",): SHARES}, SEEDS)
    runs: Calls = {}
    for seed in SEEDS:
        runs["runs", "20 evaluations", seed] = partial(score, seed)
    make_missing("flow", runs, SEEDS)
    return find_report().results / "flow.json"
