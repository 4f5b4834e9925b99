"""All benchmarks, one after the other, and their table, benchmarks/results.md.

`python benchmarks/run.py [--rounds 5] [--threads 1] [NAME ...]`; with names, nothing is
written.
"""

import time
from pathlib import Path

import dann
import gan
import timing
import transfer
import visualizing
from table import write_table

from dlapps import __version__
from dlapps.core import environment

RESULTS = Path(__file__).with_name("results.md")
SCRIPTS = (transfer, visualizing, dann, gan)


def main() -> None:
    lists = [script.list_comparisons for script in SCRIPTS]
    options, rows = timing.main(__doc__, lists)
    if options.names:
        return
    facts = environment.describe()
    facts["date"] = time.strftime("%Y-%m-%d")
    facts["version"] = __version__
    facts["rounds"] = options.rounds
    facts["threads"] = options.threads
    write_table(RESULTS, facts, rows)


if __name__ == "__main__":
    main()
