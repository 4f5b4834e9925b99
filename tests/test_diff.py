"""What moved between two builds, and whether it is more than seeds explain."""

import json

import pytest

from dlapps import DlappsError, cli
from dlapps.report.diff import find_changes, read_results


def test_changes_are_judged_by_their_spread():
    old = {"a": 0.5, "a_sd": 0.03, "b": 0.5, "b_sd": 0.03, "c": 1.0}
    old |= {"d": "cat", "fit_seconds": 3.0, "e": 1, "same": 2.0}
    new = old | {"a": 0.57, "b": 0.6, "c": 1.5, "d": "dog", "fit_seconds": 4.0, "f": 2}
    del new["e"]
    # 2 sqrt(.03^2 + .03^2) = .085
    assert find_changes(old, new) == {
        "a": "0.5 -> 0.57 (+0.07, within its spread over seeds)",
        "b": "0.5 -> 0.6 (+0.1, beyond its spread over seeds)",
        "c": "1 -> 1.5 (+0.5, no spread recorded)",
        "d": "cat -> dog (words)",
        "e": "1 -> none (gone)",
        "f": "none -> 2 (new)",
        "fit_seconds": "3 -> 4 (a time)",
    }
    assert not find_changes(old, old)


def test_the_verb_fails_where_more_than_times_moved(tmp_path, capsys):
    files = []
    for number, (value, seconds) in enumerate(((0.5, 1.0), (0.5, 2.0), (0.6, 1.0))):
        files.append(tmp_path / f"{number}.json")
        entries = {"accuracy": {"value": value}, "fit_seconds": {"value": seconds}}
        files[-1].write_text(json.dumps(entries))
    assert cli.main(["diff", str(files[0]), str(files[1])]) == 0
    assert capsys.readouterr().out == "fit_seconds: 1 -> 2 (a time)\n"
    assert cli.main(["diff", str(files[0]), str(files[2])]) == 1
    assert capsys.readouterr().out == "accuracy: 0.5 -> 0.6 (+0.1, no spread recorded)\n"


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"cell": 3}}'])
def test_a_file_that_is_no_results_gets_one_sentence(content, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(
        DlappsError, match=r"expected the results.json of a build in .*other.json, got \w+; name another"
    ):
        read_results(path)
    with pytest.raises(DlappsError, match="got FileNotFoundError"):
        read_results(tmp_path / "none.json")
