"""What the guides tell to type can be typed, what they link to exists; the manual's
example prints what it says; test_imports.py holds the diagram of rooms.
"""

import re
import shlex

import pytest
from conftest import CHECKOUT, code, text

from dlapps import cli as library
from labreport import cli as engine

GUIDES = ("README.md", "CONTRIBUTING.md", "data/README.md", "report/README.md")
README, GUIDE, DATA, MANUAL = ((CHECKOUT / path).read_text() for path in GUIDES)
COMMANDS = sorted(
    set(
        re.findall(
            r"(?m)(?:^ +|`)((?:dlapps|labreport) [^`#\n]+)",
            README + GUIDE + DATA + MANUAL,
        )
    )
)
MENTIONED = {
    path
    for path in re.findall(r"\b(?:dlapps|tests|data|report)/[\w./]+\b", GUIDE + MANUAL)
    if not path.startswith(("data/cache", "report/build"))
}
LINKED = set(re.findall(r"\]\((?!http)([^)#]+)", README + GUIDE))
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


@pytest.mark.parametrize("name", RESULTS)
def test_each_committed_result_is_explained(name):
    stem, suffix = name.split(".")
    entry = re.search(rf"(?m)^- .*`{stem}\.(?:.|\n  )*", DATA)
    assert entry, f"expected {name} in data/README.md, got no entry; describe it there"
    assert re.search(rf"`({stem})?\.{suffix}`", entry[0])
    # A JSON file names its commit itself.
    if suffix != "json":
        assert re.search(r"commits?\s+[0-9a-f]{7}", entry[0])


def test_a_question_as_the_manual_writes_it_waits_for_its_answer(project, capsys):
    _, asked = re.findall(r"```markdown\n(.+?)```", MANUAL, re.DOTALL)
    question = text(asked, "question")
    project.write("1_transfer", code(""), question)
    assert engine.main(["check"]) == 1
    assert "(**Question 3a ★ Bonus**): a question without" in capsys.readouterr().out
    project.write("1_transfer", code(""), question, text("Because.", "answer"))
    assert engine.main(["check"]) == 0


@pytest.mark.report
def test_the_example_of_the_manual_prints_what_it_says(project, capsys):
    _, measure, *_ = re.findall(r"```python\n(.+?)```", MANUAL, re.DOTALL)
    sentences = re.search(r"```markdown\n(.+?)```", MANUAL, re.DOTALL)[1]
    printed = re.search(r'The report prints: "(.+?)"', MANUAL, re.DOTALL)[1]
    works = CHECKOUT / "report" / "labreport" / "new" / "report" / "references.bib"
    (project.home / "report" / "references.bib").write_bytes(works.read_bytes())
    project.write("1_first_chapter", code(measure), text(sentences))
    assert engine.main(["check"]) == 0, capsys.readouterr().out
    assert engine.main(["html", "--strict"]) == 0
    page = (project.build / "html" / "1_first_chapter.html").read_text()
    words = re.sub(r"<[^>]*>", "", page).replace("\u00a0", " ").split()
    assert " ".join(printed.split()) in " ".join(words)
