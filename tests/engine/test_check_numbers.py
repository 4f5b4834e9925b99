"""Numbers typed by hand in prose: found where they state a result, left alone where
they name or set something.
"""

from __future__ import annotations

import pytest
from conftest import code, text

from labreport.cli import main
from labreport.editions.checks import find_settings
from labreport.editions.checks import find_typed_numbers as find_in_tree
from labreport.notebook.expressions import replace_placeholders
from labreport.notebook.syntax import parse


def find_typed_numbers(prose, settings):
    markdown = replace_placeholders(prose, lambda _: "")
    return find_in_tree(parse([markdown])[0], settings)


@pytest.mark.parametrize(
    ("prose", "typed"),
    [
        ("It reads 91.3 % of them.", ["91.3 %"]),
        ("It reads 93% of them.", ["93%"]),
        ("An area of .677, or 0.68 ± 0.02.", [".677", "0.68", "0.02"]),
        ("It has 138,357,544 parameters.", ["138,357,544"]),
        ("42 of them were lost, −3.5 points, in 17 s.", ["42", "3.5", "17"]),
        ("Others report 52–57 %.", ["52", "57 %"]),
        ("| method | accuracy |\n| --- | --- |\n| ours | 0.97 |", ["0.97"]),
        ("The best of {{recorded:.1%}} and `a` is\n$x = 1.5$ or 88.1 %.", ["88.1 %"]),
    ],
)
def test_results_typed_by_hand_are_found(prose, typed):
    assert find_typed_numbers(prose, set()) == typed


@pytest.mark.parametrize(
    "prose",
    [
        "{{accuracy:.1%}} of {{number:,}}, {{gain:.17f}}",
        "three runs, 5 pictures, a hundred, 1,000 others",
        "pixels of 224 × 224 × 3, filters of 5 × 5, (25,088 + 1) × 4,096 = {{product}}",
        "VGG16's relu5_1, ResNet-50, `k4`, `0.91`, ILSVRC-2012, 15-Scene, MNIST-M",
        "an 8-bit file, all the 14s",
        "a predictor (2,352–100–100–10)",
        "@ganin2016domain and [@su2019one, p. 83; @xu2021robust, eqs. 11–12]",
        "since 2015",
        "Figure 12, Table 13 and Chapter 14",
        "12. A list\n13. goes on",
        "$\\lambda = 0.25$ and\n\n\\begin{equation}\nx = 0.75\n\\end{equation}",
        "```\n91.3 % of 42\n```",
        "[a page](https://example.org/17/0.25) and https://example.org/18.5",
        "## Results {#sec-results-17}",
    ],
)
def test_names_sizes_years_and_markup_are_no_results(prose):
    assert find_typed_numbers(prose, set()) == []


@pytest.mark.parametrize(
    ("cell", "prose", "typed"),
    [
        (
            "at = 0.87\nrows = pick(45, -330)",
            "above .87, or 87 %, of 45 of side 330",
            [],
        ),
        ("at = 0.87\nrows = pick(45, -330)", "above .88 of 46 pictures", [".88", "46"]),
        # A percentage is a setting where its share is one, and what strings say is
        # prose.
        (
            "a, b, c, d = 96, 1, 1.0, True",
            "It reads 96 %, or 100 %.",
            ["96 %", "100 %"],
        ),
        (
            'caption = "It reads 93.7 % of 417."',
            "It reads 93.7 % of 417.",
            ["93.7 %", "417"],
        ),
        (
            "%matplotlib inline",
            "They get 91.3 % [@he2016deep]. And 92.1 %.\nBy @xu it is 3.3 %.",
            ["92.1 %"],
        ),
    ],
)
def test_what_the_cells_set_and_a_cited_sentence_may_be_said(cell, prose, typed):
    assert find_typed_numbers(prose, find_settings([cell])) == typed


def test_check_names_cell_and_number_but_not_in_questions(project, capsys):
    project.write(
        "1_transfer",
        code("epochs = 35"),
        text("After 35 epochs it reads 91.3 %."),
        text("Why 91.3 %?", "question", number="1"),
        text("Because of 417 others.", "answer"),
    )
    assert main(["check"]) == 1
    remedy = "typed by hand; write an expression, or cite its source in the sentence"
    assert capsys.readouterr().out.splitlines() == [
        f"1_transfer, cell 5 (After 35 epochs it reads 91.3 %.): 91.3 % {remedy}",
        f"1_transfer, cell 7 (Because of 417 others.): 417 {remedy}",
    ]
