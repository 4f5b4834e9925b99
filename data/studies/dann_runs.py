"""Chapter 3's runs from MNIST to MNIST-M by name: the main runs, and every variant that
a question asks for.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlapps import dann, datasets
from dlapps.dann import (
    IMPROVED,
    PAPER,
    PRACTICAL,
    DomainAdversarialNetwork,
    ImprovedNetwork,
)
from labreport import paths
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


@dataclass(frozen=True)
class Domains:
    """Both domains, and what the target is made of."""

    source: Domain
    target: Domain
    name: str

    @property
    def training(self) -> tuple[Tensor, Tensor, Tensor]:
        """What an adaptation may see: the source's pictures and labels, and the
        target's pictures.
        """
        return self.source.images, self.source.labels, self.target.images

    @property
    def held_out(self) -> "Domains":
        """Training digits alone, the last of them as the test: as they are, and in the
        target's training pictures.
        """
        kept, held = slice(-NUM_HELD_OUT), slice(-NUM_HELD_OUT, None)
        source, target = (
            Domain(
                part.images[kept],
                part.labels[kept],
                part.images[held],
                part.labels[held],
            )
            for part in (self.source, self.target)
        )
        name = f"{self.name}; the last {NUM_HELD_OUT:,} training images as the test"
        return Domains(source, target, name)

    @property
    def other_strokes(self) -> tuple[Tensor, Tensor]:
        """The target's test with strokes that are cut from another patch, not the
        negative of their own; and labels.
        """
        strokes, pictures = (
            self.source.test_images[..., None] > 0,
            self.target.test_images,
        )
        patches = torch.where(strokes, 255 - pictures, pictures)
        return torch.where(
            strokes, patches.roll(1, 0), patches
        ), self.target.test_labels


@functools.cache
def load_domains() -> Domains:
    """MNIST and MNIST-M (its seed 0), whichever form of them can be had."""
    parts = {}
    for name, load in (
        ("source", datasets.load_mnist),
        ("target", datasets.load_mnist_m),
    ):
        train, test = load("train"), load("test")
        arrays = train.images, train.labels, test.images, test.labels
        parts[name] = Domain(*map(torch.tensor, arrays))
    return Domains(**parts, name=train.provenance.name)


Network = DomainAdversarialNetwork | ImprovedNetwork
Fit = Callable[..., tuple[Network, dann.History]]


def train_source_only(
    domains: Domains,
    seed: int,
    domain: str = "source",
    settings: dann.Settings = dann.SOURCE_ONLY,
    make: Callable[..., Any] = DomainAdversarialNetwork,
    **options: Any,
) -> tuple:
    """A network, the practical's or that which make(seed) gives, on one domain alone."""
    network, part = make(seed), getattr(domains, domain)
    history = dann.fit_source_only(
        network, part.images, part.labels, settings, seed, **options
    )
    return network, history


def train_dann(
    domains: Domains,
    seed: int,
    settings: dann.Settings | dann.ImprovedSettings,
    make: Callable[..., Any] = DomainAdversarialNetwork,
    fit: Callable[..., dann.History] = dann.fit_dann,
    **options: Any,
) -> tuple:
    """A network, the practical's or that which make(seed) gives, on both domains by a
    training of `fit_dann`'s kind.
    """
    network = make(seed)
    return network, fit(network, *domains.training, settings, seed, **options)


with_batch_norm = partial(DomainAdversarialNetwork, batch_norm=True)


def adapt_source_only(
    domains: Domains, seed: int, adapt: Callable, monitor: Callable, **_: Any
) -> tuple:
    """The source-only network with batch norm of this seed, adapted to the target's
    training pictures at once.
    """
    network = with_batch_norm(seed)
    trained = load_run("source only, batch norm", seed, domains, network)
    network, history = adapt(trained, domains.target.images), dann.History()
    history.add(monitor(network, 0))
    return network, history


train_paper = partial(train_dann, settings=PAPER)
train_recipe = partial(
    train_dann, settings=IMPROVED, make=ImprovedNetwork, fit=dann.fit_improved
)


def train_on_target_labels(domains: Domains, seed: int, **options: Any) -> tuple:
    """The recipe with the target's labels in the place of pseudo-labels."""
    return train_recipe(domains, seed, target_labels=domains.target.labels, **options)


def train_on_pseudo_labels(
    domains: Domains, seed: int, threshold: float, **options: Any
) -> tuple:
    """A new network on what the practical's reads in the target's training pictures,
    where it is confident enough.
    """
    target, network = domains.target, DomainAdversarialNetwork(seed)
    logits = dann.predict(load_run("practical", seed, domains), target.images)
    confidence, labels = logits.softmax(1).max(1)
    sure = confidence >= threshold
    part = target.images[sure], labels[sure]
    return network, dann.fit_source_only(
        network, *part, dann.SOURCE_ONLY, seed, **options
    )


def load_run(
    name: str, seed: int, domains: Domains, network: Network | None = None
) -> Network:
    """The network of a run, trained again where its weights are gone.

    network: one of its layers, where they are neither the practical's nor the improved
    one's.
    """
    make = ImprovedNetwork if name.startswith("improved") else DomainAdversarialNetwork
    network = network or make(seed)
    if not weights_path(name, seed).is_file():
        return RUNS[name](domains, seed)[0]
    network.load_state_dict(torch.load(weights_path(name, seed), weights_only=True))
    return network.eval()


def weights_path(name: str, seed: int) -> Path:
    """Where the weights of a run are."""
    return paths.cache() / "mnistm" / f"{name.replace(' ', '-')}-{seed}.pt"


def lay(pixels: Tensor, generator: torch.Generator, **shares: Any) -> Tensor:
    """What the recipe does to source digits (N, 3, H, W); shares: of those on textures,
    of negatives among these.
    """
    return dann.augment_source(pixels, replace(IMPROVED, **shares), generator)


MAIN_RUNS: dict[str, Fit] = {
    "source only": train_source_only,
    "target trained": partial(train_source_only, domain="target"),
    # As long as the paper's training, with its batches and its clipping.
    "source only, paper's settings": partial(train_source_only, settings=PAPER),
    "paper": train_paper,
    "paper, no clipping": partial(
        train_dann, settings=replace(PAPER, max_norm=math.inf)
    ),
    "practical": partial(train_dann, settings=PRACTICAL),
    "improved": train_recipe,
    "improved, source alone": partial(
        train_recipe, settings=replace(IMPROVED, threshold=2.0)
    ),
    "improved, target labels": train_on_target_labels,
}
# What is compared with one another only is made in fewer epochs.
SHORT = replace(PRACTICAL, num_epochs=3, max_norm=PAPER.max_norm)
# Question 3, and question 1: with weight 0 the features do not hear of the domain
# classifier.
SCHEDULES: dict[str, Any] = {
    f"weight {weight:g}": weight for weight in (0, 0.1, 0.3, 1)
}
SCHEDULES |= {f"slope {slope}": dann.reversal_schedule(slope) for slope in (2, 5, 10)}
SWEEP: dict[str, Fit] = {
    name: partial(train_dann, settings=replace(SHORT, schedule=schedule))
    for name, schedule in ({"no reversal": -1} | SCHEDULES).items()
}
# The paper's training but for what makes the domains alike.
METHODS: dict[str, Fit] = {
    # Its paper wants both losses to end alike: with a scale of .1, 1 and 10 CORAL's is
    # .3, .5 and .5 of the class loss after three epochs of 20,000 digits.
    "CORAL": partial(train_paper, alignment=dann_methods.align_by_coral),
    "DAN": partial(train_paper, alignment=dann_methods.align_by_mmd),
    "CDAN": partial(
        train_paper, make=dann_methods.make_cdan, alignment=dann_methods.align_by_cdan
    ),
    "MCD": partial(train_paper, fit=dann_methods.fit_mcd),
    "source only, batch norm": partial(
        train_source_only, settings=PAPER, make=with_batch_norm
    ),
    "AdaBN": partial(adapt_source_only, adapt=dann_methods.adapt_batch_norm),
}
# Two networks, two augmentations, with and without the reversal.
TEN = replace(PAPER, num_epochs=10)
NETWORKS = {"": DomainAdversarialNetwork, "residual, ": ImprovedNetwork}
DIGITS: dict[str, Any] = {
    "plain": None,
    # Moved, with brighter strokes: what this brings without the textures.
    "black": partial(lay, textures=0.0),
    "no negative": partial(lay, negative=0.0),
    "textures": partial(lay, negative=0.5),
    "all negative": partial(lay, negative=1.0),
}
FACTORIAL: dict[str, Fit] = {
    f"10 epochs: {name}{kind}, {way}": partial(
        fit, settings=TEN, make=make, augment=DIGITS[kind]
    )
    for name, make in NETWORKS.items()
    for kind in ("plain", "textures")
    for way, fit in (("source only", train_source_only), ("DANN", train_dann))
}
train_ten = partial(train_source_only, settings=TEN)
FACTORIAL["10 epochs: black, source only"] = partial(train_ten, augment=DIGITS["black"])
# The target's images, its formula, or backgrounds: a share of negatives is chosen on
# what is held out, and the test is read after that.
STROKES: dict[str, Fit] = {
    run: partial(train_ten, make=make, augment=augment)
    for part in ("held out: ", "")
    for name, make in NETWORKS.items()
    for kind, augment in DIGITS.items()
    if augment
    and (run := f"{part}10 epochs: {name}{kind}, source only") not in FACTORIAL
}
# What public versions of the network differ in, in as many epochs.
LAYERS: dict[str, Callable] = {
    "batch norm": with_batch_norm,
    "dropout": partial(DomainAdversarialNetwork, dropout=0.5),
    "pixels as they are": partial(
        DomainAdversarialNetwork, normalisation=nn.Identity()
    ),
    "instance norm": partial(
        DomainAdversarialNetwork, normalisation=nn.InstanceNorm2d(3)
    ),
}
VARIANTS: dict[str, Fit] = {
    f"variant: {name}": partial(train_dann, settings=TEN, make=make)
    for name, make in LAYERS.items()
}
VARIANTS["variant: no clipping"] = partial(
    train_dann, settings=replace(TEN, max_norm=math.inf)
)
VARIANTS["variant: paired batches"] = partial(
    train_dann, settings=replace(TEN, paired=True)
)
# Question 4.
PSEUDO_LABELS: dict[str, Fit] = {
    "pseudo-labels, all": partial(train_on_pseudo_labels, threshold=0.0),
    "pseudo-labels above .9": partial(train_on_pseudo_labels, threshold=0.9),
}
RUNS = MAIN_RUNS | PSEUDO_LABELS | SWEEP | METHODS | FACTORIAL | VARIANTS
