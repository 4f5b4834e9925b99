"""The table of the benchmarks: one row for each way of dlapps beside each peer."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HEAD = """\
# dlapps beside its peers

{date}, dlapps {version}: {processor}, {threads} threads,
Python {Python}, {packages}; {rounds} rounds. Written by `make bench`.

Seconds are medians. A ratio is the peer's seconds divided by those of dlapps in the
same round: the median of all rounds, then the least and the greatest. "autocast"
is PyTorch's own in bfloat16. The cosine is between its
result and that of float32: the least of all features, maps, pictures or perturbations
(an attack takes the sign of each pixel's gradient, which a small difference turns); in
training, of the change of all weights in the first step. Agreement is that of dlapps
with the peer. Each script says what it compares.
"""
HEADER = """\
| what | dlapps | seconds | peer | seconds | ratio | from | to | cosine | agreement |
|---|---|---:|---|---:|---:|---:|---:|---:|---|"""


@dataclass(frozen=True)
class Row:
    """One way of dlapps beside a peer; as a string, a row of the table.

    seconds, peer_seconds: one of each round. cosine: between the results of dlapps in
    float32 and in this way. agreement: of dlapps with the peer.
    """

    what: str
    way: str
    peer: str
    seconds: Sequence[float]
    peer_seconds: Sequence[float]
    cosine: float | None = None
    agreement: str = "–"

    def __str__(self) -> str:
        ratios = []
        for ours, theirs in zip(self.seconds, self.peer_seconds, strict=True):
            ratios.append(theirs / ours)
        cells = [
            self.what,
            self.way,
            f"{statistics.median(self.seconds):.4f}",
            self.peer,
            f"{statistics.median(self.peer_seconds):.4f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}",
            f"{max(ratios):.2f}",
            "–" if self.cosine is None else f"{self.cosine:.4f}",
            self.agreement,
        ]
        return f"| {' | '.join(cells)} |"


def write_table(path: Path, facts: Mapping[str, object], rows: Sequence[Row]) -> None:
    """Write the table; sections below it, measured by other scripts, stay."""
    lines = [HEAD.format(**facts), HEADER]
    for row in rows:
        lines.append(str(row))
    table = "\n".join(lines) + "\n"
    if path.exists():
        _, heading, below = path.read_text(encoding="utf-8").partition("\n## ")
        table += heading + below
    path.write_text(table, encoding="utf-8")
