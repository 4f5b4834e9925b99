"""Placeholders and claims: found in Markdown, evaluated, written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labreport import LabreportError
from labreport.intervals import Interval
from labreport.notebook import claims, expressions
from labreport.notebook.claims import check_claim
from labreport.notebook.expressions import evaluate
from labreport.results import Score

SCOPE = {
    "a": 0.958,
    "b": 1500,
    "word": "VGG16",
    "tiny": -5e-7,
    "large": 999.7,
    "below": 999.4,
    "none": Interval(-0.04, -0.3, 0.26),
    "narrow": Interval(-0.004, -0.05, 0.004),
    "gain": Interval(-3.9, -33.2, 25.5),
    "scores": {"VGG16: top": {"mean": 0.25}},
    "rows": [1, 2, 3],
    "array": np.float64(0.5),
    "tensor": torch.tensor(2),
    "one": np.array([[0.25]]),
    "nothing": float("nan"),
    "open": Interval(1.0, float("-inf"), 2.0),
    "unknown": Interval(float("nan"), 0.0, 1.0),
    "score": Score(0.12345, 0.01234, 3),
}


@pytest.mark.parametrize(
    ("placeholder", "text", "value"),
    [
        ("a:.1%", "95.8%", 0.958),
        ("b", "1,500", 1500),
        ("word", "VGG16", "VGG16"),
        ("tiny:.0e", "−5 × 10⁻⁷", -5e-7),
        ("tiny:.1%", "0.0%", -5e-7),
        ("large", "1,000", 999.7),
        ("below", "999", 999.4),
        (
            "none:+.1f",
            "0.0 (−0.3 to +0.3)",
            {"mean": -0.04, "low": -0.3, "high": 0.26},
        ),
        (
            "narrow:+.2f",
            "0.00 (−0.05 to 0.00)",
            {"mean": -0.004, "low": -0.05, "high": 0.004},
        ),
        ("tiny:+.2f", "0.00", -5e-7),
        ("a:+.0f", "+1", 0.958),
        ("array", "0.5", 0.5),
        ("tensor", "2", 2),
        ("one:.2f", "0.25", 0.25),
        ("rows[-1]", "3", 3),
        ('scores["VGG16: top"]["mean"]:.0%', "25%", 0.25),
        ("gain.mean:.0f", "−4", -3.9),
        (
            "score",
            "0.123 ± 0.0123",
            {"mean": 0.12345, "deviation": 0.01234, "num_seeds": 3},
        ),
        (
            "gain",
            "−3.9 (−33.2 to 25.5)",
            {"mean": -3.9, "low": -33.2, "high": 25.5},
        ),
        (
            "gain:+.1f",
            "−3.9 (−33.2 to +25.5)",
            {"mean": -3.9, "low": -33.2, "high": 25.5},
        ),
    ],
)
def test_a_placeholder_becomes_text_and_keeps_its_value(placeholder, text, value):
    assert evaluate(placeholder, SCOPE) == {"text": text, "value": value}


@pytest.mark.parametrize(
    ("placeholder", "error"),
    [
        ("misspelt:.1%", "NameError: name 'misspelt' is not defined"),
        ("scores['none']", "KeyError: 'none'"),
        (
            "word:.1%",
            "expected a format that fits word, got '.1%' for 'VGG16'; correct it.",
        ),
        (
            "nothing:.1f",
            "expected a finite number for nothing, got nan; correct the cell.",
        ),
        (
            "unknown:.1f",
            "expected a finite number for unknown, got nan; correct the cell.",
        ),
        ("open:.1f", "expected finite numbers, got -inf; correct the cell."),
        ("a b", "expected names, attributes and literal keys"),
        ("2 * a", "expected names, attributes and literal keys"),
        ("max(rows)", "compute it in the cell above."),
        ("rows[0:2]", "compute it in the cell above."),
    ],
)
def test_a_mistake_is_one_sentence(placeholder, error):
    assert error in evaluate(placeholder, SCOPE)["error"]


def test_placeholders_stand_in_prose_and_not_in_code():
    code = "`{{code}}`, ``a ` {{b}}``\n\n```\n{{fenced}}\n```\n\n"
    markdown = code + '{{ x["a"].y:.1f }} and {{x["a"].y:.1f}}, {{z}}'
    assert expressions.find_placeholders(markdown) == ['x["a"].y:.1f', "z"]
    assert expressions.replace_placeholders("`{{a}}` {{b}}", str.upper) == "`{{a}}` B"


def test_a_lone_backtick_hides_nothing_of_another_paragraph():
    markdown = "A ` stands alone.\n\n{{a}} <!-- holds: a -->\n \nSo does `."
    assert expressions.find_placeholders(markdown) == ["a"]
    assert claims.find_claims(markdown) == ["a"]
    block = "```\n{{a}}\n\n{{b}}\n```"
    assert expressions.find_placeholders(block) == []


def test_a_claim_is_any_expression():
    claim = "a > .9 and all(n < b for n in rows)"
    typed = claim.replace("and", "and\n")
    markdown = f"More. <!-- holds: {typed} --> <!-- other -->"
    markdown += " `<!-- holds: shown -->` <!-- holds: c -->"
    claims.require_claims(markdown)
    first, second = (
        check_claim(found, SCOPE) for found in claims.find_claims(markdown)
    )
    assert first == {"claim": claim, "holds": True}
    assert second == {"claim": "c", "error": "NameError: name 'c' is not defined"}


@pytest.mark.parametrize(
    "claim",
    ["a > 2", "array > 1", "tensor > 2", "tensor.reshape(1) > 2", "array[None] > 1"],
)
def test_true_and_false_are_python_s_numpy_s_and_pytorch_s(claim):
    assert check_claim(claim, SCOPE) == {"claim": claim, "holds": False}
    opposite = claim.replace(">", "<=")
    assert check_claim(opposite, SCOPE) == {"claim": opposite, "holds": True}


@pytest.mark.parametrize(
    ("claim", "got"),
    [
        ("0.3", "0.3"),
        ("'no'", "'no'"),
        ("[0.1]", "[0.1]"),
        ("array", "0.5"),
        ("None", "None"),
        ("tensor.reshape(1, 1).expand(2, 2) > 2", "tensor([[False, False]"),
        ("b / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_neither_true_nor_false_is_no_claim(claim, got):
    verdict = check_claim(claim, SCOPE)
    assert "holds" not in verdict
    assert got in verdict["error"]


@pytest.mark.parametrize(
    ("markdown", "sentence"),
    [
        (
            "So. <!-- Holds: a > 1 -->",
            "expected a claim, got '<!-- Holds: a > 1'; write <!-- holds: gain.low",
        ),
        ("So. <!-- holds a > 1 -->", "expected a claim, got '<!-- holds a > 1'"),
        ("So. <!-- holds: -->", "expected a claim, got '<!-- holds:'"),
        (
            "So. <!-- holds: a > -->",
            "expected a claim, got '<!-- holds: a >'",
        ),
        (
            "So. <!-- holds: a > 1",
            "expected a comment that is closed, got '<!-- holds: a > 1' without -->",
        ),
        (
            "So. <!-- a remark\n\nMore.",
            "expected a comment that is closed, got '<!-- a remark",
        ),
    ],
)
def test_a_comment_that_is_nearly_a_claim_is_a_mistake(markdown, sentence):
    with pytest.raises(LabreportError) as caught:
        claims.require_claims(markdown)
    assert str(caught.value).startswith(sentence)


def test_other_comments_are_remarks():
    claims.require_claims(
        "<!-- This holds. --> <!--holds:a--> <!-- a > b --> `<!-- Holds: x`"
        " ```\n<!--\n```"
    )
