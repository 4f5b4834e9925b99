"""A chapter from another seed, and chapters under other settings: what they have in
common, and what stands beside.
"""

from __future__ import annotations

import json
import re

import pytest
from conftest import code, text

from labreport import LabreportError, paths
from labreport.cli import main
from labreport.editions.variants import read_plan
from labreport.notebook.beside import read_beside

CHAPTER = (
    code("import os\nfound = seed + 1\nthreads = os.environ['OMP_NUM_THREADS']"),
    text(
        "Found {{found}}, and {{chapter.seeds[0]}} with {{threads}}. "
        "It is one. <!-- holds: found == 1 -->"
    ),
)
COMMON = """
profile = "quick"
chapters = ["1"]
"""
VARIANTS = f"""{COMMON}
[variants."seed 0"]
[variants."seed 4"]
seed = 4
[variants."two threads"]
environment = {{ LABREPORT_THREADS = "2" }}
"""


@pytest.fixture
def chapter(project, monkeypatch):
    """A chapter whose numbers are those of its seed."""
    # The command sets it for what it starts.
    monkeypatch.setenv("LABREPORT_SEED", "0")
    path = project.write("1_seeds", *CHAPTER)
    path.write_text(
        path.read_text().replace(
            'profile = \\"quick\\"', 'profile = \\"quick\\"\\nseed = 0'
        )
    )
    path.write_text(path.read_text().replace("profile=profile", "profile, seed"))
    return path


@pytest.mark.report
@pytest.mark.programs("latexmk")
def test_another_seed_has_folders_of_its_own_and_its_sentences_are_marked_there(
    chapter, project, capsys
):
    assert main(["report"]) == 0
    first = (project.build / "results.json").read_bytes()
    assert main(["report", "--seed", "4"]) == 0
    assert "Sentences that do not hold in this run" in capsys.readouterr().out
    folder = project.build / "seed-4"
    assert (project.build / "results.json").read_bytes() == first
    numbers = json.loads((folder / "results.json").read_text())["chapters"]["1_seeds"][
        "numbers"
    ]
    assert [number["value"] for number in numbers] == [5, 4, "1"]
    assert (
        "refuted"
        in (folder / "html" / "1-seeds.html").read_text().partition("</style>")[2]
    )
    assert (folder / "report.pdf").exists()
    assert "seed = 4" in (folder / "notebooks" / "1_seeds.ipynb").read_text()


@pytest.mark.parametrize("said", ["-1", "one"])
def test_a_seed_that_is_none_is_one_sentence(monkeypatch, said):
    monkeypatch.setenv("LABREPORT_SEED", said)
    with pytest.raises(
        LabreportError,
        match=f"expected a seed in LABREPORT_SEED, got '{said}'; set 0 or more",
    ):
        paths.seed()


@pytest.mark.report
def test_variants_say_what_moves_and_what_fails_and_go_on_where_they_stopped(
    chapter, project, capsys
):
    (project.home / "report" / "variants.toml").write_text(VARIANTS)
    assert main(["variants", "seed 0"]) == 0
    ran = [
        path.stat().st_mtime_ns
        for path in project.build.glob("variants/seed-0/report/build/quick/*.ipynb")
    ]
    assert main(["variants"]) == 0
    again = [
        path.stat().st_mtime_ns
        for path in project.build.glob("variants/seed-0/report/build/quick/*.ipynb")
    ]
    assert ran == again
    assert len(ran) == 1
    results = json.loads(
        (project.home / "data" / "results" / "variants.json").read_text()
    )
    assert [*results["variants"]] == ["seed 0", "seed 4", "two threads"]
    (summary,) = results["chapters"].values()
    assert (summary["numbers"], summary["claims"]) == (3, 1)
    moving = {key.partition(" ")[2]: each for key, each in summary["moving"].items()}
    assert moving == {
        "found": {"least": "1", "greatest": "5", "runs": 3},
        "chapter.seeds[0]": {"least": "0", "greatest": "4", "runs": 3},
        "threads": {"least": "1", "greatest": "2", "runs": 3},
    }
    assert [*summary["failing"].values()] == [["seed 4"]]

    # Beside a number stands where it went, on the page as in the notebook.
    beside = {
        expression: said for (_, expression), said in read_beside("1_seeds").items()
    }
    assert beside["found"] == "in 3 runs 1 to 5"
    assert main(["html"]) == 0
    written = json.loads((project.build / "results.json").read_text())
    found = written["chapters"]["1_seeds"]["numbers"][0]
    assert (found["expression"], found["value"]) == ("found", 1)
    page = (project.build / "html" / "1-seeds.html").read_text()
    assert re.search(
        r'<a [^>]*class="value"[^>]*title="in 3 runs 1 to 5"[^>]*>1</a>', page
    )
    capsys.readouterr()


@pytest.mark.parametrize("written", ["", "profile = 1", "[variants.a]\nseeds = 3\n"])
def test_variants_that_are_none_are_one_sentence(project, capsys, written):
    project.write("1_seeds")
    (project.home / "report" / "variants.toml").write_text(written)
    assert main(["variants"]) == 2
    assert (
        "expected profile, chapters and a table of variants in "
        in capsys.readouterr().err
    )


def test_a_variant_that_is_not_planned_is_one_sentence(project, capsys):
    project.write("1_seeds")
    (project.home / "report" / "variants.toml").write_text(VARIANTS)
    assert main(["variants", "seed 5"]) == 2
    sentence = "expected a variant among seed 0, seed 4, two threads, got 'seed 5';"
    assert sentence in capsys.readouterr().err


def test_a_variant_that_keeps_what_the_caller_lacks_says_so(
    project, capsys, monkeypatch
):
    monkeypatch.delenv("DLAPPS_DATA", raising=False)
    project.write("1_seeds")
    mirror = '[variants.mirror]\nkeep = ["DLAPPS_DATA"]\n'
    (project.home / "report" / "variants.toml").write_text(COMMON + mirror)
    assert main(["variants"]) == 2
    assert (
        "expected DLAPPS_DATA for the variant 'mirror', got none; set it."
        in capsys.readouterr().err
    )


def test_fetched_data_are_shared_by_variants_of_the_same_data_alone(
    project, monkeypatch
):
    monkeypatch.setenv("DLAPPS_DATA", "mirror")
    settings = 'unset = ["DLAPPS_DATA"]\nstore = "DLAPPS_HOME"\n'
    variants = "[variants.one]\n[variants.two]\n"
    mirror = '[variants.mirror]\nkeep = ["DLAPPS_DATA"]\n'
    path = project.home / "report" / "variants.toml"
    path.write_text(COMMON + settings + variants + mirror)
    plan = read_plan()
    one, two, mirror = (plan.variables(name) for name in plan.variants)
    assert one["DLAPPS_HOME"] == two["DLAPPS_HOME"] != mirror["DLAPPS_HOME"]
    assert "DLAPPS_DATA" not in one
    assert one["LABREPORT_HOME"] != two["LABREPORT_HOME"]


@pytest.mark.report
def test_a_run_that_failed_is_none(chapter, project):
    (project.home / "report" / "variants.toml").write_text(VARIANTS)
    assert main(["variants", "seed 0"]) == 0
    (done,) = project.build.glob("variants/seed-0/report/build/quick/*.ipynb")
    done.with_suffix(".failed.ipynb").write_bytes(done.read_bytes())
    assert main(["variants", "seed 0"]) == 0
    results = json.loads(
        (project.home / "data" / "results" / "variants.json").read_text()
    )
    assert [*results["chapters"]] == ["1_seeds"]
