"""A comparison of dlapps with a peer, timed side by side, as a row of the table.

All run in turn in one process. A ratio is taken within a round, in which other work of
the machine slows both.
"""

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

HEADER = """\
| what | peer | its seconds | ratio | agreement | ratio in bfloat16 | agreement |
|---|---|---:|---:|---|---:|---|"""


@dataclass(frozen=True)
class Comparison:
    """What a peer and dlapps both do.

    theirs, ours: do it from the beginning at each call, and return the result.
    agree: says of both results how they agree.
    """

    what: str
    peer: str
    theirs: Callable[[], Any]
    ours: Callable[[], Any]
    agree: Callable[[Any, Any], str]


def measure(comparison: Comparison, rounds: int) -> str:
    """Return a row of the table."""
    theirs = comparison.theirs
    ours = comparison.ours

    def ours_in_bfloat16() -> Any:
        # No weights are kept in that format, since a training changes them.
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            return ours()

    # The first runs, which are not timed.
    expected = theirs()
    agreement = comparison.agree(expected, ours())
    bfloat16_agreement = comparison.agree(expected, ours_in_bfloat16())
    peer_seconds = []
    ratios = []
    bfloat16_ratios = []
    for _ in range(rounds):
        seconds = time_run(theirs)
        peer_seconds.append(seconds)
        ratios.append(seconds / time_run(ours))
        bfloat16_ratios.append(seconds / time_run(ours_in_bfloat16))
    cells = [
        comparison.what,
        comparison.peer,
        f"{statistics.median(peer_seconds):.3f}",
        say_ratios(ratios),
        agreement,
        say_ratios(bfloat16_ratios),
        bfloat16_agreement,
    ]
    return f"| {' | '.join(cells)} |"


def time_run(call: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def say_ratios(ratios: Sequence[float]) -> str:
    """Return the median ratio, then the least and the greatest."""
    median = statistics.median(ratios)
    return f"{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def say_cosine(first: Tensor, second: Tensor) -> str:
    """Return the least cosine between the rows of two batches (N, ...)."""
    cosines = torch.cosine_similarity(first.flatten(1), second.flatten(1))
    return f"cosine {cosines.min():.4f}"


def name_peer(package: str) -> str:
    return f"{package} {version(package)}"


def copy_contiguous(network: nn.Module) -> nn.Module:
    """Copy a network into the memory format that PyTorch gives it, NCHW."""
    return copy.deepcopy(network).to(memory_format=torch.contiguous_format)


def change_of_weights(before: nn.Module, after: nn.Module) -> Tensor:
    """By how much a training changed the weights, one after the other: (1, D)."""
    changes = []
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        changes.append((new - old).detach().flatten())
    return torch.cat(changes)[None]
