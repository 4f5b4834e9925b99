"""How every benchmark here takes time: the ways of doing one thing run in turn, in one process, and medians count."""

import statistics
import time


def time_interleaved(ways, rounds):
    """Median seconds of each way, one run of each a round, and what a first run, which is not counted, gave."""
    results, seconds = {way: run() for way, run in ways.items()}, {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - start)
    return {way: statistics.median(values) for way, values in seconds.items()}, results
