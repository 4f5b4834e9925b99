"""Sweeps: wherever the runs are made, the same results to the last bit, and none made
twice.
"""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CHECKOUT
from joblib.externals.loky import get_reusable_executor

from labreport import results
from studies import dann, visualizing_saliency
from studies.__main__ import main
from studies.dann_runs import Domain, Domains
from studies.runs import add_arrays, make_missing
from studies.sweeps import find_study, sweep, workers

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
    return Domains(source, target)


def test_two_runs_are_made_at_once_and_handed_over_in_order(processes, tmp_path):
    # Functions inside of others go to the workers by value.
    def wait_for(path: Path) -> int:
        for _ in range(6000):
            if path.exists():
                return os.getpid()
            time.sleep(0.01)
        raise TimeoutError(path)

    def make(path: Path) -> int:
        path.touch()
        return os.getpid()

    flag = tmp_path / "flag"
    with processes():
        calls = {"waits": partial(wait_for, flag), "is awaited": partial(make, flag)}
        found = dict(sweep(calls, "runs"))
    assert list(found) == ["waits", "is awaited"]
    assert len({*found.values(), os.getpid()}) == 3


def test_a_run_that_fails_ends_the_sweep_and_no_worker(processes):
    with processes():
        with pytest.raises(ZeroDivisionError):
            list(sweep({"ill": partial(divmod, 1, 0), "well": int}, "runs"))
        assert list(sweep({"again": int}, "runs")) == [("again", 0)]


def test_a_study_gives_the_same_in_other_processes(processes):
    domains = make_domains()
    names = ("slope 10", "weight 1")
    calls = {name: partial(dann.train, name, 1, domains) for name in names}
    serial = dict(sweep(calls, "here"))
    with processes():
        parallel = dict(sweep(calls, "elsewhere"))
    assert parallel == serial


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


def test_a_study_is_found_by_the_results_that_it_makes(capsys):
    assert find_study("mnistm-strokes") is dann.make_mnistm_strokes
    assert main(["mnist"]) == 2
    assert "expected a study among mnistm, " in capsys.readouterr().err


def test_a_study_that_was_stopped_goes_on_with_its_next_run(home):
    made = []

    def make(number: int) -> int:
        made.append(number)
        return number

    calls = {("runs", "one", 0): partial(make, 0), ("runs", "one", 1): partial(int, "")}
    with pytest.raises(ValueError, match="invalid literal"):
        make_missing("stopped", calls, [0, 1], shares=["accuracy"])
    calls["runs", "one", 1] = partial(make, 1)
    file = make_missing("stopped", calls, [0, 1], shares=["accuracy"])
    assert made == [0, 1]
    parts = json.loads(file.read_text())
    assert parts.pop("made")["seeds"] == [0, 1]
    assert parts == {"shares": ["accuracy"], "runs": {"one": {"0": 0, "1": 1}}}


def test_arrays_are_added_by_several_processes(home, processes):
    calls = {}
    for number in range(4):
        arrays = {str(number): np.array([number])}
        calls[number] = partial(add_arrays, "several", arrays)
    with processes():
        assert len(list(sweep(calls, "arrays"))) == 4
    found = results.load_arrays("several")
    assert sorted(found) == ["0", "1", "2", "3"]
    assert found["3"].tolist() == [3]


def test_a_study_writes_what_is_committed_in_the_committed_order(home, monkeypatch):
    def stand_in(*arguments):
        return list(arguments)

    monkeypatch.setattr(visualizing_saliency, "play_grids", stand_in)
    path = visualizing_saliency.make_visualizing_saliency()
    made = json.loads(path.read_text())
    committed = json.loads((CHECKOUT / "data" / "results" / path.name).read_text())
    assert list(made) == list(committed)
    for network, methods in made["hits"].items():
        assert list(methods) == list(committed["hits"][network])
    assert made["hits"]["SqueezeNet"]["Grad-CAM"] == ["squeezenet1_1", "Grad-CAM"]
