"""The runs of a study, made side by side and kept.

A study does not choose where its runs are made: `workers`, or any
`joblib.parallel_config`, is opened around it. The results are the same to the last bit
on processors of one kind, since each run has one thread. A worker makes one run at a
time: threads of one process would share PyTorch's generator.
"""

import hashlib
import importlib
import inspect
import os
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import joblib
from tqdm import tqdm

from labreport import check_name
from labreport.environment import num_threads
from labreport.report import find_report

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


def find_study(name: str) -> Callable[[], Path]:
    """Find the function make_NAME of this package, which returns the file it wrote.

    Raises LabreportError, which lists the studies, for another name.
    """
    modules = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        for found in re.findall(r"(?m)^def make_(\w+)\(\)", file.read_text("utf-8")):
            modules[found.replace("_", "-")] = file.stem
    check_name("a study", name, modules)
    module = importlib.import_module(f"studies.{modules[name]}")
    return getattr(module, f"make_{name.replace('-', '_')}")


def sweep(
    calls: Mapping[Key, Callable[[], Result]], name: str
) -> Iterator[tuple[Key, Result]]:
    """Yield (key, result) of each call as soon as it is done, in any order.

    A study that writes each result before it takes the next loses nothing if stopped.

    calls: without arguments (functools.partial binds them), begun in their order. They
    are pickled for the workers, and so are the results: bind the name of a data set,
    not its pictures. name: of the progress bar.
    """
    tasks = [joblib.delayed(_answer)(key, call) for key, call in calls.items()]
    answers = joblib.Parallel(return_as="generator_unordered", batch_size=1)(tasks)
    return iter(tqdm(answers, name, total=len(calls), leave=False, delay=5))


def keep(function: Callable[..., Result]) -> Callable[..., Result]:
    """Return the function with its results stored in data/cache.

    A result is found again for the same arguments, as long as no module in the folder
    of the function's own has changed. A change elsewhere, as in dlapps, is not noticed:
    `make clean` empties the cache.
    """
    digest = hashlib.sha256()
    for file in sorted(Path(inspect.getfile(function)).parent.glob("*.py")):
        digest.update(file.read_bytes())
    folder = find_report().cache / digest.hexdigest()[:16]
    return joblib.Memory(folder, verbose=0).cache(function)


def workers(jobs: int) -> joblib.parallel_config:
    """Make the sweeps inside of it in so many processes; one makes them here.

    The processes show no bars. Each has as many threads as `LABREPORT_THREADS` says, by
    default one.
    """
    # Read by a process as it begins.
    os.environ["TQDM_DISABLE"] = "1"
    threads = num_threads()
    return joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=threads)


def _answer(key: Key, call: Callable[[], Result]) -> tuple[Key, Result]:
    return key, call()
