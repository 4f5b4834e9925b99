"""One job each: an executed notebook becomes one whose cells hold what an edition writes."""

import base64
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from nbconvert.preprocessors import TagRemovePreprocessor
from nbformat import NotebookNode

from dlapps.notebook.chapter import MIME
from dlapps.notebook.syntax import first_line, nodes, walk, words, write
from dlapps.report import ReportError
from dlapps.report.contents import FLOATS, Contents, ExecutedChapter, fragments, near, outputs
from dlapps.report.prose import Edition, Prose
from dlapps.report.sources import read_citation_keys, tags


class Heading(NamedTuple):
    """A numbered heading, for the contents."""

    level: int
    number: str
    label: str
    title: str


def write_prose(
    chapter: ExecutedChapter,
    contents: Contents,
    edition: Edition,
    language: str,
    options: Sequence[str] = (),
    polish: Callable[[str], str] = str,
) -> tuple[NotebookNode, list[Heading], str]:
    """A copy of the chapter's notebook with all Markdown as the edition has it, its headings, and the works cited.

    pandoc writes all of it in one run; polish: the last touch to each piece. A ReportError names the text that cannot
    be written.
    """
    notebook = deepcopy(chapter.notebook)
    filtered = Prose(edition, contents, chapter, read_citation_keys())
    places, trees = list(fragments(notebook)), []
    for (_, box, key), tree in zip(places, chapter.prose, strict=True):
        with near(chapter.name, box[key]):
            trees.append(walk(tree, filtered))
        if key != "source":
            trees[-1] = [{"t": "Plain", "c": block["c"]} for block in trees[-1]]
        if key == "caption":
            box["alt"] = words(trees[-1])
    *parts, works = map(polish, write(trees, language, options))
    for (_, box, key), part in zip(places, parts, strict=True):
        box[key] = part
    headers = (node["c"] for node in nodes(chapter.prose) if node["t"] == "Header")
    headings = [
        Heading(level, number, label, words(walk(title, filtered)))
        for level, (label, _, attributes), title in headers
        for _, number in attributes
    ]
    return notebook, headings, works


def question_facts(cell: NotebookNode) -> dict[str, Any]:
    """A question's number, and whether it is starred or a bonus; a ReportError without a number."""
    question = cell.metadata.get("question", {})
    if "number" not in question:
        raise ReportError(
            f"expected a number in the metadata of question {first_line(cell.source)!r}, got none; "
            'add {"question": {"number": "3"}}.'
        )
    return question


def select_shown(notebook: NotebookNode) -> NotebookNode:
    """The cells, inputs and outputs that no tag keeps out of the report; text stays in a cell tagged "keep-output"."""
    removal = TagRemovePreprocessor(
        remove_cell_tags={"remove-cell", "parameters"},
        remove_input_tags={"remove-input"},
        remove_all_outputs_tags={"remove-output"},
    )
    notebook, _ = removal.preprocess(notebook, {})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            keep = "keep-output" in tags(cell)
            cell.outputs = [output for output in cell.outputs if _stays(output, keep)]
    return notebook


def _stays(output: NotebookNode, keep_text: bool) -> bool:
    data = output.get("data", {})
    if MIME in data:
        return data[MIME]["kind"] in FLOATS
    return keep_text and (output.get("name") == "stdout" or "text/plain" in data)


def typeset_floats(notebook: NotebookNode, chapter: int) -> dict[str, bytes]:
    """Each figure, animation and table becomes a float of LaTeX, in place; returns the files that these include."""
    files: dict[str, bytes] = {}
    for cell in notebook.cells:
        for kind, typeset in {"figure": _figure, "animation": _animation, "table": _table}.items():
            for output, message in outputs(cell, kind):
                name = f"{chapter}-{message['name']}"
                output.data["text/latex"] = typeset(name, message)
                files |= _files(name, message)
    return files


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
