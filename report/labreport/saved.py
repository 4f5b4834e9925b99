"""What JupyterLab's server does with a notebook that is exported: a page has the words
of references and numbers, whatever its dialog's ticks.

The wheel enables this extension for the server of its environment.
"""

from pathlib import Path
from typing import Any

import bleach
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode

from labreport import LabreportError
from labreport.filled import Filler, fill_notebook
from labreport.live import Notebook
from labreport.messages import read_values
from labreport.report import find_report

TAGS = ["p", "br", "hr", "div", "span", "pre", "samp", "img", "section", "del", "sub"]
TAGS += ["h1", "h2", "h3", "h4", "h5", "h6", "dl", "dt", "dd", "sup"]
TAGS += ["table", "thead", "tbody", "tr", "th", "td"]
ATTRIBUTES = {"*": ["class", "id", "align"], "a": ["href"], "img": ["src", "alt"]}


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "labreport.saved"}]


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
            values: dict[str, str] = {}
            for cell, known in read_values(notebook.cells).items():
                for placeholder, text in known.texts.items():
                    values[f"{cell} {placeholder}"] = text
            filler = Filler(prose.document, values)
            fill_notebook(notebook, filler, prose.works)
        except LabreportError as error:
            self.log.warning("labreport: %s", error)
        return notebook, resources
