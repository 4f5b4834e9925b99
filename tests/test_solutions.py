"""The solution of each chapter, as it is committed, passes all checks that a student's copy of it gets."""

import pytest

from dlapps import paths
from dlapps.classroom.checks import CHAPTERS
from dlapps.classroom.examine import examine
from dlapps.report.sources import select_sources


@pytest.mark.solutions
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_solution_passes_all_checks_of_its_chapter(chapter):
    verdicts = examine(paths.CHECKOUT / "notebooks" / f"{chapter}.ipynb", select_sources([chapter])[0])
    assert [verdict.line for verdict in verdicts if verdict.fault] == []
    assert len(verdicts) > 10
