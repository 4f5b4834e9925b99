"""nbconvert preprocessors, one job each: an executed notebook becomes one whose cells hold LaTeX."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

from nbconvert.preprocessors import Preprocessor, TagRemovePreprocessor
from nbformat import NotebookNode

from dlapps.notebook import MIME, default_format
from dlapps.report import ReportError
from dlapps.report import markdown as md
from dlapps.report.contents import messages, outputs
from dlapps.report.sources import first_line, tags

INLINE = "`{}`{=latex}"  # starts what must not be read as a list or a heading


def fragments(notebook: NotebookNode) -> Iterator[tuple[Any, Any]]:
    """Where a notebook holds Markdown, as (container, key): cells, captions, cells of tables."""
    yield from ((cell, "source") for cell in notebook.cells if cell.cell_type == "markdown")
    for kind in ("figure", "animation", "table"):
        yield from ((message, "caption") for _, message in messages(notebook, kind))
    for _, table in messages(notebook, "table"):
        for row in [table["columns"], *table["rows"]]:
            yield from ((row, i) for i in range(len(row)))


def fragment_texts(notebook: NotebookNode) -> list[str]:
    """The Markdown of these places, ready for pandoc."""
    return [box[key] if key == "source" else INLINE + box[key] for box, key in fragments(notebook)]


def tagged_removal() -> TagRemovePreprocessor:
    """Takes out what a tag keeps from the report."""
    return TagRemovePreprocessor(
        remove_cell_tags={"remove-cell", "parameters"},
        remove_input_tags={"remove-input"},
        remove_all_outputs_tags={"remove-output"},
    )


class FragmentPreprocessor(Preprocessor):
    """Rewrites each piece of Markdown; what stops it names the piece."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """The notebook, each piece of Markdown rewritten in place; a ReportError says near which text it was."""
        for container, key in fragments(nb):
            try:
                container[key] = self.rewrite(container[key])
            except ReportError as error:
                where = f"{resources['chapter'].name}, near {first_line(container[key])!r}"
                raise ReportError(f"{error} [{where}]") from error
        return nb, resources

    def rewrite(self, text: str) -> str:
        """What becomes of one piece of Markdown."""
        raise NotImplementedError


class NumbersPreprocessor(FragmentPreprocessor):
    """`{{name}}` and `{{name:.1%}}` become what was recorded."""

    def __init__(self, numbers: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        self.numbers = numbers

    def rewrite(self, text: str) -> str:
        """The text with its numbers filled in."""
        return md.substitute_numbers(text, self.fill)

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

    def __init__(
        self,
        chapter: int,
        labels: set[str],
        citation_keys: set[str],
        refer: Callable[[str], str] = md.latex_reference,
    ) -> None:
        super().__init__()
        self.chapter, self.labels, self.citation_keys, self.refer = chapter, labels, citation_keys, refer

    def rewrite(self, text: str) -> str:
        """The text with its references resolved; a ReportError for an unknown label or citation."""
        for label in sorted(md.references(text, self.chapter) - self.labels):
            raise ReportError(f"expected a reference to something shown, got @{label}; correct it.")
        for key in sorted(md.citations(text) - self.citation_keys):
            raise ReportError(f"expected a work in report/references.bib, got @{key}; add it or correct the key.")
        return md.resolve_references(text, self.chapter, self.refer)


class TypographyPreprocessor(FragmentPreprocessor):
    """No line break between a number and its unit."""

    def rewrite(self, text: str) -> str:
        """The text with its numbers and units held together."""
        return md.keep_together(text)


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


class FiguresPreprocessor(Preprocessor):
    """A figure becomes a float; its PDF goes to resources["outputs"]."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """The cell with LaTeX for each of its figures."""
        for output, figure in outputs(cell, "figure"):
            name = f"{resources['chapter'].number}-{figure['name']}"
            resources.setdefault("outputs", {})[f"{name}.pdf"] = base64.b64decode(figure["pdf"])
            output.data["text/latex"] = rf"\showfigure{{{name}}}{{{figure['caption']}}}"
        return cell, resources


class AnimationsPreprocessor(Preprocessor):
    """An animation becomes a float with its key frames; both go to resources["outputs"]."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """The cell with LaTeX for each of its animations."""
        for output, animation in outputs(cell, "animation"):
            name = f"{resources['chapter'].number}-{animation['name']}"
            files = resources.setdefault("outputs", {})
            files[f"{name}.pdf"] = base64.b64decode(animation["pdf"])
            for number, frame in enumerate(animation["frames"]):
                files[f"{name}-{number}.jpg"] = base64.b64decode(frame)
            last = len(animation["frames"]) - 1
            output.data["text/latex"] = (
                rf"\showanimation{{{name}}}{{{animation['caption']}}}{{{animation['rate']}}}{{{last}}}"
            )
        return cell, resources


class TablesPreprocessor(Preprocessor):
    """A table becomes a float ruled by booktabs; long words get lines of their own."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """The cell with LaTeX for each of its tables."""
        for output, table in outputs(cell, "table"):
            name = f"{resources['chapter'].number}-{table['name']}"
            output.data["text/latex"] = _table(name, table)
        return cell, resources


def _table(name: str, table: dict[str, Any]) -> str:
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
        return data[MIME]["kind"] in ("figure", "animation", "table")
    return keep_text and (output.get("name") == "stdout" or "text/plain" in data)
