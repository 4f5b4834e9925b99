"""Chapter 3's long runs, from MNIST to MNIST-M, over seeds.

Each run has an entry. Target labels are used to measure, never to train or to choose.
The target's test pictures are made of photos that training never sees. A run that is in
the results already is not made again.
"""

from collections.abc import Collection
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from dlapps import dann
from dlapps.core.training import DivergenceError
from dlapps.core.weights import save, save_weights
from labreport.report import find_report
from labreport.results import Entry
from studies import dann_methods
from studies.dann_runs import (
    GROUNDS,
    RUNS,
    STROKES,
    Domains,
    Network,
    load_domains,
    load_run,
    weights_path,
)
from studies.runs import add_entries, bfloat16, sweep_missing

SEEDS = (0, 1, 2)
SHARES = [
    "source_accuracy",
    "target_accuracy",
    "shifted_accuracy",
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


def embed(
    network: Network, domains: Domains, number: int = 1000
) -> tuple[Tensor, Tensor]:
    """Features (number, D) of test pictures of the source, and of the target."""
    extract = network.feature_extractor
    source = dann.predict(extract, domains.source.test_images[:number])
    target = dann.predict(extract, domains.target.test_images[:number])
    return source, target


def train(name: str, seed: int, domains: Domains | None = None) -> Entry:
    """Train a run; returns its entry.

    A run that diverges is a result too. domains: by default those that are loaded where
    the training runs.
    """
    run = (RUNS | STROKES | GROUNDS)[name]
    domains = domains or load_domains()
    if run.held_out:
        domains = domains.held_out

    def monitor(network: nn.Module, epoch: int) -> dict[str, float]:
        return measure(network, domains)

    try:
        with bfloat16():
            network, history = run.train(domains, seed, monitor=monitor)
    except DivergenceError as error:
        return {"diverged": str(error), "settings": {"data": domains.name}}
    save(network.state_dict(), weights_path(name, seed))
    target = domains.target
    scores = {
        "source_accuracy": history["source_accuracy"][-1],
        "target_accuracy": history["target_accuracy"][-1],
    }
    if isinstance(network, dann.ImprovedNetwork):
        shifted = dann_methods.Shifted(network)
        scores["shifted_accuracy"] = dann.accuracy(
            shifted, target.test_images, target.test_labels
        )
    if run.held_out:
        images, labels = domains.other_strokes
        scores["other_strokes_accuracy"] = dann.accuracy(network, images, labels)
    source_features, target_features = embed(network, domains)
    scores["proxy_a_distance"] = dann_methods.proxy_a_distance(
        source_features, target_features
    )
    return {
        "scores": scores,
        "settings": {"data": domains.name},
        "history": {
            key: [round(value, 5) for value in values]
            for key, values in history.items()
        },
    }


def make_runs(study: str, names: Collection[str]) -> Path:
    """Make every run that the results lack, seed by seed; returns the results' file."""
    calls = {}
    for seed in SEEDS:
        for name in names:
            calls["runs", name, seed] = partial(train, name, seed)
    for (_, name, seed), entry in sweep_missing(study, calls):
        add_entries(study, {("shares",): SHARES, ("runs", name, seed): entry}, SEEDS)
    return find_report().results / f"{study}.json"


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


def make_mnistm_networks() -> Path:
    """Write the networks of twenty epochs with and without DANN, and of three epochs on
    random grounds, of seed 0, rounded to float16.
    """
    domains = load_domains()
    for digits, name in {
        "flat colours": "flat-colours",
        "no negative": "textures",
    }.items():
        network = load_run(f"3 epochs: {digits}, source only", 0, domains)
        save_weights(network, find_report().networks / f"mnistm-{name}.pt")
    source_only = load_run("source only, paper's settings", 0, domains)
    save_weights(source_only, find_report().networks / "mnistm-source-only.pt")
    adapted = load_run("paper", 0, domains)
    return save_weights(adapted, find_report().networks / "mnistm-dann.pt")


def make_mnistm_improved() -> Path:
    """Write the improved network of seed 0, rounded to float16."""
    network = load_run("improved", 0, load_domains())
    return save_weights(network, find_report().networks / "mnistm-improved.pt")
