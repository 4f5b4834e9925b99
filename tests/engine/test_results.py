"""Committed results: every file can be read, runs and scores are found by name, and
what is written comes back.
"""

import copy
import json
import statistics

import numpy as np
import pytest

from labreport import LabreportError, paths, results
from labreport.intervals import compare

FOLLOWED = {"scores": {"accuracy": 0.5}, "history": {"accuracy": [0.25, 0.5]}}
RUNS = {
    "paper": {"1": {"scores": {"accuracy": 0.75}}, "0": FOLLOWED},
    "wide": {
        "0": {"diverged": "expected a finite loss, got nan."},
        "1": {"scores": {"accuracy": 0.125}},
    },
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "results", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def moons(folder):
    """The study of RUNS, as it is read again."""
    results.save("moons", {"shares": ["accuracy"], "runs": RUNS}, [0, 1])
    return results.load("moons")


@pytest.mark.parametrize(
    "path", sorted(paths.results().glob("*.json")), ids=lambda path: path.stem
)
def test_every_committed_run_says_what_is_a_score_a_history_a_setting_and_a_share(path):
    study = results.load(path.stem)
    assert study.parts
    assert ("runs" in study.parts) == ("shares" in study.parts)
    assert all(study.runs.values())
    known = {"scores", "history", "settings", "diverged", "health", "measures", "real"}
    for entry in (
        entry for entries in study.runs.values() for entry in entries.values()
    ):
        assert ("scores" in entry) != ("diverged" in entry)
        assert {*entry} <= known
        scores, history = entry.get("scores", {}), entry.get("history", {})
        assert not {str, dict, bool} & {type(value) for value in scores.values()}
        assert all(isinstance(values, list) for values in history.values())
        for share in study.shares:
            values = np.append(scores.get(share, []), history.get(share, []))
            assert ((values >= 0) & (values < 1.0001)).all(), (
                share
            )  # means of batches are rounded


def test_what_has_no_seeds_is_no_run():
    assert results.load("visualizing-attacks").runs == {}


def test_seeds_come_in_order_and_a_diverged_one_counts_in_no_score(moons):
    assert moons.values("paper", "accuracy").tolist() == [0.5, 0.75]
    assert moons.mean("wide", "accuracy") == 0.125
    assert moons.summary("paper") == {
        "accuracy": 0.625,
        "accuracy_sd": statistics.stdev([0.5, 0.75]),
    }
    assert list(moons.runs["wide"]) == [0, 1]


def test_a_score_of_the_course_counts_as_it_was_at_the_end(folder):
    entry = {"history": {"loss": [2.0, 1.0]}, "scores": {"accuracy": 0.5}}
    results.save("moons", {"runs": {"paper": {"0": entry}}}, [0])
    study = results.load("moons")
    assert study.values("paper", "loss") == 1
    assert study.history("paper", "loss").tolist() == [[2, 1]]


def test_a_table_compares_runs_and_what_has_no_seeds(moons):
    assert moons.table(["wide"], ["accuracy"]).rows == [["wide", "1", "0.125"]]
    table = moons.table(
        {"Paper": "paper", "real": {"accuracy": 1}}, {"accuracy": ".2f"}
    )
    assert table.rows == [["Paper", "2", "0.62 ± 0.18"], ["real", "–", "1.00"]]


def test_a_run_lacks_what_only_other_runs_have(folder):
    runs = {
        name: {"0": {"scores": {score: 0.5}}}
        for name, score in (("told", "obeyed"), ("free", "recall"))
    }
    results.save("ours", {"runs": runs}, [0])
    table = results.load("ours").table(
        ["told", "free"], {"recall": ".1f", "obeyed": ".1f"}
    )
    assert table.rows == [["told", "1", "–", "0.5"], ["free", "1", "0.5", "–"]]


@pytest.fixture
def presets(folder):
    """Four runs over three seeds, with a share and a number."""
    draws = np.random.default_rng(0).normal(0.6, 0.02, (4, 3)).round(4).tolist()
    runs = {
        run: {
            f"{seed}": {"scores": {"accuracy": share, "minutes": 10 * share}}
            for seed, share in enumerate(shares)
        }
        for run, shares in zip(("plain", "paper", "wide", "recipe"), draws, strict=True)
    }
    results.save("presets", {"shares": ["accuracy"], "runs": runs}, [0, 1, 2])
    return results.load("presets")


def test_a_table_has_the_scores_of_its_runs_and_what_they_gain(presets):
    runs = {"source only": "plain", "DANN": "paper", "wide": "wide"}
    table = presets.table(
        runs, {"minutes": ".1f", "accuracy": ".3f"}, gain_over="source only"
    )
    first, second = (
        presets.values("paper", "accuracy"),
        presets.values("plain", "accuracy"),
    )
    gain = compare(100 * first, 100 * second, number=2)
    assert (table["DANN"].gain, table["source only"].gain) == (gain, None)
    assert table["DANN"].accuracy.mean == pytest.approx(first.mean())
    assert table["DANN"].accuracy.deviation == pytest.approx(first.std(ddof=1))
    assert table["DANN"].minutes.num_seeds == 3
    assert table.columns == ["", "seeds", "minutes", "accuracy", "gain", "low", "high"]
    assert table.rows[0] == ["source only", "3", *table.rows[0][2:4], "–", "–", "–"]
    shown = f"{first.mean():.3f} ± {first.std(ddof=1):.3f}"
    assert table.rows[1][3:] == [shown, *(f"{end:+.1f}" for end in tuple(gain))]
    assert table.family == "corrected for two comparisons"


def test_a_gain_of_a_plain_number_is_in_its_unit_and_format(presets):
    table = presets.table(["plain", "paper"], {"minutes": ".2f"}, gain_over="plain")
    gain = compare(
        presets.values("paper", "minutes"), presets.values("plain", "minutes")
    )
    assert table["paper"].gain == gain
    assert table.rows[1][3] == f"{gain.mean:+.2f}"
    assert table.family == "a single comparison"
    assert presets.table(["plain"], ["minutes"]).family == ""


def test_a_row_is_copied_and_says_which_scores_it_has(presets):
    row = presets.table(["plain"], ["accuracy"])["plain"]
    assert copy.deepcopy(row) == row
    with pytest.raises(
        AttributeError, match="expected a score among accuracy, got 'loss'"
    ):
        _ = row.loss


def test_a_score_of_several_values_a_seed_counts_their_mean(folder):
    runs = {
        "deep": {"0": {"scores": {"ranks": [1, 2]}}, "1": {"scores": {"ranks": [3, 6]}}}
    }
    results.save("drawn", {"runs": runs}, [0, 1])
    score = results.load("drawn").table(["deep"], ["ranks"])["deep"].ranks
    assert (score.mean, score.deviation) == (
        3,
        pytest.approx(statistics.stdev([1.5, 4.5])),
    )


def test_heads_of_a_table_are_spelt_as_the_field_does(folder):
    scores = {"frechet_ratio": 8.0, "gan_train_accuracy": 0.965, "class_entropy": 2.3}
    results.save("ours", {"runs": {"best": {"0": {"scores": scores}}}}, [0])
    assert results.load("ours").table(["best"], scores).columns == [
        "",
        "seeds",
        "Fréchet ratio",
        "GAN-train",
        "class entropy",
    ]


def test_joined_studies_are_compared_in_one_table_and_stay_as_they_were(folder):
    results.save("ours", {"runs": RUNS}, [0, 1])
    results.save(
        "theirs", {"runs": {"paper": {"0": {"scores": {"accuracy": 0.875}}}}}, [0]
    )
    ours, theirs = results.load("ours"), results.load("theirs")
    joined = ours.join(theirs)
    assert joined.mean("paper", "accuracy") == ours.mean("paper", "accuracy") == 0.625
    assert (
        joined.mean("theirs paper", "accuracy")
        == theirs.mean("paper", "accuracy")
        == 0.875
    )
    assert set(ours.runs) == {"paper", "wide"}


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda study: study["maid"], "part among made, shares, runs, got 'maid'"),
        (
            lambda study: study.mean("papr", "accuracy"),
            "run among paper, wide, got 'papr'",
        ),
        (lambda study: study.mean("paper", "loss"), "score among accuracy, got 'loss'"),
        (
            lambda study: study.table({"a": {"b": 1}}, ["loss"]),
            "score among b, got 'loss'",
        ),
        (
            lambda study: study.table(["paper"], ["accuracy"])["wide"],
            "row among paper, got 'wide'",
        ),
        (
            lambda study: study.table(["paper"], ["accuracy"], "wide"),
            "baseline .*got 'wide'",
        ),
        (
            lambda study: study.history("paper", "loss"),
            "entry among scores, got 'history'",
        ),
    ],
)
def test_a_name_that_is_not_there_is_one_sentence_with_those_that_are(
    ask, sentence, moons
):
    with pytest.raises(ValueError, match=f"expected a .*{sentence}"):
        ask(moons)


@pytest.mark.parametrize("load", [results.load, results.load_arrays])
def test_missing_results_say_how_to_make_them(load, folder):
    with pytest.raises(LabreportError, match="run labreport study moons"):
        load("moons")


def test_numbers_are_written_beside_what_they_were_made_with(folder):
    path = results.save("moons", {"accuracy": 0.5}, [0, 1])
    study = results.load("moons")
    assert (path, study["accuracy"], study["made"]["seeds"]) == (
        folder / "moons.json",
        0.5,
        [0, 1],
    )


def test_arrays_come_back_and_the_same_arrays_are_the_same_file(folder):
    arrays = {
        "one": np.arange(6, dtype=np.float16).reshape(2, 3),
        "names": np.array(["a", "bc"]),
    }
    first = results.save_arrays("moons", arrays).read_bytes()
    assert results.save_arrays("moons", arrays).read_bytes() == first
    loaded = results.load_arrays("moons")
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)


def test_a_list_of_numbers_is_a_line_of_the_file(folder):
    history = {"loss": [1.5, -2e-05, 3.0], "names": ["x, y", "[z"]}
    runs = {"a": {"0": {"history": history, "none": []}}}
    written = results.save("numbers", {"runs": runs}, (0, 1)).read_text()
    assert '"loss": [1.5, -2e-05, 3.0]' in written
    assert json.loads(written)["runs"] == runs
