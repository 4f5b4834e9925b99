"""Deep learning applications: helpers that read like the papers they implement, and a report that runs."""

__version__ = "0.2.0"


class DlappsError(Exception):
    """What went wrong in one sentence: what was expected, what came instead, what to do."""
