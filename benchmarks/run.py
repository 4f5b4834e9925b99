"""All comparisons, one after the other, and their table, benchmarks/results.md.

`python benchmarks/run.py [--rounds 3]`
"""

import argparse
import time
from pathlib import Path

import dann
import gan
import torch
import transfer
import visualizing
from comparison import HEADER, measure

from dlapps import __version__
from labreport import environment
from labreport.report import find_report

RESULTS = Path(__file__).with_name("results.md")
TOPICS = (transfer, visualizing, dann, gan)
HEAD = """\
# dlapps beside its peers

{date}, dlapps {version}: {machine}; {rounds} rounds. Written by `make bench`.

A ratio is the peer's seconds divided by those of dlapps in the same round, both in
float32: the median of all rounds, and in brackets the least and the greatest. In
bfloat16 dlapps runs under `torch.autocast`, the peer as before; input gradients and
integrated gradients stay in float32. Agreement is that of dlapps with the peer: the
least cosine between features, maps, or the changes of all weights in a training, or how
often attacks succeed and how high the drawn classes score, the peer first. Each script
says what it compares.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    head = HEAD.format(
        date=time.strftime("%Y-%m-%d"),
        version=__version__,
        machine=environment.describe(find_report())["machine"],
        rounds=rounds,
    )
    lines = [head, HEADER]
    print(HEADER)
    for topic in TOPICS:
        for comparison in topic.list_comparisons():
            row = measure(comparison, rounds)
            print(row, flush=True)
            lines.append(row)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
