"""The table of the benchmarks: a row for each way of dlapps beside each peer."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlapps.core.paths import write_atomically

HEAD = """\
# dlapps beside its peers

{date}, dlapps {version}: {cpu}, {cores} cores, {threads} threads, Python {python}, PyTorch {packages[torch]};
{rounds} rounds. Written by `make bench`.

Seconds are medians. A ratio is the peer's seconds divided by those of dlapps in the same round: the median of all
rounds, then the least and the greatest. "fast" is {number_format} here. The cosine is between its result and that of
float32: the least of all features, maps, pictures or perturbations (an attack takes the sign of each pixel's gradient,
which a small difference turns); in training, of the change of all weights in the first step. Agreement is that of
dlapps with the peer. Each script says what it compares.
"""
HEADER = """\
| what | dlapps | seconds | peer | seconds | ratio | from | to | cosine | agreement |
|---|---|---:|---|---:|---:|---:|---:|---:|---|"""


@dataclass(frozen=True)
class Row:
    """One way of dlapps beside a peer, seconds round by round; as a string, a row of
    the table.

    cosine: between what dlapps gives in float32 and "fast". agreement: of dlapps with
    the peer.
    """

    what: str
    way: str
    peer: str
    seconds: Sequence[float]
    peer_seconds: Sequence[float]
    cosine: float | None = None
    agreement: str = "–"

    def __str__(self) -> str:
        median = statistics.median
        ratios = [
            theirs / ours
            for theirs, ours in zip(self.peer_seconds, self.seconds, strict=True)
        ]
        times = f"{median(self.seconds):.4f} | {self.peer} | {median(self.peer_seconds):.4f}"
        spread = f"{median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f}"
        cosine = "–" if self.cosine is None else f"{self.cosine:.4f}"
        return f"| {self.what} | {self.way} | {times} | {spread} | {cosine} | {self.agreement} |"


def write_table(path: Path, facts: dict[str, object], rows: list[Row]) -> None:
    """The table alone; sections below it, measured by other scripts, stay."""
    _, heading, below = (
        path.read_text(encoding="utf-8").partition("\n## ")
        if path.exists()
        else ("", "", "")
    )
    table = "\n".join([HEAD.format(**facts), HEADER, *map(str, rows)]) + "\n"
    write_atomically(path, (table + heading + below).encode())
