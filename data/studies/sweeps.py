"""The runs of a study, made side by side.

A study does not choose where its runs are made: `workers`, or any
`joblib.parallel_config`, is opened around it. The results are the same to the last bit
on processors of one kind, since each run has one thread. A worker makes one run at a
time: threads of one process would share PyTorch's generator.
"""

import importlib
import os
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import joblib
from tqdm import tqdm

from labreport import check_name
from labreport.environment import num_threads

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
    """Yield (key, result) of each call, in their order, as soon as it is done.

    A study that writes each result before it takes the next goes on where it was
    stopped.

    calls: without arguments (functools.partial binds them). They are pickled for the
    workers, and so are the results: bind the name of a data set, not its pictures.
    name: of the progress bar.
    """
    tasks = [joblib.delayed(call)() for call in calls.values()]
    answers = joblib.Parallel(return_as="generator", batch_size=1)(tasks)
    bar = tqdm(answers, name, len(calls), leave=False, delay=5)
    return zip(calls, bar, strict=True)


def workers(jobs: int) -> joblib.parallel_config:
    """Make the sweeps inside of it in so many processes; one makes them here.

    The processes show no bars. Each has as many threads as `LABREPORT_THREADS` says, by
    default one.
    """
    # Read by a process as it begins.
    os.environ["TQDM_DISABLE"] = "1"
    threads = num_threads()
    return joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=threads)
