"""Types as a user's own code sees them: mypy --strict knows what the packages hand on,
and what they do not.
"""

import os
import subprocess
import sys

import pytest
from conftest import CHECKOUT
from test_wheel import BEFORE, snippets

pytest.importorskip("mypy", reason="no mypy: pip install mypy")
LABREPORT = """
from labreport import intervals, results
from labreport.chapter import Chapter

chapter = Chapter("1_first")
gain = intervals.compare([1.0, 2.0], [3.0, 4.0])
reveal_type(chapter)
reveal_type(gain)
"""
MISSPELT = """
import dlapps
from dlapps import imagez, images
from dlapps.saliency import smoth_grad

images.stack_pixel([])
dlapps.imagez
"""


@pytest.fixture
def check(tmp_path):
    """Run mypy --strict on lines of code, as someone does who has both products."""
    # Of its own, since a cache of other options is of no use.
    cache = CHECKOUT / ".mypy_cache" / "strict"
    folders = [str(CHECKOUT), str(CHECKOUT / "report")]
    environment = os.environ | {"MYPYPATH": os.pathsep.join(folders)}
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache)]
    # Errors of the packages themselves are silent, as those of installed ones are, and
    # scikit-learn has no types.
    command += ["--follow-imports=silent", "--disable-error-code=import-untyped"]

    def call(code):
        (tmp_path / "mine.py").write_text(code)
        result = subprocess.run(
            [*command, "mine.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        return result.stdout

    return call


def test_strict_types_accept_the_snippets_of_the_readme(check):
    assert check("\n".join([BEFORE, *snippets()])).startswith("Success")


def test_strict_types_know_what_a_notebook_takes_from_labreport(check):
    answer = check(LABREPORT)
    assert "labreport.chapter.Chapter" in answer
    assert "labreport.intervals.Interval" in answer
    assert "error" not in answer


def test_a_misspelt_name_is_an_error(check):
    complaints = check(MISSPELT).splitlines()
    for name in ("imagez", "smoth_grad", "stack_pixel"):
        assert any(f'has no attribute "{name}"; maybe' in line for line in complaints)
    assert complaints[-1].startswith("Found 4 errors")
