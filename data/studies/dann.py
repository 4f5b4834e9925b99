"""Chapter 3's long runs, from MNIST to MNIST-M, over seeds: one entry a run, and what
figures need of the networks.

Target labels are used to measure, never to train or to choose. The target's test
pictures are made of photos that training never sees. A run that is in the results
already is not made again; one that was stopped goes on.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.manifold import TSNE
from torch import Tensor, nn

from dlapps import dann
from dlapps.core import runtime
from dlapps.core.training import DivergenceError, save_weights, write_checked
from labreport import paths, results
from studies import dann_methods, dann_runs
from studies.dann_runs import (
    RUNS,
    Domains,
    Network,
    load_domains,
    load_run,
    weights_path,
)
from studies.runs import add_entries, sweep_missing

SEEDS = (0, 1, 2)
SHARES = [
    "source_accuracy",
    "target_accuracy",
    "shifted_accuracy",
    "domain_accuracy",
    "other_strokes_accuracy",
]
# Unlabelled target pictures of the training split that the label-free scores are taken
# on.
NUM_UNLABELLED = 2000


def measure(network: nn.Module, domains: Domains) -> dict[str, float]:
    """Test accuracies of both domains, and two scores of target pictures that need no
    label.
    """
    source, target = domains.source, domains.target
    logits = dann.predict(network, target.images[:NUM_UNLABELLED])
    return {
        "source_accuracy": dann.accuracy(
            network, source.test_images, source.test_labels
        ),
        "target_accuracy": dann.accuracy(
            network, target.test_images, target.test_labels
        ),
        "entropy": dann_methods.mean_entropy(logits),
        "density": dann_methods.soft_neighbourhood_density(logits),
    }


def embed(
    network: Network, domains: Domains, number: int = 1000
) -> tuple[Tensor, Tensor]:
    """Features (number, D) of test pictures of the source and of the target."""
    source, target = (
        part.test_images[:number] for part in (domains.source, domains.target)
    )
    extract = network.feature_extractor
    return dann.predict(extract, source), dann.predict(extract, target)


def train(name: str, seed: int, domains: Domains | None = None) -> dict[str, object]:
    """One training, taken up where it was stopped, and its entry; a run that diverges
    is a result too.

    domains: those that are loaded where the training runs, if none are passed.
    """
    fit, domains = (RUNS | dann_runs.STROKES)[name], domains or load_domains()
    domains = domains.held_out if name.startswith("held out") else domains

    def monitor(network: nn.Module, epoch: int) -> dict[str, float]:
        return measure(network, domains)

    try:
        network, history = fit(
            domains, seed, monitor=monitor, checkpoint=checkpoint_path(name, seed)
        )
    except DivergenceError as error:
        return {"diverged": f"{error}", "settings": {"data": domains.name}}
    write_checked(weights_path(name, seed), network.state_dict())
    scores = {
        score: history[score][-1] for score in ("source_accuracy", "target_accuracy")
    }
    if isinstance(network, dann.ImprovedNetwork):
        shifted, target = dann_methods.Shifted(network), domains.target
        scores["shifted_accuracy"] = dann.accuracy(
            shifted, target.test_images, target.test_labels
        )
    if name.startswith("held out"):
        scores["other_strokes_accuracy"] = dann.accuracy(
            network, *domains.other_strokes
        )
    scores["proxy_a_distance"] = dann_methods.proxy_a_distance(*embed(network, domains))
    return {
        "scores": scores,
        "settings": {
            "data": domains.name,
            "number_format": runtime.number_format("cpu", "fast"),
        },
        "history": {
            key: [round(value, 5) for value in values]
            for key, values in history.items()
        },
    }


def checkpoint_path(name: str, seed: int) -> Path:
    """Where an unfinished training of a run is."""
    return weights_path(name, seed).with_suffix(".checkpoint")


def add_entry(name: str, seed: int, entry: dict, study: str = "mnistm") -> None:
    """Write a run's entry to the results, and drop its checkpoint."""
    add_entries(study, {("shares",): SHARES, ("runs", name, seed): entry}, SEEDS)
    # Only now: a training that is done and not yet written goes on from its last epoch.
    checkpoint_path(name, seed).unlink(missing_ok=True)


def make_runs(study: str, names: Iterable[str]) -> Path:
    """Every run that the results lack, seed by seed; returns the results' file."""
    calls = {
        ("runs", name, seed): partial(train, name, seed)
        for seed in SEEDS
        for name in names
    }
    for (_, name, seed), entry in sweep_missing(study, calls):
        add_entry(name, seed, entry, study)
    return paths.results() / f"{study}.json"


def make_mnistm() -> Path:
    """Every run but the next study's; with none of them there, about a day on one core."""
    return make_runs("mnistm", RUNS)


def make_mnistm_strokes() -> Path:
    """The runs that tell what textures bring from what the negative on them brings;
    eight hours on one core.
    """
    return make_runs("mnistm-strokes", dann_runs.STROKES)


def make_mnistm_networks() -> Path:
    """The networks of twenty epochs with and without DANN, of seed 0, rounded to
    float16.
    """
    domains = load_domains()
    for name, run in {
        "source-only": "source only, paper's settings",
        "dann": "paper",
    }.items():
        network = load_run(run, 0, domains)
        path = save_weights(network, paths.networks() / f"mnistm-{name}.pt")
    return path


def make_mnistm_improved() -> Path:
    """The improved network of seed 0, rounded to float16."""
    network = load_run("improved", 0, load_domains())
    return save_weights(network, paths.networks() / "mnistm-improved.pt")


def make_mnistm_figures() -> Path:
    """t-SNE of test pictures' features by networks that are not committed (seed 0).

    "tsne NAME" float16 (2000, 2), source first, of the pictures that "labels" and
    "domains" describe.
    """
    domains, number = load_domains(), 1000
    labels = torch.cat(
        [part.test_labels[:number] for part in (domains.source, domains.target)]
    )
    arrays = {
        "labels": labels.numpy().astype(np.uint8),
        "domains": np.repeat([0, 1], number).astype(np.uint8),
    }
    for name in ("source only, paper's settings", "paper"):
        features = torch.cat(embed(load_run(name, 0, domains), domains, number)).numpy()
        arrays[f"tsne {name}"] = (
            TSNE(random_state=0).fit_transform(features).astype(np.float16)
        )
    return results.save_arrays("mnistm-figures", arrays)
