"""Committed results: every file can be read, runs and scores are found by name, and
what is written comes back.
"""

import json

import numpy as np
import pytest
from conftest import CHECKOUT

from labreport import LabreportError, results
from labreport.intervals import compare

COMMITTED = CHECKOUT / "data" / "results"
# Its scores are a share and a number; of its runs one has lost a training, and one has
# a history.
RUNS = {
    "plain": {
        "1": {"scores": {"accuracy": 0.75, "minutes": 3.0}},
        "0": {"scores": {"accuracy": 0.5, "minutes": 2.5}},
    },
    "DANN": {
        "0": {"scores": {"accuracy": 0.875}, "history": {"loss": [2.0, 1.0]}},
        "1": {"diverged": "expected a finite loss, got nan."},
        "2": {"scores": {"accuracy": 1.0}, "history": {"loss": [4.0, 2.0]}},
    },
}


@pytest.fixture
def moons(project):
    """The study of RUNS, as it is read again."""
    results.save("moons", {"shares": ["accuracy"], "runs": RUNS}, [0, 1])
    return results.load("moons")


@pytest.mark.parametrize(
    "path", sorted(COMMITTED.glob("*.json")), ids=lambda path: path.stem
)
def test_every_committed_run_says_what_is_a_score_a_history_a_setting_and_a_share(path):
    study = results.load(path.stem)
    assert study.parts
    assert ("runs" in study.parts) == ("shares" in study.parts)
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


def test_seeds_come_in_order_and_a_diverged_one_counts_in_no_score(moons):
    assert moons.values("plain", "accuracy").tolist() == [0.5, 0.75]
    assert moons.values("DANN", "accuracy").tolist() == [0.875, 1]
    assert list(moons.runs["DANN"]) == [0, 1, 2]


def test_a_score_of_the_course_counts_as_it_was_at_the_end(moons):
    assert moons.values("DANN", "loss").tolist() == [1, 2]
    assert moons.history("DANN", "loss").tolist() == [[2, 1], [4, 2]]


def test_a_score_is_the_mean_over_seeds_and_their_sample_deviation(moons):
    score = moons.score("plain", "accuracy")
    assert score.mean == moons.mean("plain", "accuracy") == 0.625
    assert score.deviation == pytest.approx(0.25 / np.sqrt(2))
    assert f"{score:.2f}" == "0.62 ± 0.18"
    assert results.Score.over([[1, 2], [3, 6]]) == results.Score.over([1.5, 4.5])
    assert f"{results.Score.over([0.5]):.2f}" == "0.50"


def test_a_difference_is_welch_s_and_of_shares_in_points(moons):
    found = moons.difference("DANN", "plain", "accuracy", number=2)
    assert tuple(found) == pytest.approx(compare([87.5, 100], [50, 75], 2))
    joined = moons.join(moons)
    found = joined.difference("plain", "moons plain", "minutes")
    assert tuple(found) == pytest.approx(compare([2.5, 3], [2.5, 3]))


def test_the_scores_of_a_run_are_those_that_each_seed_has(moons):
    plain = moons.scores("plain")
    assert plain.accuracy == moons.score("plain", "accuracy")
    assert moons.scores({"accuracy": 1.0}).accuracy.mean == 1
    assert vars(moons.scores("DANN")).keys() == {"accuracy", "loss"}


def test_joined_studies_are_compared_in_one_table_and_stay_as_they_were(moons):
    results.save("theirs", {"shares": ["loss"], "runs": RUNS}, [0])
    joined = moons.join(results.load("theirs"))
    assert list(joined.runs) == ["plain", "DANN", "theirs plain", "theirs DANN"]
    assert joined.shares == {"accuracy", "loss"}
    assert list(moons.runs) == ["plain", "DANN"]


def test_a_name_that_is_not_there_is_one_sentence_with_those_that_are(moons):
    with pytest.raises(LabreportError, match="a run among plain, DANN, got 'papr'"):
        moons.mean("papr", "accuracy")


def test_numbers_are_written_beside_what_they_were_made_with(project):
    path = results.save("moons", {"accuracy": 0.5}, [0, 1])
    study = results.load("moons")
    assert path == project.home / "data" / "results" / "moons.json"
    assert study["accuracy"] == 0.5
    assert study["made"]["seeds"] == [0, 1]


def test_arrays_come_back_and_the_same_arrays_are_the_same_file(project):
    halves = np.arange(6, dtype=np.float16).reshape(2, 3)
    arrays = {"one": halves, "names": np.array(["a", "bc"])}
    first = results.save_arrays("moons", arrays).read_bytes()
    assert results.save_arrays("moons", arrays).read_bytes() == first
    loaded = results.load_arrays("moons")
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)


def test_a_list_of_numbers_is_a_line_of_the_file(project):
    history = {"loss": [1.5, -2e-05, 3.0], "names": ["x, y", "[z"]}
    runs = {"a": {"0": {"history": history, "none": []}}}
    written = results.save("numbers", {"runs": runs}, (0, 1)).read_text()
    assert '"loss": [1.5, -2e-05, 3.0]' in written
    assert json.loads(written)["runs"] == runs
