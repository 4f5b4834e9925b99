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
    for run in study.runs.values():
        for entry in run.values():
            check_entry(entry, study.shares)


def check_entry(entry, shares):
    assert ("scores" in entry) != ("diverged" in entry)
    scores = entry.get("scores", {})
    history = entry.get("history", {})
    for value in scores.values():
        assert not isinstance(value, (str, dict, bool))
    for values in history.values():
        assert isinstance(values, list)
    for share in shares:
        values = np.append(scores.get(share, []), history.get(share, []))
        # Means over batches are rounded.
        assert ((values >= 0) & (values < 1.0001)).all(), share


def test_what_has_no_seeds_is_no_run():
    assert results.load("visualizing-attacks").runs == {}


def test_seeds_come_in_order_and_a_diverged_one_counts_in_no_score(moons):
    assert moons.values("paper", "accuracy").tolist() == [0.5, 0.75]
    assert moons.mean("wide", "accuracy") == 0.125
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
    conditional = {"0": {"scores": {"obeyed": 0.5}}}
    unconditional = {"0": {"scores": {"recall": 0.5}}}
    runs = {"cgan": conditional, "gan": unconditional}
    results.save("ours", {"runs": runs}, [0])
    study = results.load("ours")
    table = study.table(["cgan", "gan"], {"recall": ".1f", "obeyed": ".1f"})
    assert table.rows == [["cgan", "1", "–", "0.5"], ["gan", "1", "0.5", "–"]]
    assert study.table(["cgan"], ["recall"]).rows == [["cgan", "–", "–"]]


@pytest.fixture
def trainings(folder):
    """Three runs over three seeds, with a share and a number."""
    draws = np.random.default_rng(0).normal(0.6, 0.02, (3, 3)).round(4).tolist()
    runs = {}
    for run, shares in zip(("plain", "paper", "wide"), draws, strict=True):
        runs[run] = {}
        for seed, share in enumerate(shares):
            scores = {"accuracy": share, "minutes": 10 * share}
            runs[run][str(seed)] = {"scores": scores}
    results.save("trainings", {"shares": ["accuracy"], "runs": runs}, [0, 1, 2])
    return results.load("trainings")


def test_a_table_has_the_scores_of_its_runs_and_what_they_gain(trainings):
    runs = {"source only": "plain", "DANN": "paper", "wide": "wide"}
    table = trainings.table(
        runs, {"minutes": ".1f", "accuracy": ".3f"}, gain_over="source only"
    )
    first = trainings.values("paper", "accuracy")
    second = trainings.values("plain", "accuracy")
    gain = compare(100 * first, 100 * second, number=2)
    assert table["DANN"].gain == gain
    assert table["source only"].gain is None
    assert table["DANN"].accuracy.mean == pytest.approx(first.mean())
    assert table["DANN"].accuracy.deviation == pytest.approx(first.std(ddof=1))
    assert table["DANN"].minutes.num_seeds == 3
    assert table.columns == ["", "seeds", "minutes", "accuracy", "gain", "low", "high"]
    assert table.rows[0] == ["source only", "3", *table.rows[0][2:4], "–", "–", "–"]
    shown = f"{first.mean():.3f} ± {first.std(ddof=1):.3f}"
    assert table.rows[1][3:] == [shown, *(f"{end:+.1f}" for end in tuple(gain))]
    assert table.family == "corrected for two comparisons"


def test_a_gain_of_a_plain_number_is_in_its_unit_and_format(trainings):
    table = trainings.table(["plain", "paper"], {"minutes": ".2f"}, gain_over="plain")
    gain = compare(
        trainings.values("paper", "minutes"), trainings.values("plain", "minutes")
    )
    assert table["paper"].gain == gain
    assert table.rows[1][3] == f"{gain.mean:+.2f}"
    assert table.family == "a single comparison"
    assert trainings.table(["plain"], ["minutes"]).family == ""


def test_a_row_is_copied_and_says_which_scores_it_has(trainings):
    row = trainings.table(["plain"], ["accuracy"])["plain"]
    assert copy.deepcopy(row) == row
    with pytest.raises(
        AttributeError, match="expected a score among accuracy, got 'loss'"
    ):
        _ = row.loss


def test_a_score_of_several_values_a_seed_counts_their_mean(folder):
    entries = {"0": {"scores": {"ranks": [1, 2]}}, "1": {"scores": {"ranks": [3, 6]}}}
    results.save("drawn", {"runs": {"deep": entries}}, [0, 1])
    score = results.load("drawn").table(["deep"], ["ranks"])["deep"].ranks
    assert score.mean == 3
    assert score.deviation == pytest.approx(statistics.stdev([1.5, 4.5]))


def test_heads_of_a_table_are_spelt_as_the_results_say(folder):
    scores = {"frechet_ratio": 8.0, "class_entropy": 2.3}
    runs = {"best": {"0": {"scores": scores}}}
    heads = {"frechet_ratio": "Fréchet ratio"}
    results.save("ours", {"heads": heads, "runs": runs}, [0])
    results.save("theirs", {"heads": {"loss": "NLL"}, "runs": runs}, [0])
    study = results.load("ours")
    columns = ["", "seeds", "Fréchet ratio", "class entropy"]
    assert study.table(["best"], scores).columns == columns
    joined = study.join(results.load("theirs"))
    assert joined.heads == {"frechet_ratio": "Fréchet ratio", "loss": "NLL"}


def test_joined_studies_are_compared_in_one_table_and_stay_as_they_were(folder):
    results.save("ours", {"runs": RUNS}, [0, 1])
    their_runs = {"paper": {"0": {"scores": {"accuracy": 0.875}}}}
    results.save("theirs", {"runs": their_runs}, [0])
    ours = results.load("ours")
    joined = ours.join(results.load("theirs"))
    assert joined.mean("paper", "accuracy") == 0.625
    assert joined.mean("theirs paper", "accuracy") == 0.875
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
            lambda study: study.history("wide", "loss"),
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
    with pytest.raises(LabreportError, match="or run the study that writes it"):
        load("moons")


def test_numbers_are_written_beside_what_they_were_made_with(folder):
    path = results.save("moons", {"accuracy": 0.5}, [0, 1])
    study = results.load("moons")
    assert path == folder / "moons.json"
    assert study["accuracy"] == 0.5
    assert study["made"]["seeds"] == [0, 1]


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
