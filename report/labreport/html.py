"""The HTML edition: pandoc writes a self-contained page of each reading copy, a
template the page of contents.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbformat import NotebookNode

from labreport.contents import Chapter, Contents, front_and_back
from labreport.copies import HIDDEN, make_copies
from labreport.pandoc import run_pandoc, write
from labreport.report import TEMPLATES

READER = "ipynb+footnotes+smart+subscript+superscript+definition_lists"


def make_pages(contents: Contents) -> dict[str, str]:
    """Write index.html and a page for each chapter, by file name."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True
    )
    shared: dict[str, Any] = {**front_and_back(contents), "chapters": contents.chapters}
    citations = [text.tree for text in contents.citations.values()]
    written = write(citations, "html")
    shared["citations"] = dict(zip(contents.citations, written, strict=True))
    template = environment.get_template("page.html.j2")
    pages = {"index.html": environment.get_template("index.html.j2").render(shared)}
    copies = make_copies(contents)
    for chapter in contents.chapters:
        around = template.render(shared, chapter=chapter)
        copy = copies[f"{chapter.name}.ipynb"]
        pages[f"{chapter.name}.html"] = _write_page(chapter, copy, around)
    return pages


def _write_page(chapter: Chapter, copy: NotebookNode, around: str) -> str:
    """Write a copy as HTML into the page around it, where that says $body$."""
    cells: list[NotebookNode] = []
    for cell in copy.cells:
        if cell.id != "reading-copy":
            # MathML has no tags.
            cell.source = re.sub(r"\\tag\{([^}]*)\}", r"\\qquad (\1)", cell.source)
            if cell.source.startswith(HIDDEN):
                cell.source = ""
            cells.append(cell)
    copy.cells = cells
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder, "page.html")
        template.write_text(around, encoding="utf-8")
        options = ["--from", READER, "--to", "html", "--mathml", "--wrap=none"]
        options += [
            "--embed-resources",
            "--fail-if-warnings",  # such as a picture that is missing
            f"--template={template}",
            f"--metadata=pagetitle:{chapter.name}",
        ]
        page = run_pandoc(nbformat.writes(copy), options)
    page = re.sub(r'(href="[^"/:]+)\.ipynb', r"\1.html", page)
    # A picture has its caption below, and who has no mouse can scroll a formula.
    page = re.sub(r'<img\s+(role="img"\s+)?(?![^>]*alt=)', '<img alt="" ', page)
    page = page.replace('<math display="block"', '<math tabindex="0" display="block"')
    return re.sub(r"<th([^>]*)></th>", r"<td\1></td>", page)
