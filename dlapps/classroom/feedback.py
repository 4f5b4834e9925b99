"""What a class gets back, in words: a letter for each student, and a summary for the teacher."""

import re
from collections import Counter
from collections.abc import Sequence
from html import escape

from dlapps.classroom.points import Marked, Scheme, total
from dlapps.notebook import markdown_table
from dlapps.syntax import parse, write

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body {{ max-width: 44em; margin: 2em auto; padding: 0 1em; font-family: sans-serif }}
td, th {{ padding: 0 .5em; text-align: left }}</style>
{body}
</html>
"""


def write_letter(marked: Marked, scheme: Scheme) -> str:
    """Markdown for one student: points, what failed and why it matters, what passed, and which answers will be read."""
    failed = [verdict for verdict in marked.verdicts if verdict.fault]
    passed = ", ".join(plain(verdict.name) for verdict in marked.verdicts if not verdict.fault)
    lines = [f"# {plain(marked.student)}: {plain(scheme.chapter)}"]
    lines.append(f"{total(marked.points):.4g} of {total(scheme.worth):.4g} points for exercises.")
    rows = [
        [plain(cell), f"{sum(marked.points[cell].values()):.4g}", f"{sum(shares.values()):.4g}"]
        for cell, shares in scheme.worth.items()
    ]
    if rows:
        lines.append(markdown_table(["exercise", "points", "of"], rows, "lrr"))
    wrong = (f"**{plain(each.name)}**: {plain((each.fault or '').rstrip('.'))}. {each.why}" for each in failed)
    lines += ["## To correct", *wrong]
    lines += [*([] if failed else ["Nothing."]), "## Passed", f"{passed or 'Nothing'}."]
    if scheme.questions:
        lines += ["## Answers in words", "A teacher reads them and gives their points."]
    for each in scheme.questions:
        # The rubric is near to an answer: for those who gave one.
        got = f"to be read. {each.rubric}" if each.number in marked.to_be_read else "no answer."
        lines.append(f"**Question {plain(each.number)}** ({each.points:.4g}): {got}".strip())
    return "\n\n".join(lines) + "\n"


def to_pages(letters: Sequence[str]) -> list[str]:
    """HTML of each letter."""
    *bodies, _ = write(parse(letters), "html")
    titles = [letter.partition("\n")[0][2:].replace("\\", "") for letter in letters]
    return [_PAGE.format(title=escape(title), body=body) for title, body in zip(titles, bodies, strict=True)]


def summarise(marked: Sequence[Marked], scheme: Scheme) -> str:
    """Markdown for the teacher: how often each check failed or was not reached, and what answers are worth."""
    seen = Counter(verdict.name for each in marked for verdict in each.verdicts)
    failed = Counter(verdict.name for each in marked for verdict in each.verdicts if verdict.fault)
    names = dict.fromkeys([*seen, *(name for shares in scheme.worth.values() for name in shares)])
    often = sorted(names, key=lambda name: -failed[name])
    mean = sum(total(each.points) for each in marked) / len(marked)
    lines = [f"# {plain(scheme.chapter)}"]
    lines.append(f"{len(marked)} submissions, on average {mean:.4g} of {total(scheme.worth):.4g} points.")
    rows = [[plain(name), str(failed[name]), str(len(marked) - seen[name])] for name in often]
    lines.append(markdown_table(["check", "failed", "not reached"], rows, "lrr"))
    if scheme.questions:
        rubrics = [[plain(each.number), f"{each.points:.4g}", each.rubric] for each in scheme.questions]
        lines.append(markdown_table(["question", "points", "rubric"], rubrics, "lrl"))
    return "\n\n".join(lines) + "\n"


def plain(text: str) -> str:
    """A student's words in Markdown, as they are: no link, no HTML, no other cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>#!|~$^@&]|(?<=:)/|\.(?=\.)|-(?=-))", r"\\\1", " ".join(text.split()))
