"""Chapter 4's flows: one training over seeds, scored on the test split.

The last 10,000 train images are held out of the training. How samples are drawn was
chosen on them, by what a classifier learns from the samples: `flow-selection.json` has
the trials, and data/README.md says where the code of the choice is.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlapps.core.runtime import make_generator
from dlapps.gan import flow, to_uint8
from labreport.results import Entry
from studies.gan_judge import SHARES, Judge, load_images
from studies.runs import Calls, bfloat16, make_missing
from studies.weights import save_network

SEEDS = range(5)
NUM_HELD_OUT = 10_000
# Steps of the midpoint rule, which evaluates the network twice a step, and once more
# where there is guidance: twenty times in all.
SAMPLING: dict[str, Any] = {
    "num_steps": 7,
    "solver": "midpoint",
    "guidance": 1.5,
    "begin": 0.1,
    "end": 0.55,
}


@torch.no_grad()
def draw(network: flow.VelocityNetwork, labels: Tensor, seed: int) -> Tensor:
    """Digits uint8 (N, 32, 32) of the labels (N,), by SAMPLING."""
    size = (len(labels), 1, 32, 32)
    noise = torch.randn(size, generator=make_generator(10_000 + seed))
    half = 1 / (2 * SAMPLING["num_steps"])
    digits = []
    for x, asked in zip(noise.split(250), labels.split(250), strict=True):
        with bfloat16():
            for step in range(SAMPLING["num_steps"]):
                time = 2 * half * step
                slope = guided_velocity(network, x, time, asked)
                middle = x + half * slope
                slope = guided_velocity(network, middle, time + half, asked)
                x = x + 2 * half * slope
        digits.append(to_uint8(x.clamp(-1, 1)))
    return torch.cat(digits)


def guided_velocity(
    network: flow.VelocityNetwork, x: Tensor, time: float, labels: Tensor
) -> Tensor:
    """The velocity without a label, and w times what the label changes (w: guidance).

    So do Ho and Salimans (2022), whose w is smaller by 1, between two times alone
    Kynkäänniemi et al. (2024).
    """
    times = x.new_full((len(x),), time)
    labelled = network(x, times, labels)
    if not SAMPLING["begin"] <= time < SAMPLING["end"]:
        return labelled
    unlabelled = network(x, times, torch.full_like(labels, 10))
    return torch.lerp(unlabelled, labelled, SAMPLING["guidance"])


def score(seed: int) -> Entry:
    """Train for half an hour on one core; the entry, measured on the test split.

    The network of seed 0 is written where those of the library are.
    """
    images, labels = load_images("train")
    with bfloat16():
        network, _ = flow.fit_flow(
            images[:-NUM_HELD_OUT], labels[:-NUM_HELD_OUT], flow.STANDARD, seed
        )
    if seed == 0:
        save_network(network, "flow.pt", "network")
    return {"scores": Judge().score_conditional(partial(draw, network), seed)}


def make_flow() -> Path:
    """Make all trainings and their scores."""
    calls: Calls = {}
    for seed in SEEDS:
        calls["runs", "20 evaluations", seed] = partial(score, seed)
    return make_missing("flow", calls, SEEDS, shares=SHARES)
