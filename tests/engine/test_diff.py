"""What moved between two builds."""

import json

import pytest

from labreport import LabreportError, cli
from labreport.editions.diff import find_changes, read_results


def write_results(path, numbers, headline=0.5):
    keys = "expression", "text", "value"
    entries = [
        {"cell": "a"} | dict(zip(keys, number, strict=True)) for number in numbers
    ]
    headlines = {"dann": {"text": f"{headline:.0%}", "value": headline}}
    path.write_text(
        json.dumps({"chapters": {"1_a": {"numbers": entries}}, "headlines": headlines})
    )
    return path


def test_a_number_moved_if_it_is_printed_otherwise(tmp_path):
    interval = {"mean": 2.0, "low": 1.0, "high": 3.0}
    old = [
        ("x", "0.5", 0.5),
        ("same", "1", 1.01),
        ("word", "cat", "cat"),
        ("gone", "1", 1),
    ]
    old.append(("gain", "2 (1 to 3)", interval))
    new = [
        ("x", "0.6", 0.6),
        ("same", "1", 1.02),
        ("word", "dog", "dog"),
        ("new", "2", 2),
    ]
    new.append(("gain", "4 (1 to 3)", interval | {"mean": 4.0}))
    old = read_results(write_results(tmp_path / "old.json", old))
    assert find_changes(
        old, read_results(write_results(tmp_path / "new.json", new, 0.75))
    ) == {
        "headline dann": "50% -> 75% (+0.25)",
        "1_a, a, x": "0.5 -> 0.6 (+0.1)",
        "1_a, a, gain": "2 (1 to 3) -> 4 (1 to 3) (+2, outside the old interval)",
        "1_a, a, word": "cat -> dog",
        "1_a, a, new": "new: 2",
        "1_a, a, gone": "gone: 1",
    }
    assert not find_changes(old, old)


def test_an_interval_without_a_mean_moves_too():
    before = {"text": "1", "value": {"difference": 1.0, "low": 0.0, "high": 2.0}}
    after = before | {"text": "2"}
    assert find_changes({"test": before}, {"test": after}) == {"test": "1 -> 2"}


def test_the_verb_fails_where_more_than_times_moved(tmp_path, capsys):
    files = []
    for x, seconds in ((0.5, 1), (0.5, 2), (0.6, 1)):
        numbers = [("x", f"{x}", x), ("fit.seconds:.0f", f"{seconds}", seconds)]
        files.append(str(write_results(tmp_path / f"{len(files)}.json", numbers)))
    assert cli.main(["diff", files[0], files[1]]) == 0
    assert capsys.readouterr().out == "1_a, a, fit.seconds:.0f: 1 -> 2 (+1)\n"
    assert cli.main(["diff", files[0], files[2]]) == 1
    assert capsys.readouterr().out == "1_a, a, x: 0.5 -> 0.6 (+0.1)\n"


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"headlines": {}, "chapters": {"a": {}}}']
)
def test_a_file_that_is_no_results_gets_one_sentence(content, tmp_path):
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(
        LabreportError,
        match=r"results.json of a build in .*other.json, got \w+; name another",
    ):
        read_results(path)
