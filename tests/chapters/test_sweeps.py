"""Sweeps: wherever the runs are made, the same results to the last bit, and each handed
over when it is done.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from conftest import CHECKOUT
from joblib.externals.loky import get_reusable_executor

from studies import dann, runs, transfer, visualizing_saliency
from studies.__main__ import main
from studies.dann_runs import Domain, Domains
from studies.sweeps import find_study, keep, sweep, workers

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project of its own, for the workers too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("project")
        patch.setenv("LABREPORT_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def processes(home):
    """`python -m studies --jobs 2`."""
    yield partial(workers, 2)
    get_reusable_executor().shutdown()


def make_domains() -> Domains:
    """Sixty noisy digits per domain, grey ones and ones in colour."""
    generator = torch.Generator().manual_seed(0)
    size = (2, 60, 28, 28, 3)
    images = torch.randint(256, size, dtype=torch.uint8, generator=generator)
    labels = torch.arange(60) % 10
    grey = images[0, ..., 0]
    source = Domain(grey, labels, grey, labels)
    target = Domain(images[1], labels, images[1], labels)
    return Domains(source, target, "noise")


def test_here_runs_are_made_in_order_and_handed_over_one_by_one():
    made = []
    found = sweep({seed: partial(made.append, seed) for seed in range(3)}, "runs")
    assert next(found) == (0, None)
    assert made == [0]
    assert list(found) == [(1, None), (2, None)]
    assert made == [0, 1, 2]


def test_a_run_that_is_done_does_not_wait_for_one_begun_before(processes, tmp_path):
    # Functions inside of others go to the workers by value.
    def wait_for(path: Path) -> int:
        for _ in range(6000):
            if path.exists():
                return os.getpid()
            time.sleep(0.01)
        raise TimeoutError(path)

    calls = {"long": partial(wait_for, tmp_path / "flag"), "short": os.getpid}
    with processes():
        found = sweep(calls, "runs")
        first, short = next(found)
        (tmp_path / "flag").touch()
        last, long = next(found)
    assert (first, last) == ("short", "long")
    assert len({short, long, os.getpid()}) == 3


def test_a_run_that_fails_ends_the_sweep_and_no_worker(processes):
    with processes():
        with pytest.raises(ZeroDivisionError):
            list(sweep({"ill": partial(divmod, 1, 0), "well": int}, "runs"))
        assert list(sweep({"again": int}, "runs")) == [("again", 0)]


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
    assert [dann.weights_path(name, 1).read_bytes() for name in names] == networks


def test_another_configuration_of_joblib_is_honoured(home):
    with joblib.parallel_config("threading", n_jobs=2):
        assert dict(sweep({0: os.getpid}, "runs")) == {0: os.getpid()}


@pytest.mark.parametrize(("jobs", "is_here"), [("1", True), ("2", False)])
def test_the_command_makes_the_runs_in_so_many_processes(
    jobs, is_here, processes, capsys, monkeypatch
):
    def make_pids() -> str:
        (found,) = sweep({0: os.getpid}, "runs")
        return f"made by {found[1]}"

    monkeypatch.setattr("studies.__main__.find_study", lambda name: make_pids)
    assert main(["pids", "--jobs", jobs]) == 0
    printed = capsys.readouterr().out
    assert (printed == f"pids: made by {os.getpid()}\n") == is_here


def test_a_study_is_found_by_the_results_that_it_makes():
    assert find_study("mnistm-networks") is dann.make_mnistm_networks


def test_the_command_lists_the_studies_for_an_unknown_name():
    command = [sys.executable, "-m", "studies", "mnist"]
    folder = CHECKOUT / "data"
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr.startswith("studies: expected a study among mnistm, ")
    assert process.stderr.count("\n") == 1


def test_what_is_kept_is_found_again_by_the_caller(processes):
    values = np.linspace(0, 1, 7)
    to_bytes = keep(transfer.to_bytes)
    assert not to_bytes.check_call_in_cache(values)
    with processes():
        ((_, rounded),) = sweep({"rounded": partial(to_bytes, values)}, "runs")
    assert rounded.tobytes() == transfer.to_bytes(values).tobytes()
    assert to_bytes.check_call_in_cache(values)


def test_what_is_kept_is_made_anew_once_a_module_beside_it_has_changed(
    home, tmp_path, monkeypatch
):
    (tmp_path / "laboratory.py").write_text("def read():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    read = importlib.import_module("laboratory").read
    assert keep(read)() == 1
    assert keep(read).check_call_in_cache()
    (tmp_path / "helper.py").write_text("NUMBER = 1\n")
    assert not keep(read).check_call_in_cache()


def test_a_study_writes_what_is_committed_in_the_committed_order(home, monkeypatch):
    def stand_in(*arguments):
        return list(arguments)

    monkeypatch.setattr(runs, "keep", lambda function: function)
    monkeypatch.setattr(visualizing_saliency, "play_grids", stand_in)
    path = visualizing_saliency.make_visualizing_saliency()
    made = json.loads(path.read_text())
    committed = json.loads((CHECKOUT / "data" / "results" / path.name).read_text())
    assert list(made) == list(committed)
    for network, methods in made["hits"].items():
        assert list(methods) == list(committed["hits"][network])
    assert made["hits"]["SqueezeNet"]["Grad-CAM"] == ["squeezenet1_1", "Grad-CAM"]
