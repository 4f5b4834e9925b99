"""Chapter 3's long runs, from MNIST to MNIST-M, over seeds.

Each run has an entry. Target labels are used to measure, never to train or to choose.
The target's test pictures are made of photos that training never sees.
"""

from collections.abc import Collection
from functools import partial
from pathlib import Path

from torch import nn

from dlapps import dann
from dlapps.core.training import DivergenceError
from labreport.results import Entry
from studies.dann_runs import GROUNDS, PACKAGED, RUNS, STROKES, Domains, load_domains
from studies.runs import Calls, bfloat16, make_missing
from studies.weights import save, to_float16

SEEDS = (0, 1, 2)
SHARES = [
    "source_accuracy",
    "target_accuracy",
    "domain_accuracy",
    "other_strokes_accuracy",
]


def measure(network: nn.Module, domains: Domains) -> dict[str, float]:
    """Test accuracies of both domains."""
    source = domains.source
    target = domains.target
    return {
        "source_accuracy": dann.accuracy(
            network, source.test_images, source.test_labels
        ),
        "target_accuracy": dann.accuracy(
            network, target.test_images, target.test_labels
        ),
    }


def train(
    name: str, seed: int, domains: Domains | None = None, file: str | None = None
) -> Entry:
    """Train a run; returns its entry. One that diverges is a result too.

    domains: by default those that are loaded where the training runs.
    file: of the network, in float16, among those that come with the library.
    """
    run = (RUNS | STROKES | GROUNDS)[name]
    domains = domains or load_domains()
    if run.held_out:
        domains = domains.held_out

    def monitor(network: nn.Module, epoch: int) -> dict[str, float]:
        return measure(network, domains)

    network = run.make(seed)
    try:
        with bfloat16():
            history = run.fit(network, domains, run.settings, seed, monitor)
    except DivergenceError as error:
        return {"diverged": str(error)}
    if file:
        save(to_float16(network), file)
    scores = measure(network, domains)
    if run.held_out:
        labels = domains.target.test_labels
        others = domains.other_strokes
        scores["other_strokes_accuracy"] = dann.accuracy(network, others, labels)
    return {"scores": scores, "history": dict(history)}


def make_runs(study: str, names: Collection[str]) -> Path:
    """Make every run that the results lack, seed by seed; returns the results' file."""
    calls: Calls = {}
    for seed in SEEDS:
        for name in names:
            file = PACKAGED.get(name) if seed == 0 else None
            calls["runs", name, seed] = partial(train, name, seed, file=file)
    return make_missing(study, calls, SEEDS, shares=SHARES)


def make_mnistm() -> Path:
    """Make every run but the next studies': about half a day on one core."""
    return make_runs("mnistm", RUNS)


def make_mnistm_strokes() -> Path:
    """Make the runs that separate what textures bring from what the negative on them
    brings: two hours on one core.
    """
    return make_runs("mnistm-strokes", STROKES)


def make_mnistm_grounds() -> Path:
    """Make the runs on flat colours and on white noise: an hour on one core."""
    return make_runs("mnistm-grounds", GROUNDS)
