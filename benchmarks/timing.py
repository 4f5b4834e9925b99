"""How every benchmark here takes time: ways of doing one thing run in turn, in one
process, and give rows of a table.

Two ways are compared within a round, where what else the machine did slowed both.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

import torch
from table import HEADER, Row

from dlapps import DlappsError

OURS = ("float32", "fast")


def time_interleaved(
    ways: dict[str, Callable], rounds: int
) -> tuple[dict[str, list[float]], dict]:
    """Seconds of each way, one run of each a round, and what a first run, which is not
    counted, gave.
    """
    results, seconds = (
        {way: run() for way, run in ways.items()},
        {way: [] for way in ways},
    )
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - start)
    return seconds, results


def compare(
    what: str,
    ways: dict[str, Callable],
    rounds: int,
    cosine: Callable[..., float] | None = None,
    agree: Callable[..., str] | None = None,
    results: dict | None = None,
) -> Iterator[Row]:
    """A row for each of OURS among the ways beside each of the others, its peers.

    results: what each way gives, by default in its first run; cosine(that of float32,
    of fast) and agree(that of a peer, of dlapps) look at it.
    """
    seconds, first_results = time_interleaved(ways, rounds)
    results = results or first_results
    for peer in (way for way in ways if way not in OURS):
        for way in (way for way in OURS if way in ways):
            closeness = (
                cosine(results["float32"], results["fast"])
                if cosine and way == "fast"
                else None
            )
            agreement = agree(results[peer], results[way]) if agree else "–"
            yield Row(
                what, way, peer, seconds[way], seconds[peer], closeness, agreement
            )


def least_cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    """The least of those between the rows of two batches (N, ...)."""
    return torch.cosine_similarity(first.flatten(1), second.flatten(1)).min().item()


def change_of_weights(weights: Sequence[torch.Tensor], step: Callable) -> torch.Tensor:
    """(1, D): by what a step changes them, one after the other."""
    before = torch.cat([weight.detach().flatten() for weight in weights])
    step()
    return (torch.cat([weight.detach().flatten() for weight in weights]) - before)[None]


def name_peer(package: str) -> str:
    return f"{package} {version(package)}"


def main(
    doc: str, *scripts: Callable[[], dict[str, Callable]]
) -> tuple[argparse.Namespace, list[Row]]:
    """Run what the scripts list, each a function of the number of rounds, and print
    rows as they come.

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
    options, rows = parser.parse_args(), []
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, {options.rounds} rounds\n\n{HEADER}")
    try:
        for list_comparisons in scripts:
            for name, compare_rounds in list_comparisons().items():
                if not options.names or any(word in name for word in options.names):
                    for row in compare_rounds(options.rounds):
                        print(row, flush=True)
                        rows.append(row)
    except ModuleNotFoundError as error:
        sys.exit(
            f"expected the package {error.name}, got none of that name; do make bench."
        )
    except DlappsError as error:
        sys.exit(str(error))
    return options, rows
