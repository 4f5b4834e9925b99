"""How every benchmark takes time: ways of doing one thing run in turn, in one process,
and give rows of a table.

Two ways are compared within a round, in which other work of the machine slows both.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch
from table import HEADER, Row

from dlapps import DlappsError

OURS = ("float32", "autocast")

# The comparisons of a script by name; each takes the number of rounds.
Comparisons = Mapping[str, Callable[[int], Iterator[Row]]]


def run_as(way: str, run: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a call gives in one of OURS, bfloat16 or not.

    No weights are kept in that format, since a step changes them.
    """
    is_bfloat16 = way == "autocast"
    with torch.autocast("cpu", torch.bfloat16, is_bfloat16, cache_enabled=False):
        return run(*arguments)


def time_interleaved(
    ways: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return the seconds of each way, one run of each a round, and what a first run,
    which is not counted, gave.
    """
    results = {}
    seconds: dict[str, list[float]] = {}
    for way, run in ways.items():
        results[way] = run()
        seconds[way] = []
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - start)
    return seconds, results


def compare(
    what: str,
    ways: Mapping[str, Callable[[], Any]],
    rounds: int,
    cosine: Callable[[Any, Any], float] | None = None,
    agree: Callable[[Any, Any], str] | None = None,
    results: Mapping[str, Any] | None = None,
) -> Iterator[Row]:
    """Yield a row for each of OURS among the ways beside each of the others, its peers.

    results: what each way gives, by default in its first run. cosine: of the results in
    float32 and the other formats. agree: of the results of a peer and of dlapps.
    """
    seconds, first_results = time_interleaved(ways, rounds)
    if results is None:
        results = first_results
    peers = [way for way in ways if way not in OURS]
    ours = [way for way in OURS if way in ways]
    for peer in peers:
        for way in ours:
            closeness = None
            if cosine and way != "float32":
                closeness = cosine(results["float32"], results[way])
            agreement = "–"
            if agree:
                agreement = agree(results[peer], results[way])
            yield Row(
                what, way, peer, seconds[way], seconds[peer], closeness, agreement
            )


def least_cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    """The least cosine between the rows of two batches (N, ...)."""
    return torch.cosine_similarity(first.flatten(1), second.flatten(1)).min().item()


def say_least_cosine(first: torch.Tensor, second: torch.Tensor) -> str:
    return f"cosine {least_cosine(first, second):.4f}"


def change_of_weights(weights: Sequence[torch.Tensor], step: Callable) -> torch.Tensor:
    """By how much a step changes the weights, one after the other: (1, D)."""
    before = torch.cat([weight.detach().flatten() for weight in weights])
    step()
    after = torch.cat([weight.detach().flatten() for weight in weights])
    return (after - before)[None]


def name_peer(package: str) -> str:
    return f"{package} {version(package)}"


def main(
    doc: str, lists: Sequence[Callable[[], Comparisons]]
) -> tuple[argparse.Namespace, list[Row]]:
    """Run the comparisons of each list, and print the rows as they come.

    What is missing, a peer or an asset, ends the program with one sentence.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument(
        "names",
        nargs="*",
        help="comparisons whose name contains one of these words (default: all)",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, {options.rounds} rounds\n\n{HEADER}")
    rows = []
    try:
        for list_comparisons in lists:
            for name, measure in list_comparisons().items():
                if options.names and not any(word in name for word in options.names):
                    continue
                for row in measure(options.rounds):
                    print(row, flush=True)
                    rows.append(row)
    except ModuleNotFoundError as error:
        sys.exit(
            f"expected the package {error.name}, got none of that name; do make bench."
        )
    except DlappsError as error:
        sys.exit(str(error))
    return options, rows
