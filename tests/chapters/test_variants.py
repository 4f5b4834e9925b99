"""Chapters under other settings: what they have in common, and what stands beside."""

from __future__ import annotations

import json

import pytest
from conftest import code, text

from labreport import LabreportError
from studies.variants import Variant, compare, find_home, make_variables

VARIANTS = {
    "seed 0": Variant(),
    "others": Variant(4, {"LABREPORT_THREADS": "2"}),
}
MIRROR = Variant(keep=("DLAPPS_DATA",))


def write_chapter(project, start):
    """A chapter whose numbers are those of its seed, which counts from `start`."""
    found = f"found = seed + {start}\n"
    found += "import os\nthreads = os.environ['OMP_NUM_THREADS']"
    said = "Found {{found}} with {{threads}}. It is one. <!-- holds: found == 1 -->"
    project.write("1_seeds", code(found), text(said))


def read_times():
    times = {}
    for name in VARIANTS:
        for path in find_home(name).glob("report/build/**/1_seeds.ipynb"):
            times[name] = path.stat().st_mtime_ns
    return times


@pytest.mark.report
def test_variants_say_what_moves_and_what_fails_and_go_on_where_they_stopped(project):
    write_chapter(project, start=1)
    compare({"seed 0": Variant()}, ["1"])
    first = read_times()
    results = json.loads(compare(VARIANTS, ["1"]).read_text())
    assert list(first) == ["seed 0"]
    assert read_times()["seed 0"] == first["seed 0"]
    assert list(results["variants"]) == list(VARIANTS)
    (summary,) = results["chapters"].values()
    assert (summary["numbers"], summary["claims"]) == (2, 1)
    moving = {key.partition(" ")[2]: each for key, each in summary["moving"].items()}
    assert moving == {
        "found": {"least": "1", "greatest": "5", "runs": 2},
        "threads": {"least": "1", "greatest": "2", "runs": 2},
    }
    assert list(summary["failing"].values()) == [["others"]]
    write_chapter(project, start=7)
    results = json.loads(compare({"seed 0": Variant()}, ["1"]).read_text())
    (summary,) = results["chapters"].values()
    assert list(summary["failing"].values()) == [["seed 0"]]


def test_a_variant_that_keeps_what_the_caller_lacks_says_so(project):
    with pytest.raises(
        LabreportError,
        match=r"expected DLAPPS_DATA for the variant 'mirror', got none; set it.",
    ):
        make_variables("mirror", MIRROR)


def test_fetched_data_are_shared_by_variants_of_the_same_data_alone(
    project, monkeypatch
):
    monkeypatch.setenv("DLAPPS_DATA", "mirror")
    one = make_variables("one", Variant())
    two = make_variables("two", Variant(1))
    mirror = make_variables("mirror", MIRROR)
    assert one["DLAPPS_HOME"] == two["DLAPPS_HOME"] != mirror["DLAPPS_HOME"]
    assert "DLAPPS_DATA" not in one
    assert one["LABREPORT_HOME"] != two["LABREPORT_HOME"]
