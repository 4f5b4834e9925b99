"""Sweeps: the many runs of a study, each a call of its own, made here, by other
processes or by other machines.

Where they are made is not the study's business: `workers` below, or any
`joblib.parallel_config`, says it around the same code. The results are the same to the
last bit between processors of one kind, each run with one thread.
"""

import hashlib
import importlib
import inspect
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import joblib
from tqdm import tqdm

from labreport import LabreportError, check_name, paths
from labreport.environment import num_threads
from labreport.paths import require

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

# Threads of one process share PyTorch's default generator, which initial weights and
# dropout are drawn from.
_one_at_a_time = threading.Lock()


class SweepError(LabreportError):
    """A study or workers that cannot be had, in one sentence: expected …, got …, do …"""


def find_study(name: str) -> Callable[[], Path]:
    """The study of the report's folder that makes results of that name: make_NAME in a
    file of data/studies.

    It returns the file that it wrote. Raises SweepError for an unknown name.
    """
    data, found = paths.project() / "data", {}
    for file in sorted(data.glob("studies/*.py")):
        for function in re.findall(
            r"(?m)^def make_(\w+)\(\)", file.read_text(encoding="utf-8")
        ):
            found[function.replace("_", "-")] = file.stem, f"make_{function}"
    check_name("results", name, found or ["none of data/studies"], SweepError)
    if str(data) not in sys.path:
        sys.path.insert(0, str(data))
    module, function = found[name]
    return getattr(importlib.import_module(f"studies.{module}"), function)


def sweep(
    calls: Mapping[Key, Callable[[], Result]], name: str
) -> Iterator[tuple[Key, Result]]:
    """(key, result) of each call as soon as it is done, in any order; who writes it
    before the next loses nothing.

    calls: without arguments (functools.partial binds them), begun in their order. They
    go to the workers by pickle, and so do the results back: bind the name of a data
    set, not its pictures. name: of the progress bar.
    """
    tasks = (joblib.delayed(_answer)(key, call) for key, call in calls.items())
    answers = joblib.Parallel(return_as="generator_unordered", batch_size=1)(tasks)
    return iter(tqdm(answers, name, total=len(calls), leave=False, delay=5))


def keep(function: Callable[..., Result]) -> Callable[..., Result]:
    """The function, its results stored in data/cache by its arguments and the source of
    its module and of those of the same package that this imports, directly or through
    others: a helper that has changed gives new ones.
    """
    package, names, sources = (
        function.__module__.partition(".")[0],
        [function.__module__],
        list[str](),
    )
    for name in names:
        sources.append(inspect.getsource(sys.modules[name]))
        words = re.findall(
            r"\w+", " ".join(re.findall(rf"(?m)^from {package}\b.*", sources[-1]))
        )
        names += sorted(
            {f"{package}.{word}" for word in words} & {*sys.modules} - {*names}
        )
    digest = hashlib.sha256(" ".join(sources).encode()).hexdigest()
    return joblib.Memory(paths.cache() / digest[:16], verbose=0).cache(function)


def _answer(key: Key, call: Callable[[], Result]) -> tuple[Key, Result]:
    with _one_at_a_time:
        return key, call()


@contextmanager
def workers(jobs: int = 1, scheduler: str | None = None) -> Iterator[None]:
    """Where the sweeps inside are made: here, in `jobs` processes, or by a
    dask.distributed cluster.

    jobs: processes of one thread each, or as many as `LABREPORT_THREADS` says.
    scheduler: the address of the cluster's scheduler, as "tcp://10.0.0.1:8786"; jobs
    does not count then. A SweepError says what cannot be had.
    """
    if jobs < 1:
        raise SweepError(
            f"expected at least one job, got {jobs}; 1 makes the runs one by one."
        )
    if scheduler:
        with _connect(scheduler) as client, joblib.parallel_config("dask"):
            _upload_studies(client)
            yield
    elif jobs > 1:
        with joblib.parallel_config(
            "loky", n_jobs=jobs, inner_max_num_threads=num_threads()
        ):
            yield
    else:
        yield


def _upload_studies(client: Any) -> None:
    """Let every worker import the report's studies, whatever its machine has."""
    data = paths.project() / "data"
    if (data / "studies").is_dir():
        with tempfile.TemporaryDirectory() as folder:
            # Another name each time: Python 3.13 does not read an archive that replaces
            # one that it has read.
            archive = shutil.make_archive(
                f"{folder}/{Path(folder).name}", "zip", data, "studies"
            )
            client.upload_file(archive)


def _connect(scheduler: str) -> Any:
    require("cluster", "distributed")
    from distributed import Client

    try:
        return Client(scheduler)
    except (OSError, ValueError) as error:
        raise SweepError(
            f"expected a scheduler at {scheduler!r}, got none ({error}); start one there."
        ) from error
