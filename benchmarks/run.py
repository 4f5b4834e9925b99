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
from dlapps.core import environment

RESULTS = Path(__file__).with_name("results.md")
TOPICS = (transfer, visualizing, dann, gan)
HEAD = """\
# dlapps beside its peers

{date}, dlapps {version}: {processor}, one thread,
Python {Python}, {packages}; {rounds} rounds. Written by `make bench`.

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
    facts = environment.describe()
    facts["date"] = time.strftime("%Y-%m-%d")
    facts["version"] = __version__
    facts["rounds"] = rounds
    lines = [HEAD.format(**facts), HEADER]
    print(HEADER)
    for topic in TOPICS:
        for comparison in topic.list_comparisons():
            row = measure(comparison, rounds)
            print(row, flush=True)
            lines.append(row)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
