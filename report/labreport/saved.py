"""What JupyterLab's server does with a notebook that is saved or exported: an exported
page has the words of references and numbers, whatever its dialog's ticks.

The wheel enables this extension for the server of its environment.
"""

import re
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import bleach
from nbconvert.exporters import Exporter
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from labreport import LabreportError
from labreport.live import Notebook, fill, write_all
from labreport.messages import MIME
from labreport.report import find_report

TAGS = [*bleach.ALLOWED_TAGS, "div", "pre", "span", "p", "br", "hr", "img", "samp"]
TAGS += ["h1", "h2", "h3", "h4", "h5", "h6", "dl", "dt", "dd", "del", "sub", "sup"]
TAGS += ["table", "thead", "tbody", "tr", "th", "td", "section", "figure"]
ATTRIBUTES = {
    **bleach.ALLOWED_ATTRIBUTES,
    "*": ["class", "id", "align"],
    "img": ["src", "alt", "width", "height"],
}


def _load_jupyter_server_extension(server: Any) -> None:
    """Fill in what this server exports."""
    default = Exporter.default_preprocessors.default_args[0]
    exporter = server.config.Exporter
    exporter.default_preprocessors = [Fill, *default]
    # nbconvert's own knows neither paragraphs nor headings, and shows their tags.
    server.config.HTMLExporter.filters = {"clean_html": clean_html}


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "labreport.saved"}]


def clean_html(element: object) -> str:
    """Remove what could run from HTML; what a page needs stays."""
    text = element.decode() if isinstance(element, bytes) else str(element)
    return bleach.clean(
        text, tags=TAGS, attributes=ATTRIBUTES, protocols=["http", "https", "data"]
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
    the outputs that only a page's script reads.
    """
    answers = prose.document.answers
    cells = [cell for cell in notebook.cells if cell.cell_type != "raw"]
    values = [_read_values(cell) for cell in cells]
    for index, cell in enumerate(cells):
        if cell.cell_type == "code":
            cell.outputs = [_plain(output) for output in cell.outputs if _stays(output)]
            continue
        above = index
        while above > 0 and cells[above].cell_type != "code":
            above -= 1

        def value(placeholder: str, first: int = above) -> str:
            for each in values[first:]:
                if placeholder in each:
                    return each[placeholder]
            return "–"

        cell.source = fill(cell.source, answers, value)
    works = prose.works()
    if works and answers:
        notebook.cells.append(new_markdown_cell(f"#### Works\n\n{works}"))


def _read_values(cell: NotebookNode) -> dict[str, str]:
    """Return the texts that a cell of code gave to placeholders."""
    texts: dict[str, str] = {}
    for output in cell.get("outputs", ()):
        message = output.get("data", {}).get(MIME, {})
        if message.get("kind") == "values":
            texts |= write_all(message["values"])
    return texts


def _stays(output: NotebookNode) -> bool:
    message = output.get("data", {}).get(MIME, {})
    is_false = "labreport-false" in output.get("data", {}).get("text/html", "")
    return message.get("kind") not in ("chapter", "values") or is_false


def _plain(output: NotebookNode) -> NotebookNode:
    """Return an output without what a page's script hides or runs."""
    data = output.get("data", {})
    message = data.pop(MIME, {})
    if message.get("kind") == "values":
        html = re.findall(r'<p class="labreport-false">.*?</p>', data["text/html"])
        data["text/html"] = "\n".join(html)
    elif message and "image/png" in data:
        data.pop("text/html", None)
    return output


def refresh(os_path: str, **_: object) -> None:
    """Run after Jupyter saves a file: make git compare a notebook that seems changed
    through the filter.

    By itself git compares sizes, and `git status` lists each notebook that has outputs.
    A notebook that really changed stays listed, and nothing is staged.
    """
    path = Path(os_path)
    if path.suffix != ".ipynb":
        return
    git = partial(subprocess.run, cwd=path.parent, capture_output=True)
    try:
        if git(["git", "diff", "--quiet", "--", path.name]).returncode == 0:
            git(["git", "add", "--update", "--", path.name])
    except OSError:
        return  # no git, no clone
