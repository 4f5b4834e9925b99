"""Make what data/results lacks: `cd data && python -m studies NAME`."""

import argparse
import sys
from collections.abc import Sequence

from labreport import LabreportError
from labreport.environment import limit_threads, num_processes
from studies.sweeps import find_study, workers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the studies of these names, one after the other, and print their files.

    Returns 2 after a sentence on stderr, if a name is unknown, or a study raises
    LabreportError.
    """
    parser = argparse.ArgumentParser(prog="python -m studies", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME")
    jobs_help = "runs at a time, each a process; default: one per core"
    parser.add_argument("--jobs", type=int, metavar="N", help=jobs_help)
    options = parser.parse_args(arguments)
    try:
        studies = {name: find_study(name) for name in options.names}
        limit_threads()
        with workers(options.jobs or num_processes()):
            for name, make in studies.items():
                print(f"{name}: {make()}", flush=True)
    except LabreportError as error:
        print(f"studies: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
