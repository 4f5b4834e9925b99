"""What CONTRIBUTING.md tells to type can be typed; its diagram of the modules is held by test_imports.py."""

import json
import re
import shlex

import pytest
from conftest import text

from dlapps.cli import _parser, main
from dlapps.core.paths import CHECKOUT

GUIDE = (CHECKOUT / "CONTRIBUTING.md").read_text()
COMMANDS = sorted(set(re.findall(r"(?m)(?:^ +|`)dlapps ([^`#\n]+)", GUIDE)))
MENTIONED = sorted(set(re.findall(r"\b(?:dlapps|tests|data)/[\w./]+\b", GUIDE)) - {"data/cache"})


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_one(command):
    assert _parser().parse_args(shlex.split(command)).verb


@pytest.mark.parametrize("path", MENTIONED)
def test_file_is_there(path):
    assert (CHECKOUT / path).exists()


def test_a_question_as_the_guide_writes_it_waits_for_its_answer(project, capsys):
    metadata = json.loads(re.search(r"```json\n(.+?)```", GUIDE, re.DOTALL)[1])
    question = text("Why?", *metadata["tags"], **metadata["question"])
    assert question.metadata == metadata
    project.write("1_transfer", question)
    assert main(["check"]) == 1
    assert "(Why?): a question without an answer" in capsys.readouterr().out
    project.write("1_transfer", question, text("Because.", "answer"))
    assert main(["check"]) == 0
