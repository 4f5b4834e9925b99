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
    options, rows = timing.main(
        __doc__, *(script.list_comparisons for script in SCRIPTS)
    )
    if not options.names:
        made = {"date": time.strftime("%Y-%m-%d"), "version": __version__}
        write_table(RESULTS, environment.describe() | vars(options) | made, rows)


if __name__ == "__main__":
    main()
