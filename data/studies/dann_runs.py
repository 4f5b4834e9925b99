"""Chapter 3's runs from MNIST to MNIST-M by name: the main runs, and those that a
question asks for.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dlapps import dann, datasets
from dlapps.core.training import Augment, Monitor
from dlapps.dann import PAPER, PRACTICAL, SOURCE_ONLY, History, Settings
from studies.dann_recipe import (
    IMPROVED,
    draw_grounds,
    draw_textures,
    fit_improved,
    lay,
)

# Source digits that are held out where the test is not to be read yet.
NUM_HELD_OUT = 10_000


@dataclass(frozen=True)
class Domain:
    """Pictures uint8 and labels of one domain."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @property
    def held_out(self) -> "Domain":
        """The training pictures alone, with the last of them as the test."""
        return Domain(
            self.images[:-NUM_HELD_OUT],
            self.labels[:-NUM_HELD_OUT],
            self.images[-NUM_HELD_OUT:],
            self.labels[-NUM_HELD_OUT:],
        )


@dataclass(frozen=True)
class Domains:
    """Both domains, and what the target is made of."""

    source: Domain
    target: Domain

    @property
    def held_out(self) -> "Domains":
        """Both without their test pictures; the last training pictures are the test."""
        return Domains(self.source.held_out, self.target.held_out)

    @property
    def other_strokes(self) -> Tensor:
        """The target's test pictures, with strokes that are cut from another patch.

        They are not the negative of their own.
        """
        pictures = self.target.test_images
        strokes = self.source.test_images[..., None] > 0
        patches = torch.where(strokes, 255 - pictures, pictures)
        return torch.where(strokes, patches.roll(1, 0), patches)


@functools.cache
def load_domains() -> Domains:
    """MNIST and MNIST-M (its seed 0), whichever form of them is at hand."""
    return Domains(
        _load_domain(datasets.load_mnist), _load_domain(datasets.load_mnist_m)
    )


def _load_domain(load: Callable[[str], datasets.Dataset]) -> Domain:
    parts = []
    for split in ("train", "test"):
        loaded = load(split)
        parts.append(torch.tensor(loaded.images))
        parts.append(torch.tensor(loaded.labels))
    return Domain(*parts)


Network = dann.DomainAdversarialNetwork | dann.ImprovedNetwork


@dataclass(frozen=True)
class Run:
    """A training: how, with which settings, and of which network.

    fit(network, domains, settings, seed, monitor) trains the network and returns its
    history. make(seed) gives the network. held_out: the test pictures are those of
    `Domains.held_out`.
    """

    fit: Callable[..., History]
    settings: Settings
    make: Callable[[int], Network] = dann.DomainAdversarialNetwork
    held_out: bool = False


def plain(
    network: dann.DomainAdversarialNetwork,
    domains: Domains,
    settings: Settings,
    seed: int,
    monitor: Monitor | None,
    augment: Augment | None = None,
    on_target: bool = False,
) -> History:
    """Train on one domain alone: the source, or the target with its labels."""
    domain = domains.target if on_target else domains.source
    return dann.fit_source_only(
        network, domain.images, domain.labels, settings, seed, augment, monitor
    )


def adapted(
    network: Network,
    domains: Domains,
    settings: Settings,
    seed: int,
    monitor: Monitor | None,
    fit: Callable[..., History] = dann.fit_dann,
    **options: Any,
) -> History:
    """Train on the source, and on the target's pictures without their labels.

    fit: `fit_dann`, or a training that takes the same arguments.
    """
    return fit(
        network,
        domains.source.images,
        domains.source.labels,
        domains.target.images,
        settings,
        seed,
        monitor=monitor,
        **options,
    )


by_recipe = partial(adapted, fit=fit_improved)
RUNS = {
    "target trained": Run(partial(plain, on_target=True), SOURCE_ONLY),
    # As long as the paper's training, with its batches and its clipping.
    "source only, paper's settings": Run(plain, PAPER),
    "paper": Run(adapted, PAPER),
    "paper, no clipping": Run(adapted, replace(PAPER, max_norm=math.inf)),
    "practical": Run(adapted, PRACTICAL),
    "improved": Run(by_recipe, IMPROVED, dann.ImprovedNetwork),
    "improved, source alone": Run(
        partial(by_recipe, threshold=2.0), IMPROVED, dann.ImprovedNetwork
    ),
}
# Question 3, and question 1: with weight 0 the features do not hear of the domain
# classifier.
SCHEDULES: dict[str, float | Callable[[float], float]] = {
    "no reversal": -1,
    "weight 0": 0,
    "weight 0.1": 0.1,
    "weight 0.3": 0.3,
    "weight 1": 1,
    "slope 2": dann.reversal_schedule(2),
    "slope 5": dann.reversal_schedule(5),
    "slope 10": dann.reversal_schedule(10),
}
# What is compared with one another only is made in fewer epochs.
SHORT = replace(PRACTICAL, num_epochs=3, max_norm=PAPER.max_norm)
for name, schedule in SCHEDULES.items():
    RUNS[name] = Run(adapted, replace(SHORT, schedule=schedule))
DIGITS = {
    "plain": None,
    # Moved, with brighter strokes: what this brings without the textures.
    "black": partial(lay, share=0.0),
    "flat colours": partial(lay, draw=partial(draw_grounds, contrast=0.0)),
    "white noise": partial(lay, draw=partial(draw_grounds, contrast=0.32)),
    "no negative": partial(lay, draw=partial(draw_textures, negative=0.0)),
    "all negative": partial(lay, draw=partial(draw_textures, negative=1.0)),
}
TEN = replace(PAPER, num_epochs=10)


def on(digits: str, held_out: bool = False) -> Run:
    """A run of ten epochs on the source alone, by what its digits lie on."""
    return Run(partial(plain, augment=DIGITS[digits]), TEN, held_out=held_out)


for digits in ("plain", "black"):
    RUNS[f"10 epochs: {digits}, source only"] = on(digits)
# What the rule of the negative brings: on held-out digits, and then on the test.
STROKES = {"10 epochs: no negative, source only": on("no negative")}
for digits in ("no negative", "all negative"):
    STROKES[f"held out: 10 epochs: {digits}, source only"] = on(digits, held_out=True)
GROUNDS = {}
for digits in ("flat colours", "white noise"):
    GROUNDS[f"10 epochs: {digits}, source only"] = on(digits)
# The file of each run whose network of seed 0 comes with the library.
PACKAGED = {
    "source only, paper's settings": "mnistm-source-only.pt",
    "paper": "mnistm-dann.pt",
    "10 epochs: flat colours, source only": "mnistm-flat-colours.pt",
    "10 epochs: no negative, source only": "mnistm-textures.pt",
    "improved": "mnistm-improved.pt",
}
