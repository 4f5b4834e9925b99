"""No test depends on what happens to be installed on a machine: what conftest.py hides, and from whom."""

import os
import shutil
import sysconfig

import pytest
from conftest import MACHINE, programs

ELSEWHERE = [name for name in ("latexmk", "chromium", "git", "make", "sh") if shutil.which(name, path=MACHINE)]


def test_a_test_sees_the_programs_of_its_environment_alone():
    assert os.environ["PATH"] == sysconfig.get_path("scripts")
    assert not any(map(shutil.which, ELSEWHERE))


@pytest.mark.parametrize("name", ELSEWHERE)
def test_one_that_names_a_program_sees_it(name):
    with programs(name):
        assert shutil.which(name)
    assert not shutil.which(name)


def test_one_that_names_what_is_not_installed_is_skipped_and_says_so():
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed: apt install no-such-program"):
        programs("no-such-program").__enter__()
