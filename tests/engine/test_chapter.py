"""What a cell shows by `Chapter`: what it may be, and how a table is written."""

import matplotlib.pyplot as plt
import pytest

from labreport import LabreportError
from labreport.chapter import Chapter, markdown_table
from labreport.results import Score

NAN = float("nan")


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """That of a notebook outside of a report."""
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    return Chapter("alone", "quick", 2)


def test_a_notebook_outside_a_report_has_a_chapter_too(chapter):
    assert (chapter.number, chapter.seed) == ("1", 2)


@pytest.mark.parametrize(
    ("call", "arguments", "told"),
    [
        ("show_figure", (3, "three", "Three."), "a figure of Matplotlib, got int"),
        ("show_figure", (plt.Figure(), "Three", "Three."), "a name like"),
        ("show_figure", (plt.Figure(), "three", " "), "a caption of one paragraph"),
        ("show_table", ([], "three", "Three."), "rows for the table three, got none"),
        ("show_table", ([{}], "three", "Three."), "rows for the table three, got none"),
        ("show_table", ([{"a": NAN}], "three", "Three."), "a finite number for a cell"),
        ("show_table", ({"a": 1}, "three", "Three."), "rows {column: cell} or a"),
        ("headline", ("three", Score(NAN, 0.1, 2), "Three"), "a finite number for"),
        ("headline", ("three", 3, "Three", ".1%", 0.2), "is published, got none"),
        ("headline", ("three", "3", "Three"), "a format that fits three, got '.1%'"),
    ],
)
def test_what_cannot_be_shown_is_a_sentence(chapter, call, arguments, told):
    with pytest.raises(LabreportError) as error:
        getattr(chapter, call)(*arguments)
    assert told in str(error.value)


def test_a_figure_that_is_shown_is_closed(chapter, capsys):
    _, axes = plt.subplots()
    chapter.show_figure(axes, "one", "One.")
    assert plt.get_fignums() == []
    assert "figure one: One." in capsys.readouterr().out


def test_columns_of_numbers_stand_right_and_a_bar_does_not_end_a_cell():
    rows = [["name", "share", "gain"], ["a|b", "91.0 %", "1,500 ± 2"], ["c", "–", "−3"]]
    assert markdown_table(rows).splitlines() == [
        "| name | share | gain |",
        "| :---- | ------: | ---------: |",
        "| a\\|b | 91.0 % | 1,500 ± 2 |",
        "| c | – | −3 |",
    ]
