"""nbconvert preprocessors, one job each: an executed notebook becomes one whose cells hold LaTeX."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from nbconvert.preprocessors import Preprocessor, TagRemovePreprocessor
from nbformat import NotebookNode

from dlapps.notebook import MIME, default_format
from dlapps.report import ReportError
from dlapps.report import markdown as md
from dlapps.report.contents import FLOATS, Contents, ExecutedChapter, messages, outputs
from dlapps.report.sources import first_line, tags

INLINE = "`{}`{=latex}"  # starts what must not be read as a list or a heading


def fragments(notebook: NotebookNode) -> Iterator[tuple[Any, Any]]:
    """Where a notebook holds Markdown, as (container, key): cells, captions, cells of tables."""
    yield from ((cell, "source") for cell in notebook.cells if cell.cell_type == "markdown")
    for kind in FLOATS:
        yield from ((message, "caption") for _, message in messages(notebook, kind))
    for _, table in messages(notebook, "table"):
        for row in [table["columns"], *table["rows"]]:
            yield from ((row, i) for i in range(len(row)))


def fragment_texts(notebook: NotebookNode) -> list[str]:
    """The Markdown of these places, ready for pandoc."""
    return [box[key] if key == "source" else INLINE + box[key] for box, key in fragments(notebook)]


class FragmentPreprocessor(Preprocessor):
    """Applies `rewrite` to each piece of Markdown; what stops it names the piece."""

    def __init__(self, rewrite: Callable[[str], str]) -> None:
        super().__init__()
        self.rewrite = rewrite

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """The notebook, each piece of Markdown rewritten in place; a ReportError says near which text it was."""
        for container, key in fragments(nb):
            try:
                container[key] = self.rewrite(container[key])
            except ReportError as error:
                where = f"{resources['chapter'].name}, near {first_line(container[key])!r}"
                raise ReportError(f"{error} [{where}]") from error
        return nb, resources


class NumbersPreprocessor(FragmentPreprocessor):
    """`{{name}}` and `{{name:.1%}}` become what was recorded."""

    def __init__(self, numbers: dict[str, dict[str, Any]]) -> None:
        super().__init__(partial(md.substitute_numbers, fill=self.fill))
        self.numbers = numbers

    def fill(self, name: str, spec: str, math: bool) -> str:
        """The number of that name in that format; a ReportError for an unknown name or a format that does not fit."""
        if name not in self.numbers:
            raise ReportError(f"expected a recorded number, got {{{{{name}}}}}; record it or correct the name.")
        value = self.numbers[name]["value"]
        if isinstance(value, str) and not math:
            return md.escape(format(value, spec))
        try:
            shown = format(value, spec or default_format(value))
        except ValueError as error:
            raise ReportError(f"expected a format that fits {value!r}, got {spec!r} for {name}; correct it.") from error
        return _typeset_exponent(shown, math)


def _typeset_exponent(number: str, math: bool) -> str:
    power = r"\1\\times 10^{\2\3}" if math else r"\1 × 10^\2\3^"
    return re.sub(r"(\d)e(-?)\+?0*(\d+)$", power, number)


class CrossReferencesPreprocessor(FragmentPreprocessor):
    """`@fig-name` becomes a link with the figure's number; citations have to be in the bibliography."""

    def __init__(self, chapter: int, labels: set[str], keys: set[str], refer: md.Refer = md.latex_reference) -> None:
        super().__init__(self.resolve)
        self.chapter, self.labels, self.citation_keys, self.refer = chapter, labels, keys, refer

    def resolve(self, text: str) -> str:
        """The text with its references resolved; a ReportError for an unknown label or citation."""
        for label in sorted(md.references(text, self.chapter) - self.labels):
            raise ReportError(f"expected a reference to something shown, got @{label}; correct it.")
        for key in sorted(md.citations(text) - self.citation_keys):
            raise ReportError(f"expected a work in report/references.bib, got @{key}; add it or correct the key.")
        return md.resolve_references(text, self.chapter, self.refer)


def first_steps(
    chapter: ExecutedChapter, contents: Contents, citation_keys: set[str], refer: md.Refer
) -> list[Preprocessor]:
    """What every edition begins with: no cells that a tag keeps out; numbers, references and units as Markdown."""
    removal = TagRemovePreprocessor(
        remove_cell_tags={"remove-cell", "parameters"},
        remove_input_tags={"remove-input"},
        remove_all_outputs_tags={"remove-output"},
    )
    references = CrossReferencesPreprocessor(chapter.number, contents.labels, citation_keys, refer)
    return [removal, NumbersPreprocessor(contents.numbers), references, FragmentPreprocessor(md.keep_together)]


class QuestionsPreprocessor(Preprocessor):
    """A cell tagged "question" becomes a block with its number."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """A question's cell between the LaTeX that opens and closes its block."""
        if "question" in tags(cell):
            question = question_facts(cell)
            star = r"\starred" if question.get("starred") else ""
            bonus = r"\bonus" if question.get("bonus") else ""
            opening = rf"\begin{{question}}{{{question['number']}}}{{{star}{bonus}}}"
            cell.source = f"{_raw(opening)}\n\n{cell.source}\n\n{_raw(chr(92) + 'end{question}')}"
        return cell, resources


def question_facts(cell: NotebookNode) -> dict[str, Any]:
    """A question's number, and whether it is starred or a bonus; a ReportError without a number."""
    question = cell.metadata.get("question", {})
    if "number" not in question:
        raise ReportError(
            f"expected a number in the metadata of question {first_line(cell.source)!r}, got none; "
            'add {"question": {"number": "3"}}.'
        )
    return question


def _raw(latex: str) -> str:
    return f"```{{=latex}}\n{latex}\n```"


class MarkdownPreprocessor(Preprocessor):
    """All Markdown of the notebook becomes LaTeX, in one run of pandoc."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """The notebook, its Markdown replaced by LaTeX in place."""
        for (container, key), latex in zip(fragments(nb), md.to_latex(fragment_texts(nb)), strict=True):
            container[key] = latex.removeprefix("{}")
        return nb, resources


class FloatsPreprocessor(Preprocessor):
    """A figure, an animation or a table becomes a float; the files that it includes go to resources["outputs"]."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """The cell with LaTeX for each of its floats."""
        for kind, write in {"figure": _figure, "animation": _animation, "table": _table}.items():
            for output, message in outputs(cell, kind):
                name = f"{resources['chapter'].number}-{message['name']}"
                output.data["text/latex"] = write(name, message)
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
