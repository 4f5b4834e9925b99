"""Numbers in prose, where a notebook is worked in: after each cell that runs, its
outputs contain the values of placeholders and the verdicts on claims.

A build reads these outputs. In JupyterLab the script beside this file, which the output
of the first cell contains, shows the texts instead of the placeholders.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from nbformat.v4 import new_notebook

from labreport import LabreportError
from labreport.document import (
    REFERENCE_OR_CITATION,
    Document,
    Part,
    Text,
    cited_works,
    parse_texts,
    read_documents,
    resolve_texts,
    sentence_before,
    write_text,
)
from labreport.expressions import (
    CODE,
    Evaluated,
    Verdict,
    check_claim,
    evaluate,
    one_line,
    write_evaluated,
)
from labreport.pandoc import write
from labreport.report import Report, Source, leading_number, read_notebook

FALSE = "In this run this does not hold"
_PIECE = re.compile(
    rf"{CODE}|\{{\{{(?P<inner>[^{{}}]+)\}}\}}|(?P<token>{REFERENCE_OR_CITATION})"
    r"|(?P<label>\s*\{#sec-[^}]*\})|\\label\{(?P<equation>eq-[^}]*)\}"
)


class Notebook:
    """The notebook in a file that is worked in; it is read again when it has changed.

    path: its file, which need not be there. number: its chapter's.
    """

    def __init__(self, report: Report, path: Path, name: str) -> None:
        self.report = report
        self.path = path
        self.number = leading_number(name)
        others: list[Source] = []
        try:
            for source in report.sources():
                if source.name == name:
                    self.number = source.number
                else:
                    others.append(source)
            documents, _ = read_documents(others, report.bibliography)
        except LabreportError:  # of another notebook, which a build names
            documents = []
        self._labels = {}
        for document in documents:
            self._labels |= document.labels
        self._changed = -1
        self._document = Document(Source(path, self.number, new_notebook()), [])
        self._works: dict[str, Any] = {}

    @property
    def document(self) -> Document:
        """Return what the file says now; nothing without the file."""
        if self.path.is_file() and self.path.stat().st_mtime_ns != self._changed:
            self._changed = self.path.stat().st_mtime_ns
            source = Source(self.path, self.number, read_notebook(self.path))
            bibliography = self.report.bibliography
            read, self._works = read_documents([source], bibliography, self._labels)
            self._document = read[0]
        return self._document

    def works(self) -> str:
        """Return the works that the chapter cites as HTML."""
        cited = cited_works(self.document.texts)
        entries = [entry for key, entry in self._works.items() if key in cited]
        return write([entries], "html")[0] if entries else ""

    def answers_for(self, markdown: str) -> dict[str, str]:
        """Return what stands for the references and citations of a text."""
        answers = self.document.answers
        found = re.findall(f"(?s){REFERENCE_OR_CITATION}", markdown)
        if all(token in answers for token in found):
            return answers
        text = Text(write_text(markdown), self.number, self.path.name)
        labels = self._labels | self.document.labels
        mistakes = parse_texts([text])
        mistakes += resolve_texts([text], labels, self.report.bibliography)[0]
        for mistake in mistakes:
            raise LabreportError(mistake)
        return answers | text.answers


def fill(
    markdown: str, answers: Mapping[str, str], value: Callable[[str], str]
) -> str:
    """Return Markdown with references, citations and placeholders in words, and without
    labels; code stays as it is.
    """

    def write_piece(match: re.Match[str]) -> str:
        if match["inner"]:
            return value(one_line(match["inner"]))
        if match["token"]:
            return answers.get(one_line(match["token"]), match[0])
        if match["equation"]:
            number = answers.get(f"@{match['equation']}", "")
            return number.replace("Equation\u00a0(", r"\tag{").replace(")", "}")
        return "" if match["label"] else match[0]

    return _PIECE.sub(write_piece, markdown)


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
        self._evaluated: dict[tuple[str, int], int] = {}
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
        scope = self._shell.user_ns
        values: dict[str, Evaluated] = {}
        claims: dict[str, Verdict] = {}
        sentences: list[str] = []
        for part in document.parts:
            above = document.above(part.position)
            for placeholder in part.placeholders:
                if self._is_due(placeholder, above, ran.position):
                    values[placeholder] = evaluate(placeholder, scope)
                    if "error" not in values[placeholder]:
                        self._evaluated[placeholder, above] = ran.position
            for claim in part.claims:
                if self._is_due(claim.expression, above, ran.position):
                    verdict = check_claim(claim.expression, scope)
                    claims[claim.expression] = verdict
                    if "error" not in verdict:
                        self._evaluated[claim.expression, above] = ran.position
                    if verdict.get("holds") is False and part.text:
                        texts = write_all(values)
                        sentences.append(
                            sentence_before(claim.comment, part.text.tree, texts)
                        )
        if values or claims:
            message = {"values": values, "claims": claims}
            lines = _write_lines(values, claims, sentences)
            self._show(message, lines, {"text/html": _write_page(values, lines, sentences)})

    def _is_due(self, expression: str, above: int, ran: int) -> bool:
        """Return whether an expression is evaluated after the cell at that position."""
        if above == ran:
            return True
        return above < ran and self._evaluated.get((expression, above), ran) == ran

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


def write_all(values: Mapping[str, Evaluated]) -> dict[str, str]:
    """Write the values of placeholders that have one."""
    texts: dict[str, str] = {}
    for placeholder, value in values.items():
        if "error" not in value:
            texts[placeholder] = write_evaluated(placeholder, value)
    return texts


def make_script(notebook: Notebook) -> str:
    """Write HTML that fills in the page around it: numbers, references, citations,
    numbers of sections, and a list of works at the end.
    """
    document = notebook.document
    headings: dict[str, list[str]] = {}
    for heading in document.headings:
        headings.setdefault(heading.title, []).append(heading.number)
    chapter = {
        "answers": document.answers,
        "headings": headings,
        "works": notebook.works(),
    }
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


def _write_page(
    values: Mapping[str, Evaluated], lines: str, sentences: list[str]
) -> str:
    """Write HTML for the script of the page, and what is shown without it."""
    texts = write_all(values)
    answers: dict[str, dict[str, str]] = {}
    for placeholder, value in values.items():
        answers[placeholder] = {"error": value.get("error", "")}
        if placeholder in texts:
            answers[placeholder] = {"text": texts[placeholder]}
    html = f'<div class="labreport-values" data-values="{escape(_json(answers))}">'
    for sentence in sentences:
        html += f'<p class="labreport-false">{FALSE}: “{escape(sentence)}”</p>'
    return f"{html}<pre>{escape(lines)}</pre></div>"


def _write_lines(
    values: Mapping[str, Evaluated],
    claims: Mapping[str, Verdict],
    sentences: list[str],
) -> str:
    lines = [f"{inner} = {text}" for inner, text in write_all(values).items()]
    for inner, value in values.items():
        if "error" in value:
            lines.append(f"{inner}: {value['error']}")
    for claim, verdict in claims.items():
        if "error" in verdict:
            lines.append(f"{claim}: {verdict['error']}")
    lines += [f"{FALSE}: “{sentence}”" for sentence in sentences]
    return "\n".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
