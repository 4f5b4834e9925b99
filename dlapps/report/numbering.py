"""Numbers of sections, figures, tables and equations in HTML, counted as LaTeX counts them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode

from dlapps.notebook import MIME

_HEADING = r'<h(?P<level>[123])(?: id="(?P<label>[^"]+)")?>(?P<title>.*?)</h(?P=level)>'
_EQUATION = r'<div(?: id="(?P<equation>[^"]+)")? class="equation">(?P<formula>.*?)<span class="number"></span>'
_NUMBERED = re.compile(f"{_HEADING}|{_EQUATION}", re.DOTALL)
_NAMES = {"figure": "Figure", "animation": "Figure", "table": "Table"}


@dataclass(frozen=True)
class Heading:
    """A numbered heading, for the contents; `title` is HTML."""

    level: int
    number: str
    label: str
    title: str


class NumberingPreprocessor(Preprocessor):
    """Writes the numbers into HTML and messages; one instance counts through all the chapters, one after the other.

    `names` then tells what each label is called (fig-2-cat: Figure 2.1), resources["headings"] what a chapter contains.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[int | str] = Counter()
        self.names: dict[str, str] = {}

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """The notebook, its headings, equations and floats numbered in place, and the resources with the headings."""
        resources["headings"] = []
        for cell in nb.cells:
            if cell.cell_type == "markdown":
                cell.source = _NUMBERED.sub(lambda found: self._number(found, resources["headings"]), cell.source)
            for output in cell.get("outputs", []):
                message = output.get("data", {}).get(MIME, {})
                if name := _NAMES.get(message.get("kind")):
                    self._name_float(message, name, resources["chapter"].number)
        return nb, resources

    def _number(self, found: re.Match, headings: list[Heading]) -> str:
        if found["level"] is None:
            number = f"({self._count('Equation')})"
            self.names[found["equation"]] = f"Equation {number}"
            return found[0].replace('<span class="number"></span>', f'<span class="number">{number}</span>')
        heading = self._count_heading(int(found["level"]), found["label"], found["title"])
        headings.append(heading)
        level, number = heading.level, f'<span class="number">{heading.number}</span>'
        return f'<h{level} id="{heading.label}">{number} {heading.title}</h{level}>'

    def _count_heading(self, level: int, label: str | None, title: str) -> Heading:
        """LaTeX starts again with the figures of a chapter, the sections of a chapter, the subsections of a section."""
        self.counts[level] += 1
        for lower in (*range(level + 1, 4), *(("Figure", "Table", "Equation") if level == 1 else ())):
            self.counts[lower] = 0
        number = ".".join(str(self.counts[above]) for above in range(1, level + 1))
        # Names of labels begin with a letter: a label made of a number is nobody else's.
        label = label or f"sec-{number.replace('.', '-')}"
        self.names[label] = f"{'Chapter' if level == 1 else 'Section'} {number}"
        return Heading(level, number, label, title)

    def _name_float(self, message: dict, name: str, chapter: int) -> None:
        message["label"] = f"{'tab' if name == 'Table' else 'fig'}-{chapter}-{message['name']}"
        message["number"] = self.names[message["label"]] = f"{name} {self._count(name)}"

    def _count(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"{self.counts[1]}.{self.counts[kind]}"
