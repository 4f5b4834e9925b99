"""nbconvert preprocessors, one job each: an executed notebook becomes one whose cells hold what an edition writes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from nbconvert.preprocessors import Preprocessor, TagRemovePreprocessor
from nbformat import NotebookNode

from dlapps.notebook import MIME
from dlapps.report import ReportError
from dlapps.report.contents import FLOATS, Contents, fragments, near, outputs
from dlapps.report.prose import Edition, Prose
from dlapps.report.sources import read_citation_keys, tags
from dlapps.syntax import Tree, first_line, nodes, walk, words, write


def removal() -> Preprocessor:
    """Takes away the cells, inputs and outputs that a tag keeps out of the report."""
    return TagRemovePreprocessor(
        remove_cell_tags={"remove-cell", "parameters"},
        remove_input_tags={"remove-input"},
        remove_all_outputs_tags={"remove-output"},
    )


class Heading(NamedTuple):
    """A numbered heading, for the contents."""

    level: int
    number: str
    label: str
    title: str


class ProsePreprocessor(Preprocessor):
    """All Markdown of the notebook becomes what the edition has in its place, written by pandoc in one run.

    resources["headings"]: those that have a number; resources["works"]: those cited. polish: the last touch to a piece.
    """

    def __init__(
        self,
        contents: Contents,
        edition: Edition,
        language: str,
        options: Sequence[str] = (),
        polish: Callable[[str], str] = str,
    ) -> None:
        super().__init__()
        self.polish = polish
        self.contents, self.edition, self.language, self.options = contents, edition, language, options
        self.citation_keys = read_citation_keys()

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """The notebook, its Markdown replaced in place; a ReportError names the text that cannot be written."""
        chapter = resources["chapter"]
        filtered = Prose(self.edition, self.contents, chapter, self.citation_keys)
        places, trees = list(fragments(nb)), []
        for (_, box, key), tree in zip(places, chapter.prose, strict=True):
            with near(chapter.name, box[key]):
                trees.append(walk(tree, filtered))
            if key != "source":
                trees[-1] = [{"t": "Plain", "c": block["c"]} for block in trees[-1]]
            if key == "caption":
                box["alt"] = words(trees[-1])
        *parts, resources["works"] = write(trees, self.language, self.options)
        for (_, box, key), part in zip(places, parts, strict=True):
            box[key] = self.polish(part)
        resources["headings"] = [
            Heading(level, number, label, words(walk(title, filtered)))
            for level, (label, _, attributes), title in _headers(chapter.prose)
            for _, number in attributes
        ]
        return nb, resources


def _headers(trees: list[Tree]) -> Iterator[list]:
    yield from (node["c"] for node in nodes(trees) if node["t"] == "Header")


def question_facts(cell: NotebookNode) -> dict[str, Any]:
    """A question's number, and whether it is starred or a bonus; a ReportError without a number."""
    question = cell.metadata.get("question", {})
    if "number" not in question:
        raise ReportError(
            f"expected a number in the metadata of question {first_line(cell.source)!r}, got none; "
            'add {"question": {"number": "3"}}.'
        )
    return question


class FloatsPreprocessor(Preprocessor):
    """A figure, an animation or a table becomes a float; the files that it includes go to resources["outputs"]."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """The cell with LaTeX for each of its floats."""
        for kind, typeset in {"figure": _figure, "animation": _animation, "table": _table}.items():
            for output, message in outputs(cell, kind):
                name = f"{resources['chapter'].number}-{message['name']}"
                output.data["text/latex"] = typeset(name, message)
                resources.setdefault("outputs", {}).update(_files(name, message))
        return cell, resources


def _files(name: str, message: dict[str, Any]) -> dict[str, bytes]:
    files = {f"{name}.pdf": message["pdf"]} if "pdf" in message else {}
    files |= {f"{name}-{number}.jpg": frame for number, frame in enumerate(message.get("frames", []))}
    return {file: base64.b64decode(content) for file, content in files.items()}


def _figure(name: str, figure: dict[str, Any]) -> str:
    return rf"\showfigure{{{name}}}{{{figure['caption']}}}"


def _animation(name: str, animation: dict[str, Any]) -> str:
    """An animation with its key frames."""
    last = len(animation["frames"]) - 1
    return rf"\showanimation{{{name}}}{{{animation['caption']}}}{{{animation['rate']}}}{{{last}}}"


def _table(name: str, table: dict[str, Any]) -> str:
    """A table ruled by booktabs; long words get lines of their own."""
    columns = zip(table["align"], *table["rows"], strict=True)
    align = "".join("X" if side == "l" and max(map(len, cells), default=0) > 32 else side for side, *cells in columns)
    body = " \\\\\n".join(" & ".join(row) for row in table["rows"])
    kind = "showwidetable" if "X" in align else "showtable"
    head = " & ".join(rf"\columnhead{{{column}}}" for column in table["columns"])
    return f"\\{kind}{{{name}}}{{{table['caption']}}}{{{align}}}{{%\n{head} \\\\\n\\midrule\n{body} \\\\}}"


class OutputsPreprocessor(Preprocessor):
    """Figures and tables stay; text stays in a cell tagged "keep-output"."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """The cell without the outputs that the report does not show."""
        if cell.cell_type == "code":
            keep = "keep-output" in tags(cell)
            cell.outputs = [output for output in cell.outputs if _stays(output, keep)]
        return cell, resources


def _stays(output: NotebookNode, keep_text: bool) -> bool:
    data = output.get("data", {})
    if MIME in data:
        return data[MIME]["kind"] in FLOATS
    return keep_text and (output.get("name") == "stdout" or "text/plain" in data)
