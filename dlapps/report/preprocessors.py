"""One job each: an executed notebook becomes one whose cells hold what an edition writes."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from nbconvert.preprocessors import TagRemovePreprocessor
from nbformat import NotebookNode

from dlapps.notebook.chapter import MIME
from dlapps.notebook.syntax import first_line, nodes, walk, words, write
from dlapps.report import ReportError
from dlapps.report.contents import FLOATS, Contents, ExecutedChapter, fragments, near
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
