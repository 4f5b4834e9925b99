"""What the guides tell to type can be typed, what they link to exists; test_imports.py holds the diagram of modules."""

import json
import re
import shlex

import pytest
from conftest import text

from dlapps.cli import _parser, main
from dlapps.core.paths import CHECKOUT

GUIDE = (CHECKOUT / "CONTRIBUTING.md").read_text()
README, DATA = ((CHECKOUT / folder / "README.md").read_text() for folder in ("", "data"))
GUIDES = {"README.md": README, "CONTRIBUTING.md": GUIDE, "data/README.md": DATA}
COMMANDS = sorted(set(re.findall(r"(?m)(?:^ +|`)dlapps ([^`#\n]+)", "\n".join(GUIDES.values()))))
MENTIONED = sorted(set(re.findall(r"\b(?:dlapps|tests|data)/[\w./]+\b", GUIDE)) - {"data/cache"})


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_one(command):
    assert _parser().parse_args(shlex.split(command)).verb


@pytest.mark.parametrize("path", MENTIONED)
def test_file_is_there(path):
    assert (CHECKOUT / path).exists()


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_to_files_and_headings(guide):
    for link in re.findall(r"\]\((?!http)([^)]+)\)", GUIDES[guide]):
        path, _, heading = link.partition("#")
        assert ((CHECKOUT / guide).parent / path).exists(), link
        assert not heading or f"\n## {heading.replace('-', ' ')}\n" in GUIDES[path].lower(), link


def test_the_readme_is_short():
    assert len(README.split()) <= 900


@pytest.mark.parametrize("path", sorted((CHECKOUT / "data" / "results").iterdir()), ids=lambda path: path.name)
def test_each_committed_result_is_explained(path):
    entry = re.search(rf"(?m)^- .*`{path.stem}\..*`(?:.*\n  )*.*", DATA)
    assert entry
    assert f"`{path.name}`" in entry[0] or f"`{path.suffix}`" in entry[0]
    assert re.search(r"commits?\s+[0-9a-f]{7}", entry[0])


def test_a_question_as_the_guide_writes_it_waits_for_its_answer(project, capsys):
    metadata = json.loads(re.search(r"```json\n(.+?)```", GUIDE, re.DOTALL)[1])
    question = text("Why?", *metadata["tags"], **metadata["question"])
    assert question.metadata == metadata
    project.write("1_transfer", question)
    assert main(["check"]) == 1
    assert "(Why?): a question without an answer" in capsys.readouterr().out
    project.write("1_transfer", question, text("Because.", "answer"))
    assert main(["check"]) == 0
