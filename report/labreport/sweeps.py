"""Sweeps: the many runs of a study, each a call of its own.

A study does not choose where its runs are made. `workers`, or any
`joblib.parallel_config`, is opened around it. The results are the same to the last bit
on processors of one kind, since each run has one thread.
"""

import importlib
import inspect
import re
import sys
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import joblib
from tqdm import tqdm

from labreport import check_name, expected, paths
from labreport.environment import num_threads
from labreport.imports import digest_code, find_in_package

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

# Threads of one process share PyTorch's default generator, from which initial weights
# and dropout are drawn.
_one_at_a_time = threading.Lock()


def find_study(name: str) -> Callable[[], Path]:
    """The study of the report's folder that makes results of that name.

    It is the function make_NAME in a file of data/studies, and returns the file that it
    wrote. Raises LabreportError for an unknown name.
    """
    data = paths.project() / "data"
    functions = {}
    for file in sorted(data.glob("studies/*.py")):
        source = file.read_text(encoding="utf-8")
        for function in re.findall(r"(?m)^def (make_\w+)\(\)", source):
            result = function.removeprefix("make_").replace("_", "-")
            functions[result] = (file.stem, function)
    if not functions:
        wanted = f"a function make_{name.replace('-', '_')}() in {data / 'studies'}"
        raise expected(wanted, "no study", "write it")
    check_name("results", name, functions)
    module, function = functions[name]
    if str(data) not in sys.path:
        sys.path.insert(0, str(data))
    return getattr(importlib.import_module(f"studies.{module}"), function)


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

    A result is found again for the same arguments, as long as neither the function's
    module has changed nor one of the same package that this imports, directly or
    through others. Docstrings and comments may change.
    """
    # A script is no module of a package.
    files = {Path(inspect.getfile(function)).resolve(): function.__module__}
    digest = digest_code(files | find_in_package(function.__module__))
    return joblib.Memory(paths.cache() / digest[:16], verbose=0).cache(function)


def _answer(key: Key, call: Callable[[], Result]) -> tuple[Key, Result]:
    with _one_at_a_time:
        return key, call()


@contextmanager
def workers(jobs: int) -> Iterator[None]:
    """Make the sweeps inside here in processes of one thread each.

    Each has as many threads as `LABREPORT_THREADS` says, where that is set. Raises
    LabreportError for fewer than one process; one makes the runs in this process.
    """
    if jobs < 1:
        raise expected("at least one job", jobs, "1 makes the runs one by one")
    if jobs == 1:
        yield
        return
    threads = num_threads()
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=threads):
        yield
