"""Sweeps: the many runs of a study, each a call of its own, made here, by other processes or by other machines.

Where they are made is not the study's business: `workers` below, or any `joblib.parallel_config`, says it around the
same code. The results are the same to the last bit between processors of one kind, each run with one thread.
"""

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import joblib
from tqdm.auto import tqdm

from dlapps import DlappsError
from dlapps.core import paths
from dlapps.core.environment import num_threads
from dlapps.core.extras import require

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

# Threads of one process share PyTorch's default generator, which initial weights and dropout are drawn from.
_one_at_a_time = threading.Lock()


class SweepError(DlappsError):
    """Workers that cannot be had, in one sentence: expected …, got …, do …"""


def sweep(calls: Mapping[Key, Callable[[], Result]], name: str) -> Iterator[tuple[Key, Result]]:
    """(key, result) of each call as soon as it is done, in any order; who writes it before the next loses nothing.

    calls: without arguments (functools.partial binds them), begun in their order. They go to the workers by pickle,
    and so do the results back: bind the name of a data set, not its pictures. name: of the progress bar.
    """
    tasks = (joblib.delayed(_answer)(key, call) for key, call in calls.items())
    answers = joblib.Parallel(return_as="generator_unordered", batch_size=1)(tasks)
    return iter(tqdm(answers, name, total=len(calls)))


def keep(function: Callable[..., Result]) -> Callable[..., Result]:
    """The function, its results kept in data/cache by its code and its arguments."""
    return joblib.Memory(paths.cache(), verbose=0).cache(function)


def _answer(key: Key, call: Callable[[], Result]) -> tuple[Key, Result]:
    with _one_at_a_time:
        return key, call()


@contextmanager
def workers(jobs: int = 1, scheduler: str | None = None) -> Iterator[None]:
    """Where the sweeps inside are made: here, in `jobs` processes, or by a dask.distributed cluster.

    jobs: processes of one thread each, or as many as `DLAPPS_THREADS` says. scheduler: the address of the cluster's
    scheduler, as "tcp://10.0.0.1:8786"; jobs does not count then. A SweepError says what cannot be had.
    """
    if jobs < 1:
        raise SweepError(f"expected at least one job, got {jobs}; 1 makes the runs one by one.")
    if scheduler:
        with _connect(scheduler), joblib.parallel_config("dask"):
            yield
    elif jobs > 1:
        with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=num_threads()):
            yield
    else:
        yield


def _connect(scheduler: str) -> AbstractContextManager:
    require("cluster", "distributed")
    from distributed import Client

    try:
        return Client(scheduler)
    except (OSError, ValueError) as error:
        raise SweepError(f"expected a scheduler at {scheduler!r}, got none ({error}); start one there.") from error
