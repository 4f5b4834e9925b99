"""Placeholders and claims: what they may be, and how what they find is written."""

import numpy as np
import pytest

from labreport import LabreportError
from labreport.expressions import (
    check_claim,
    evaluate,
    find_claim,
    mark_markdown,
    require_comments,
    split_format,
    write_evaluated,
)
from labreport.intervals import Interval
from labreport.results import Score

SCOPE = {
    "count": 1500,
    "share": 0.9134,
    "tiny": -0.0004,
    "power": 0.00001,
    "drop": -3.5,
    "large": 999.6,
    "array": np.array([0.25]),
    "gain": Interval(27.9, 22.7, 33.0),
    "score": Score(0.713, 0.012, 3),
    "table": {"VGG16": {"top 1": 0.5}},
    "name": "relu5_1",
    "nothing": None,
    "lost": float("nan"),
    "alone": np.array([float("nan")]),
    "many": [1.0, float("nan")],
    "open_end": Interval(1.0, float("nan"), 2.0),
}


@pytest.mark.parametrize(
    ("placeholder", "text"),
    [
        ("count", "1,500"),
        ("share", "0.913"),
        ("share:.1%", "91.3%"),
        ("large", "1,000"),
        ("tiny:.1f", "0.0"),
        ("drop:.1f", "−3.5"),
        ("power", "1 × 10⁻⁵"),
        ("array:.2f", "0.25"),
        ("gain:+.1f", "+27.9 (+22.7 to +33.0)"),
        ("gain.low:.0f", "23"),
        ("score:.2f", "0.71 ± 0.01"),
        ('table["VGG16"]["top 1"]:.0%', "50%"),
        ("name", "relu5_1"),
    ],
)
def test_a_value_is_written_in_its_format(placeholder, text):
    found = evaluate(placeholder, SCOPE)
    assert write_evaluated(placeholder, found) == text


@pytest.mark.parametrize(
    "name", ["nothing", "lost", "alone", "many", "open_end", "missing"]
)
def test_what_is_no_number_is_a_sentence(name):
    assert name in evaluate(name, SCOPE)["error"]


@pytest.mark.parametrize("name", ["share", "gain", "score", "count"])
def test_a_stored_value_is_written_in_another_format_without_a_run(name):
    stored = evaluate(f"{name}:.3f", SCOPE)
    again = evaluate(f"{name}:.1f", SCOPE)
    written = write_evaluated(f"{name}:.1f", stored)
    assert written == write_evaluated(f"{name}:.1f", again)


@pytest.mark.parametrize(
    "placeholder", ["max(1, 2)", "a + b", "f()", "x if y else z", "1 +", "[1, 2]"]
)
def test_what_has_to_be_computed_is_computed_in_a_cell(placeholder):
    with pytest.raises(LabreportError, match="names, attributes and literal keys"):
        split_format(placeholder)


def test_the_format_begins_behind_the_expression():
    assert split_format('table["a:b"].c:.1f') == ('table["a:b"].c', ".1f")


def test_code_and_text_stay_as_they_are():
    typed = "`{{a}}` and ``{{b}}``, .7z, -1, {x:.1f}\n\n```\n{{c}}\n```"
    assert mark_markdown(typed) == typed
    assert mark_markdown("{{ a\n .b }}") == "`a .b`{.number}"


def test_a_claim_is_true_false_or_a_sentence():
    assert check_claim("gain.low > 0 and abs(drop) > 3", SCOPE) == {"holds": True}
    assert check_claim("array > 1", SCOPE) == {"holds": False}
    assert "neither" in check_claim("neither", SCOPE)["error"]
    assert check_claim("count", SCOPE) == {"error": "1500"}


@pytest.mark.parametrize(
    "remark",
    [
        "holds: items.pop() == 1",
        "holds: all(x for x in y)",
        "holds: (x := 1) > 0",
        "holds:",
        "hold: a > b",
        "holds: a >",
    ],
)
def test_a_claim_is_a_name_or_a_comparison(remark):
    with pytest.raises(LabreportError, match="a name or a comparison"):
        require_comments(f"A sentence. <!-- {remark} -->")


def test_other_remarks_are_nobody_s_but_have_an_end():
    require_comments(
        "Text <!-- for who writes --> `<!-- holds` <!--\nholds: a > b\n-->"
    )
    assert find_claim("<!--\nholds: a\n > b\n-->") == "a > b"
    with pytest.raises(LabreportError, match="a comment that is closed"):
        require_comments("Text <!-- without end")
