"""Sweeps: wherever the runs are made, the same results to the last bit, and each handed
over when it is done.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import threading
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from conftest import CHECKOUT
from joblib.externals.loky import get_reusable_executor

from dlapps.core.runtime import Bar
from labreport.cli import main
from labreport.imports import find_editable_folder
from labreport.sweeps import keep, sweep, workers
from studies import dann, runs, transfer, visualizing_attacks, visualizing_saliency
from studies.dann_runs import Domain, Domains

torch.set_num_threads(1)
# A study of one's own, which writes nothing and prints the processes of its runs.
PIDS = """
import os
from labreport.sweeps import sweep

def run():
    return os.getpid()

def make_pids():
    processes = sweep({0: run, 1: run}, "runs")
    return " ".join(str(process) for _, process in processes)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project of its own, for the workers too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("project")
        shutil.copytree(CHECKOUT / "data" / "studies", folder / "data" / "studies")
        (folder / "data" / "studies" / "mine.py").write_text(PIDS)
        patch.setenv("LABREPORT_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def processes(home):
    """`labreport study --jobs 2`."""
    yield partial(workers, 2)
    get_reusable_executor().shutdown()


def make_domains() -> Domains:
    """Sixty noisy digits per domain, grey ones and ones in colour."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        256, (2, 60, 28, 28, 3), dtype=torch.uint8, generator=generator
    )
    labels = torch.arange(60) % 10
    grey = images[0, ..., 0]
    source = Domain(grey, labels, grey, labels)
    target = Domain(images[1], labels, images[1], labels)
    return Domains(source, target, "noise")


def test_here_runs_are_made_in_order_and_handed_over_one_by_one():
    made = []
    results = sweep({seed: partial(made.append, seed) for seed in range(3)}, "runs")
    assert next(results) == (0, None)
    assert made == [0]
    assert list(results) == [(1, None), (2, None)]
    assert made == [0, 1, 2]
    assert list(sweep({}, "nothing")) == []


def test_workers_give_what_one_process_gives(processes):
    # Functions inside of others go to the workers by value: these need to import
    # nothing but NumPy.
    def multiply(seed: int) -> np.ndarray:
        first, second = np.random.default_rng(seed).normal(size=(2, 200, 200))
        return np.tanh(first @ second)

    calls = {seed: partial(multiply, seed) for seed in range(6)}
    serial = dict(sweep(calls, "here"))
    with processes():
        parallel = dict(sweep(calls, "elsewhere"))
    assert parallel.keys() == serial.keys()
    assert all(parallel[seed].tobytes() == serial[seed].tobytes() for seed in serial)


def test_threads_do_not_share_their_random_numbers():
    def draw(seed: int) -> list[float]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            time.sleep(0.02)
            return torch.rand(3).tolist()

    calls = {seed: partial(draw, seed) for seed in range(4)}
    serial = dict(sweep(calls, "here"))
    with joblib.parallel_config("threading", n_jobs=4):
        assert dict(sweep(calls, "threads")) == serial


def test_a_run_that_is_done_does_not_wait_for_one_begun_before(processes, tmp_path):
    def wait_for(path: Path) -> int:
        for _ in range(6000):
            if path.exists():
                return os.getpid()
            time.sleep(0.01)
        raise TimeoutError(path)

    with processes():
        calls = {"long": partial(wait_for, tmp_path / "flag"), "short": os.getpid}
        results = sweep(calls, "runs")
        first, short = next(results)
        (tmp_path / "flag").touch()
        ((last, long),) = results
    assert (first, last) == ("short", "long")
    assert len({short, long, os.getpid()}) == 3


def test_a_run_that_fails_ends_the_sweep_and_no_worker(processes):
    with processes():
        with pytest.raises(ZeroDivisionError):
            list(sweep({"ill": partial(divmod, 1, 0), "well": int}, "runs"))
        assert list(sweep({"again": int}, "runs")) == [("again", 0)]


def test_other_processes_show_no_bar(processes):
    def has_none() -> bool:
        return Bar(range(2), disable=False).disable

    with processes():
        assert dict(sweep({"run": has_none}, "runs")) == {"run": True}
    assert not has_none()


def test_a_study_gives_the_same_in_other_processes(processes, home):
    domains = make_domains()
    names = ("slope 10", "weight 1")
    calls = {name: partial(dann.train, name, 1, domains) for name in names}
    serial = dict(sweep(calls, "here"))
    networks = [dann.weights_path(name, 1).read_bytes() for name in names]
    for path in (home / "data" / "cache" / "mnistm").iterdir():
        path.unlink()
    with processes():
        parallel = dict(sweep(calls, "elsewhere"))
    assert parallel == serial
    assert len(serial["slope 10"]["history"]["domain_accuracy"]) == 3
    assert [dann.weights_path(name, 1).read_bytes() for name in names] == networks


def test_a_training_that_is_done_and_not_written_is_not_made_again(home, monkeypatch):
    domains = make_domains()
    entry = dann.train("source only", 2, domains)
    # What every epoch would end with.
    monkeypatch.setattr(dann, "measure", None)
    assert dann.train("source only", 2, domains) == entry
    dann.add_entry("source only", 2, entry)
    assert runs.load_parts("mnistm")["runs"]["source only"]["2"] == entry
    assert not dann.checkpoint_path("source only", 2).exists()


@pytest.fixture
def pids(home, monkeypatch):
    """The folder with the study of one's own; no study has been imported yet."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "studies"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [*sys.path])
    # Workers that are there already have imported studies too.
    get_reusable_executor().shutdown()


def test_the_command_line_chooses_the_number_of_processes(
    pids, processes, capsys, monkeypatch
):
    monkeypatch.setattr("labreport.environment.joblib.cpu_count", lambda: 2)
    cases = [([], False), (["--jobs", "1"], True), (["--jobs", "2"], False)]
    for options, here in cases:
        assert main(["study", "pids", *options]) == 0
        assert (str(os.getpid()) in capsys.readouterr().out.split()) == here
    assert main(["study", "pids", "--jobs", "0"]) == 2
    assert "expected at least one job, got 0; 1 makes" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_any_configuration_of_joblib_is_honoured(home, backend):
    def describe() -> tuple[int, bool]:
        in_main_thread = threading.current_thread() is threading.main_thread()
        return os.getpid(), in_main_thread

    with joblib.parallel_config(backend, n_jobs=2):
        runs = dict(sweep({0: describe, 1: describe}, "runs"))
    for process, in_main_thread in runs.values():
        assert (process == os.getpid()) == (backend == "threading")
        assert in_main_thread == (backend == "loky")


def test_what_joblib_keeps_is_found_again_by_the_caller(processes, home):
    values = np.linspace(0, 1, 7)
    to_bytes = keep(transfer.to_bytes)
    assert not to_bytes.check_call_in_cache(values)
    with processes():
        ((_, rounded),) = sweep({"rounded": partial(to_bytes, values)}, "runs")
    assert rounded.tobytes() == transfer.to_bytes(values).tobytes()
    assert to_bytes.check_call_in_cache(values)


@pytest.mark.parametrize(
    "imports",
    [
        "from laboratory.parts import helper",
        "from laboratory.parts import (\n    helper,\n)",
        "import laboratory.parts.helper as helper",
        "from .parts import helper",
        "from .parts.helper import read; import laboratory.parts.helper as helper",
    ],
)
def test_what_is_kept_is_made_anew_once_a_helper_of_a_helper_has_changed(
    tmp_path, monkeypatch, imports
):
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    package = tmp_path / "laboratory"
    (package / "parts").mkdir(parents=True)
    (package / "study.py").write_text(
        f"{imports}\n\n\ndef read():\n    return helper.read()\n"
    )
    (package / "parts" / "helper.py").write_text(
        "from ..constants import NUMBER\n\n\ndef read():\n    return NUMBER\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cached = []
    # A comment changes nothing. The lengths differ, which tells Python that its
    # bytecode is old.
    for number in ("1", "22", "1  # again"):
        (package / "constants.py").write_text(f"NUMBER = {number}\n")
        for name in [name for name in sys.modules if name.startswith("laboratory")]:
            monkeypatch.delitem(sys.modules, name)
        find_editable_folder.cache_clear()
        read = keep(importlib.import_module("laboratory.study").read)
        cached.append(read.check_call_in_cache())
        assert read() == int(number.partition(" ")[0])
    assert cached == [False, False, True]


def test_studies_write_what_is_committed(home, monkeypatch):
    """Entry by entry in the committed order, each the result of its own run."""

    def stand_in(key: str | None = None):
        def answer(*arguments):
            return {key: list(arguments)} if key else list(arguments)

        return answer

    class Uncached:
        def __init__(self, *_, **__) -> None:
            self.cache = lambda function: function

    monkeypatch.setattr(joblib, "Memory", Uncached)
    for function in ("play_grids", "remove_pixels", "remove_pixels_anew"):
        monkeypatch.setattr(visualizing_saliency, function, stand_in(function))
    results = CHECKOUT / "data" / "results"
    made = json.loads(visualizing_saliency.make_visualizing_saliency().read_text())
    committed = json.loads((results / "visualizing-saliency.json").read_text())
    for name, label in visualizing_saliency.NAMES.items():
        for part, function in {"hits": "play_grids", "gaps": "remove_pixels"}.items():
            assert [*made[part][label]] == [*committed[part][label]]
            assert made[part][label]["RISE"] == {function: [name, "RISE"]}
    blurred = "blurred gradient"
    assert made["drawn anew"][blurred]["2"] == {"remove_pixels_anew": [blurred, 2]}
    assert [*made] == [*committed]
    for function in ("attack", "fool_the_25"):
        monkeypatch.setattr(visualizing_attacks, function, stand_in())
    monkeypatch.setattr(visualizing_attacks, "transfer", stand_in("efficientnet_lite2"))
    made = json.loads(visualizing_attacks.make_visualizing_attacks().read_text())
    committed = json.loads((results / "visualizing-attacks.json").read_text())
    assert [*made["table"]] == [*committed["table"]]
    assert [*made] == [*committed]
    assert made["transfer"]["SqueezeNet to Lite2"]["momentum"] == [
        "squeezenet1_1",
        "momentum",
    ]
