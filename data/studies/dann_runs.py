"""Chapter 3's runs from MNIST to MNIST-M by name: the main runs, and those that a
question asks for.
"""

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlapps import dann, datasets
from dlapps.dann import (
    PAPER,
    PRACTICAL,
    SOURCE_ONLY,
    DomainAdversarialNetwork,
    History,
    ImprovedNetwork,
    Settings,
)
from labreport.report import find_report
from studies import dann_methods, dann_recipe
from studies.dann_recipe import IMPROVED

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
    name: str

    @property
    def held_out(self) -> "Domains":
        """Both without their test pictures; the last training pictures are the test."""
        name = f"{self.name}; the last {NUM_HELD_OUT:,} training images as the test"
        return Domains(self.source.held_out, self.target.held_out, name)

    @property
    def other_strokes(self) -> tuple[Tensor, Tensor]:
        """The target's test pictures with other strokes, and their labels.

        The strokes are cut from another patch; they are not the negative of their own.
        """
        pictures = self.target.test_images
        strokes = self.source.test_images[..., None] > 0
        patches = torch.where(strokes, 255 - pictures, pictures)
        other = torch.where(strokes, patches.roll(1, 0), patches)
        return other, self.target.test_labels


@functools.cache
def load_domains() -> Domains:
    """MNIST and MNIST-M (its seed 0), whichever form of them is at hand."""
    source, _ = _load_domain(datasets.load_mnist)
    target, name = _load_domain(datasets.load_mnist_m)
    return Domains(source, target, name)


def _load_domain(load: Callable[[str], datasets.Dataset]) -> tuple[Domain, str]:
    train = load("train")
    test = load("test")
    domain = Domain(
        torch.tensor(train.images),
        torch.tensor(train.labels),
        torch.tensor(test.images),
        torch.tensor(test.labels),
    )
    return domain, train.origin


Network = DomainAdversarialNetwork | ImprovedNetwork


@dataclass(frozen=True)
class Run:
    """A training: how, with which settings, and of which network.

    fit(network, domains, settings, seed, **options) trains the network and returns its
    history; options are a monitor. make(seed) gives the network. held_out:
    the test pictures are those of `Domains.held_out`.
    """

    fit: Callable[..., History]
    settings: Settings
    make: Callable[[int], Network] = DomainAdversarialNetwork
    held_out: bool = False

    def train(
        self, domains: Domains, seed: int, **options: Any
    ) -> tuple[Network, History]:
        """The network of a seed, trained, and its history."""
        network = self.make(seed)
        return network, self.fit(network, domains, self.settings, seed, **options)


def train_source_only(
    network: DomainAdversarialNetwork,
    domains: Domains,
    settings: Settings,
    seed: int,
    **options: Any,
) -> History:
    """Train on the source alone."""
    source = domains.source
    return dann.fit_source_only(
        network, source.images, source.labels, settings, seed, **options
    )


def train_on_target(
    network: DomainAdversarialNetwork, domains: Domains, *settings: Any, **options: Any
) -> History:
    """Train on the target with its labels, which no adaptation sees."""
    swapped = replace(domains, source=domains.target)
    return train_source_only(network, swapped, *settings, **options)


def train_dann(
    network: Network,
    domains: Domains,
    settings: Settings,
    seed: int,
    fit: Callable[..., History] = dann.fit_dann,
    **options: Any,
) -> History:
    """Train on the source, and on the target's pictures without their labels.

    fit: `fit_dann`, or a training that takes the same arguments.
    """
    source = domains.source
    target = domains.target
    return fit(
        network, source.images, source.labels, target.images, settings, seed, **options
    )


train_recipe = partial(train_dann, fit=dann_recipe.fit_improved)


def train_on_target_labels(
    network: Network,
    domains: Domains,
    settings: Settings,
    seed: int,
    **options: Any,
) -> History:
    """Train by the recipe with the target's labels in the place of pseudo-labels."""
    return train_dann(
        network,
        domains,
        settings,
        seed,
        fit=dann_recipe.fit_improved,
        target_labels=domains.target.labels,
        **options,
    )


def load_run(name: str, seed: int, domains: Domains) -> Network:
    """The network of a run, in eval mode, trained again if its weights are gone."""
    path = weights_path(name, seed)
    run = (RUNS | PACKAGED)[name]
    if not path.is_file():
        network, _ = run.train(domains, seed)
        return network
    network = run.make(seed)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def weights_path(name: str, seed: int) -> Path:
    """The file of a run's weights."""
    return find_report().cache / "mnistm" / f"{name.replace(' ', '-')}-{seed}.pt"


MAIN_RUNS = {
    "source only": Run(train_source_only, SOURCE_ONLY),
    "target trained": Run(train_on_target, SOURCE_ONLY),
    # As long as the paper's training, with its batches and its clipping.
    "source only, paper's settings": Run(train_source_only, PAPER),
    "paper": Run(train_dann, PAPER),
    "paper, no clipping": Run(train_dann, replace(PAPER, max_norm=math.inf)),
    "practical": Run(train_dann, PRACTICAL),
    "improved": Run(train_recipe, IMPROVED, ImprovedNetwork),
    "improved, source alone": Run(
        train_recipe, replace(IMPROVED, threshold=2.0), ImprovedNetwork
    ),
    "improved, target labels": Run(train_on_target_labels, IMPROVED, ImprovedNetwork),
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
SWEEP = {
    name: Run(train_dann, replace(SHORT, schedule=schedule))
    for name, schedule in SCHEDULES.items()
}
TEN = replace(PAPER, num_epochs=10)


def lay(**shares: Any) -> Callable[[Tensor, torch.Generator], Tensor]:
    """The recipe's augmentation of source digits, with other shares of its settings."""
    return partial(dann_recipe.augment_source, settings=replace(IMPROVED, **shares))


DIGITS = {
    "plain": None,
    # Moved, with brighter strokes: what this brings without the textures.
    "black": lay(textures=0.0),
    "flat colours": partial(dann_methods.lay_on_grounds, contrast=0.0),
    "white noise": partial(dann_methods.lay_on_grounds, contrast=0.32),
    "no negative": lay(negative=0.0),
    "textures": lay(negative=0.5),
    "all negative": lay(negative=1.0),
}


def list_tens(names: Iterable[str], held_out: bool = False) -> dict[str, Run]:
    """Runs of ten epochs on the source alone, by what its digits lie on."""
    runs = {}
    for digits in names:
        name = f"10 epochs: {digits}, source only"
        if held_out:
            name = f"held out: {name}"
        fit = partial(train_source_only, augment=DIGITS[digits])
        runs[name] = Run(fit, TEN, held_out=held_out)
    return runs


WITH_DANN = {}
for digits in ("plain", "textures"):
    fit = partial(train_dann, augment=DIGITS[digits])
    WITH_DANN[f"10 epochs: {digits}, DANN"] = Run(fit, TEN)
RUNS = MAIN_RUNS | SWEEP | list_tens(("plain", "black", "textures")) | WITH_DANN
# What the rule of the negative brings: on held-out digits, and then on the test.
STROKES = list_tens(("no negative",))
STROKES |= list_tens(("no negative", "all negative"), held_out=True)
GROUNDS = list_tens(("flat colours", "white noise"))
# Three epochs, of which the library's networks come.
PACKAGED = {}
for digits in ("flat colours", "no negative"):
    fit = partial(train_source_only, augment=DIGITS[digits])
    PACKAGED[f"3 epochs: {digits}, source only"] = Run(fit, SHORT)
