"""What JupyterLab's server does with a notebook that is exported: a page has the words
of references and numbers, whatever its dialog's ticks.

The wheel enables this extension for the server of its environment.
"""

import re
from pathlib import Path
from typing import Any

import bleach
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from labreport import LabreportError
from labreport.live import Notebook, fill
from labreport.messages import MIME
from labreport.report import find_report

TAGS = ["p", "br", "hr", "div", "span", "pre", "samp", "img", "section", "del", "sub"]
TAGS += ["h1", "h2", "h3", "h4", "h5", "h6", "dl", "dt", "dd", "sup"]
TAGS += ["table", "thead", "tbody", "tr", "th", "td"]
ATTRIBUTES = {"*": ["class", "id", "align"], "a": ["href"], "img": ["src", "alt"]}


def _load_jupyter_server_extension(server: Any) -> None:
    """Fill in what this server exports."""
    server.config.Exporter.preprocessors = [Fill]
    # nbconvert's own knows neither paragraphs nor headings, and shows their tags.
    server.config.HTMLExporter.filters = {"clean_html": clean_html}


def clean_html(element: object) -> str:
    """Remove what could run from HTML; what a page needs stays."""
    text = element.decode() if isinstance(element, bytes) else str(element)
    allowed = [*bleach.ALLOWED_TAGS, *TAGS]
    protocols = ["http", "https", "data"]
    return bleach.clean(
        text, tags=allowed, attributes=ATTRIBUTES, protocols=protocols, strip=True
    )


class Fill(Preprocessor):
    """Fills in the notebook that is exported, from what its outputs say."""

    def preprocess(
        self, notebook: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Fill in the texts of a notebook of a report; others stay as they are."""
        place = resources.get("metadata", {})
        path = Path(place.get("path", "."), f"{place.get('name', '')}.ipynb")
        try:
            prose = Notebook(find_report(path.parent), path, path.stem)
            fill_notebook(notebook, prose)
        except LabreportError as error:
            self.log.warning("labreport: %s", error)
        return notebook, resources


def fill_notebook(notebook: NotebookNode, prose: Notebook) -> None:
    """Write the words of references and numbers into a notebook, in place, and take out
    of its outputs what only a page's script reads.
    """
    answers = prose.document.answers
    values: dict[str, str] = {}

    def value(placeholder: str) -> str:
        return values.get(placeholder, "–")

    # From its end, so that the first value at or below the code above a cell counts.
    waiting: list[NotebookNode] = []
    for cell in reversed(notebook.cells):
        if cell.cell_type == "markdown":
            waiting.append(cell)
            continue
        for output in cell.get("outputs", ()):
            texts = output.get("data", {}).get(MIME, {}).get("texts", {})
            for placeholder, text in texts.items():
                values[placeholder] = text.get("text", "–")
        while waiting:
            below = waiting.pop()
            below.source = fill(below.source, answers, value)
        cell.outputs = _plain_outputs(cell)
        for output in cell.outputs:
            markdown = output.get("data", {}).get("text/markdown")
            if markdown:
                output.data["text/markdown"] = fill(markdown, answers, value)
    for first in waiting:
        first.source = fill(first.source, answers, value)
    works = prose.works()
    if works:
        notebook.cells.append(new_markdown_cell(f"#### Works\n\n{works}"))


def _plain_outputs(cell: NotebookNode) -> list[NotebookNode]:
    """Return the outputs of a cell without what a page's script hides or runs."""
    plain: list[NotebookNode] = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        kind = data.pop(MIME, {}).get("kind")
        if kind == "values":
            marks = re.findall(r'<p class="labreport-false">.*?</p>', data["text/html"])
            data["text/html"] = "\n".join(marks)
        if kind != "chapter" and data.get("text/html") != "":
            plain.append(output)
    return plain
