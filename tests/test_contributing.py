"""What the guides tell to type can be typed, what they link to exists; test_imports.py
holds the diagram of rooms.
"""

import json
import re
import shlex

import pytest
from conftest import CHECKOUT, text

from dlapps import cli as library
from labreport import cli as engine

GUIDES = ("README.md", "CONTRIBUTING.md", "data/README.md")
README, GUIDE, DATA = ((CHECKOUT / path).read_text() for path in GUIDES)
COMMANDS = sorted(
    set(
        re.findall(
            r"(?m)(?:^ +|`)((?:dlapps|labreport) [^`#\n]+)", README + GUIDE + DATA
        )
    )
)
MENTIONED = set(re.findall(r"\b(?:dlapps|tests|data|report)/[\w./]+\b", GUIDE)) - {
    "data/cache",
    "report/build/seed",
}
LINKED = set(re.findall(r"\]\((?!http)([^)#]+)", README))
RESULTS = sorted(
    path.name
    for folder in ("results", "networks")
    for path in (CHECKOUT / "data" / folder).iterdir()
)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_one(command):
    program, *arguments = shlex.split(command)
    parser = {"dlapps": library, "labreport": engine}[program]._parser()
    assert parser.parse_args(arguments).verb


@pytest.mark.parametrize("path", sorted(MENTIONED | LINKED))
def test_file_is_there(path):
    assert (CHECKOUT / path).exists()


def test_the_readme_is_short():
    assert len(README.split()) <= 1000


@pytest.mark.parametrize("name", RESULTS)
def test_each_committed_result_is_explained(name):
    stem, suffix = name.split(".")
    entry = re.search(rf"(?m)^- .*`{stem}\.(?:.|\n  )*", DATA)[0]
    assert re.search(rf"`({stem})?\.{suffix}`(.|\n)*commits?\s+[0-9a-f]{{7}}", entry)


def test_a_question_as_the_guide_writes_it_waits_for_its_answer(project, capsys):
    metadata = json.loads(re.search(r"```json\n(.+?)```", GUIDE, re.DOTALL)[1])
    question = text("Why?", *metadata["tags"], **metadata["question"])
    assert question.metadata == metadata
    project.write("1_transfer", question)
    assert engine.main(["check"]) == 1
    assert "(Why?): a question without an answer" in capsys.readouterr().out
    project.write("1_transfer", question, text("Because.", "answer"))
    assert engine.main(["check"]) == 0
