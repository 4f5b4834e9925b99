"""Chapter 3's runs from MNIST to MNIST-M by name: the main runs, and those that a
question asks for.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlapps import dann, datasets
from dlapps.dann import (
    IMPROVED,
    PAPER,
    PRACTICAL,
    SOURCE_ONLY,
    DomainAdversarialNetwork,
    History,
    ImprovedNetwork,
    ImprovedSettings,
    Settings,
)
from labreport.report import find_report
from studies import dann_methods

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
    return domain, train.provenance.name


Network = DomainAdversarialNetwork | ImprovedNetwork
AnySettings = Settings | ImprovedSettings


@dataclass(frozen=True)
class Run:
    """A training: how, with which settings, and of which network.

    fit(network, domains, settings, seed, **options) trains the network and returns its
    history; options are monitor and checkpoint. make(seed) gives the network. held_out:
    the test pictures are those of `Domains.held_out`.
    """

    fit: Callable[..., History]
    settings: AnySettings
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
    settings: AnySettings,
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


train_recipe = partial(train_dann, fit=dann.fit_improved)


def train_on_target_labels(
    network: Network,
    domains: Domains,
    settings: AnySettings,
    seed: int,
    **options: Any,
) -> History:
    """Train by the recipe with the target's labels in the place of pseudo-labels."""
    return train_dann(
        network,
        domains,
        settings,
        seed,
        fit=dann.fit_improved,
        target_labels=domains.target.labels,
        **options,
    )


def train_on_pseudo_labels(
    network: DomainAdversarialNetwork,
    domains: Domains,
    settings: Settings,
    seed: int,
    threshold: float,
    **options: Any,
) -> History:
    """Train on the labels that the practical's network gives the target's pictures.

    Only those count whose probability reaches the threshold.
    """
    target = domains.target
    logits = dann.predict(load_run("practical", seed, domains), target.images)
    confidence, labels = logits.softmax(1).max(1)
    sure = confidence >= threshold
    return dann.fit_source_only(
        network, target.images[sure], labels[sure], settings, seed, **options
    )


def load_run(name: str, seed: int, domains: Domains) -> Network:
    """The network of a run, in eval mode, trained again if its weights are gone."""
    path = weights_path(name, seed)
    run = (RUNS | GROUNDS)[name]
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
# Question 4.
PSEUDO_LABELS = {
    "pseudo-labels, all": Run(
        partial(train_on_pseudo_labels, threshold=0.0), SOURCE_ONLY
    ),
    "pseudo-labels above .9": Run(
        partial(train_on_pseudo_labels, threshold=0.9), SOURCE_ONLY
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
SWEEP = {
    name: Run(train_dann, replace(SHORT, schedule=schedule))
    for name, schedule in SCHEDULES.items()
}
train_aligned = partial(train_dann, fit=dann_methods.fit_aligned)


# The paper's training but for what makes the domains alike.
METHODS = {
    # Its paper wants both losses to end alike: with a scale of .1, 1 and 10 CORAL's is
    # .3, .5 and .5 of the class loss after three epochs of 20,000 digits.
    "CORAL": Run(partial(train_aligned, alignment=dann_methods.align_by_coral), PAPER),
    "DAN": Run(partial(train_aligned, alignment=dann_methods.align_by_mmd), PAPER),
    "CDAN": Run(
        partial(train_aligned, alignment=dann_methods.align_by_cdan),
        PAPER,
        dann_methods.make_cdan,
    ),
    "MCD": Run(partial(train_dann, fit=dann_methods.fit_mcd), PAPER),
}
TEN = replace(PAPER, num_epochs=10)


def lay(**shares: Any) -> Callable[[Tensor, torch.Generator], Tensor]:
    """The recipe's augmentation of source digits, with other shares of its settings."""
    return partial(dann.augment_source, settings=replace(IMPROVED, **shares))


NETWORKS = {"": DomainAdversarialNetwork, "residual, ": ImprovedNetwork}
DIGITS = {
    # Moved, with brighter strokes: what this brings without the textures.
    "black": lay(textures=0.0),
    "no negative": lay(negative=0.0),
    "textures": lay(negative=0.5),
    "all negative": lay(negative=1.0),
}


def list_factorial() -> dict[str, Run]:
    """Two networks, two augmentations, with and without the reversal; and one more."""
    fits = {"source only": train_source_only, "DANN": train_dann}
    augmentations = {"plain": None, "textures": DIGITS["textures"]}
    runs = {}
    for network, make in NETWORKS.items():
        for digits, augment in augmentations.items():
            for way, fit in fits.items():
                name = f"10 epochs: {network}{digits}, {way}"
                runs[name] = Run(partial(fit, augment=augment), TEN, make)
    on_black = partial(train_source_only, augment=DIGITS["black"])
    runs["10 epochs: black, source only"] = Run(on_black, TEN)
    return runs


FACTORIAL = list_factorial()


def list_strokes() -> dict[str, Run]:
    """What textures and negatives bring, on held-out digits and then on the test.

    A share of negatives is chosen on what is held out; the test is read after that.
    """
    runs = {}
    for held_out in (True, False):
        for network, make in NETWORKS.items():
            for digits, augment in DIGITS.items():
                name = f"10 epochs: {network}{digits}, source only"
                if held_out:
                    name = f"held out: {name}"
                if name not in FACTORIAL:
                    fit = partial(train_source_only, augment=augment)
                    runs[name] = Run(fit, TEN, make, held_out)
    return runs


STROKES = list_strokes()


def list_grounds() -> dict[str, Run]:
    """Flat colours, white noise and textures, all without negatives, in three epochs
    and in ten; textures in ten are a run of STROKES.
    """
    augmentations = {
        "flat colours": partial(dann_methods.lay_on_grounds, contrast=0.0),
        "white noise": partial(dann_methods.lay_on_grounds, contrast=0.32),
        "no negative": DIGITS["no negative"],
    }
    runs = {}
    for settings in (SHORT, TEN):
        for digits, augment in augmentations.items():
            name = f"{settings.num_epochs} epochs: {digits}, source only"
            if name not in STROKES:
                fit = partial(train_source_only, augment=augment)
                runs[name] = Run(fit, settings)
    return runs


GROUNDS = list_grounds()
RUNS = MAIN_RUNS | PSEUDO_LABELS | SWEEP | METHODS | FACTORIAL
