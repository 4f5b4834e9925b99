"""Numbers in prose, where a notebook is worked in: after each cell that runs, its
outputs contain the values of placeholders and the verdicts on claims.

A build reads these outputs. In JupyterLab the script beside this file, which the output
of the first cell contains, shows the texts instead of the placeholders.
"""

import json
import os
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from nbformat.v4 import new_notebook

from labreport import LabreportError
from labreport.document import Document, Part, read_documents, sentence_before
from labreport.expressions import (
    check_claim,
    evaluate,
    split_format,
)
from labreport.numbering import Label
from labreport.pandoc import Node, Tree, write
from labreport.references import cited_works
from labreport.report import Report, Source, read_notebook

FALSE = "In this run this does not hold"


class Notebook:
    """The notebook in a file that is worked in; it is read again when it has changed.

    path: its file, which need not be there. name: that of the chapter in the report.
    """

    def __init__(self, report: Report, path: Path, name: str) -> None:
        self.path = path
        self.number = "1"
        self._bibliography = report.bibliography
        try:
            sources = report.sources()
        except LabreportError:  # of another notebook, which a build names
            sources = []
        others = [source for source in sources if source.name != name]
        for source in sources:
            if source.name == name:
                self.number = source.number
        self._labels: dict[str, Label] = {}
        for document in read_documents(others, self._bibliography)[0]:
            self._labels |= document.labels
        self._changed = 0
        self._document = Document(Source(path, self.number, new_notebook()), [])
        self._works: dict[str, Node] = {}

    @property
    def document(self) -> Document:
        """Return what the file says now; nothing without the file."""
        if self.path.is_file() and self.path.stat().st_mtime_ns != self._changed:
            self._changed = self.path.stat().st_mtime_ns
            source = Source(self.path, self.number, read_notebook(self.path))
            read, works = read_documents([source], self._bibliography, self._labels)
            self._document = read[0]
            self._works = works
        return self._document

    @property
    def works(self) -> dict[str, Tree]:
        """Return the works that the chapter cites, by key."""
        return cited_works(self.document.texts, self._works)


class LiveProse:
    """Evaluates the prose of a notebook, in the kernel of `shell`, after each cell.

    show: a function that displays a message of kind "values", its text and its HTML.

    A placeholder is evaluated after the cell of code above it. As long as the run lacks
    what it names, it waits, and is evaluated after the first cell with which it can be.
    """

    def __init__(self, notebook: Notebook, shell: Any, show: Any) -> None:
        self._notebook = notebook
        self._shell = shell
        self._show = show
        self._last = 0  # the position of the cell that ran last
        # By expression and the position of the cell above it: where it had a value.
        self._known: dict[tuple[str, int], int] = {}
        for callback in list(shell.events.callbacks["post_run_cell"]):
            # Of a first cell that ran before.
            if isinstance(getattr(callback, "__self__", None), LiveProse):
                shell.events.unregister("post_run_cell", callback)
        shell.events.register("post_run_cell", self.refresh)

    def refresh(self, result: Any) -> None:
        """Evaluate the prose below the cell that just ran, and what waits."""
        document = self._notebook.document
        ran = self._find(result.info, document)
        if ran is None or not result.success or not result.info.store_history:
            return
        values: dict[str, Any] = {}
        texts: dict[str, dict[str, str]] = {}
        claims: dict[str, Any] = {}
        sentences: list[str] = []
        for part in document.parts:
            written: dict[str, str] = {}
            for placeholder in self._due(part.placeholders, part.above, ran):
                found = evaluate(placeholder, self._shell.user_ns)
                self._keep(placeholder, part.above, found, ran)
                texts[placeholder] = {"error": found.get("error", "")}
                if "error" in found:
                    continue
                expression, form = split_format(placeholder)
                value = values.setdefault(expression, found)
                value["texts"] |= found["texts"]
                written[placeholder] = found["texts"][form]
                texts[placeholder] = {"text": written[placeholder]}
            for claim in self._due(part.claims, part.above, ran):
                verdict = check_claim(claim, self._shell.user_ns)
                self._keep(claim, part.above, verdict, ran)
                claims[claim] = verdict
                if verdict.get("holds") is False:
                    comment = part.claims[claim]
                    sentences.append(sentence_before(comment, part.tree, written))
        if texts or claims:
            message = {"values": values, "claims": claims, "texts": texts}
            lines = _write_lines(texts, sentences)
            html = _write_html(texts, lines, sentences, result.execution_count)
            self._show(message, lines, {"text/html": html})

    def _due(self, expressions: Any, above: int, ran: Part) -> list[str]:
        """Return those expressions of prose that are evaluated after a cell."""
        due: list[str] = []
        for expression in expressions:
            known = self._known.get((expression, above), ran.position)
            if above == ran.position or (above < ran.position == known):
                due.append(expression)
        return due

    def _keep(self, expression: str, above: int, found: Any, ran: Part) -> None:
        if "error" not in found:
            self._known[expression, above] = ran.position

    def _find(self, info: Any, document: Document) -> Part | None:
        """Find the cell that ran.

        JupyterLab sends its id; elsewhere it is the next cell with this source.
        """
        code = [part for part in document.parts if part.cell.cell_type == "code"]
        same = [part for part in code if part.cell.id == info.cell_id]
        alike = [part for part in code if part.cell.source == info.raw_cell]
        same += [part for part in alike if part.position > self._last]
        same += alike
        if not same:
            return None
        self._last = same[0].position
        return same[0]


def make_script(notebook: Notebook) -> str:
    """Write HTML that fills in the page around it: numbers, references, citations,
    numbers of sections, and a list of works at the end.
    """
    document = notebook.document
    headings: dict[str, list[str]] = {}
    for heading in document.headings:
        # Words alone, since pandoc's quotation marks and dashes are not those typed.
        title = re.sub(r"[\W_]+", " ", heading.title).strip()
        headings.setdefault(title, []).append(heading.number)
    answers: dict[str, str] = {}
    for token, answer in document.answers.items():
        answers[token] = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", answer)  # no links
    works = "\n".join(write(list(notebook.works.values()), "html", ["--wrap=none"]))
    chapter = {"answers": answers, "headings": headings, "works": works}
    folder = Path(__file__).parent
    style = (folder / "live.css").read_text(encoding="utf-8")
    script = (folder / "live.js").read_text(encoding="utf-8").strip()
    call = f"({script})({_json(chapter)});"
    return f"<style>\n{style}</style>\n<script>\n{call}\n</script>"


def session_path(report: Report, name: str) -> Path:
    """Return the file of the notebook that runs: Jupyter's session, or a chapter."""
    session = Path(os.environ.get("JPY_SESSION_NAME", ""))
    if session.suffix == ".ipynb" and session.is_file():
        return session.resolve()
    return report.notebooks / f"{name}.ipynb"


def _write_lines(texts: Mapping[str, Mapping[str, str]], sentences: list[str]) -> str:
    lines = []
    for placeholder, text in texts.items():
        lines.append(f"{placeholder} = {text.get('text') or text['error']}")
    lines += [f"{FALSE}: “{sentence}”" for sentence in sentences]
    return "\n".join(lines)


def _write_html(
    texts: Mapping[str, Mapping[str, str]], lines: str, sentences: list[str], run: int
) -> str:
    """Write what the script of the page reads, and what is shown without it."""
    html = f'<div class="labreport-values" data-values="{escape(_json(texts))}" '
    html += f'data-run="{run}">'
    for sentence in sentences:
        html += f'<p class="labreport-false">{FALSE}: “{escape(sentence)}”</p>'
    return f"{html}<pre>{escape(lines)}</pre></div>"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
