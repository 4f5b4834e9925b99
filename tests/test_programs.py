"""No test depends on what happens to be installed on a machine: what conftest.py hides,
and from whom.
"""

import os
import shutil
import sysconfig

import pytest
from conftest import MACHINE, programs

ELSEWHERE = [
    name
    for name in ("latexmk", "chromium", "git", "make", "sh")
    if shutil.which(name, path=MACHINE)
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_test_sees_its_environment_s_programs_and_those_that_it_names(name):
    assert os.environ["PATH"] == sysconfig.get_path("scripts")
    with programs(name):
        assert shutil.which(name)
    assert not shutil.which(name)


def test_one_that_names_what_is_not_installed_is_skipped_and_says_so():
    with pytest.raises(
        pytest.skip.Exception, match="none-such is not installed: apt install none-such"
    ):
        programs("none-such").__enter__()
