"""Write reading copies: executed notebooks in plain Markdown, numbers filled in, as a
repository's page shows them.
"""

import base64
import io
import mimetypes
import os
import re
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from PIL import Image

from labreport.contents import Chapter, Contents
from labreport.document import visibility
from labreport.filled import Filler, fill_notebook
from labreport.messages import MIME, encode
from labreport.references import cited_works
from labreport.report import tags
from labreport.run import set_parameters

# Bytes of PNG above which a figure holds photos, which JPEG makes a fifth as large.
PHOTOGRAPHIC = 100_000
ANIMATED = b"acTL"  # the chunk that an animated PNG has before its first picture
SPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
HIDDEN = "# This code is in"


def make_copies(contents: Contents) -> dict[str, NotebookNode]:
    """Make a notebook of each chapter, by file name."""
    copies = {}
    for chapter in contents.chapters:
        copies[f"{chapter.name}.ipynb"] = _copy(chapter, contents)
    return copies


def _copy(chapter: Chapter, contents: Contents) -> NotebookNode:
    notebook = deepcopy(chapter.notebook)
    values = {place: number["text"] for place, number in chapter.numbers.items()}
    filler = Filler(chapter.document, values, chapter.false)
    works = cited_works(chapter.texts.values(), contents.works)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _select_outputs(cell)
    fill_notebook(notebook, filler, works)
    set_parameters(notebook, contents.run)
    own = chapter.document.source.path
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            _attach_pictures(cell, own.parent)
    address = Path(os.path.relpath(own, contents.run.build / "notebooks")).as_posix()
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        is_shown = visibility(cell).source or "parameters" in tags(cell)
        written = _take_markdown(cell)
        if not is_shown and cell.cell_type == "code":
            # A repository's page unfolds hidden code.
            cell.source = f"{HIDDEN} {own.name}, cell {cell.id}."
        if is_shown or cell.get("outputs"):
            cells.append(cell)
        if written:
            cells.append(new_markdown_cell(written, id=f"{cell.id}-shown"))
    remark = f"*A reading copy of [{own.name}]({address}), executed under the profile "
    remark += "{profile} on {date}: ".format(**chapter.description)
    remark += "its numbers and references are filled in.*"
    cells.insert(1, new_markdown_cell(remark, id="reading-copy"))
    notebook.cells = cells
    notebook.metadata = nbformat.from_dict({"kernelspec": SPEC})
    return notebook


def _attach_pictures(cell: NotebookNode, folder: Path) -> None:
    """Attach the pictures of files to a text, since a copy lies elsewhere."""
    for name in set(re.findall(r"!\[[^\]]*\]\(([^()\s:]+)", cell.source)):
        path = folder / name
        kind = mimetypes.guess_type(name)[0]
        if kind and path.is_file():
            attached = cell.setdefault("attachments", {})
            attached[name] = {kind: encode(path.read_bytes())}
            cell.source = cell.source.replace(f"]({name}", f"](attachment:{name}")


def _take_markdown(cell: NotebookNode) -> str:
    """Take captions and tables out of the outputs of a cell."""
    written: list[str] = []
    kept: list[NotebookNode] = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        markdown = data.get("text/markdown", data.get("text/latex"))
        if markdown:
            written.append(markdown)
        else:
            kept.append(output)
    if cell.cell_type == "code":
        cell.outputs = kept
    return "\n\n".join(written)


def _select_outputs(cell: NotebookNode) -> list[NotebookNode]:
    """Select the outputs that the report shows; photographs that stand still become
    JPEGs.
    """
    kept: list[NotebookNode] = []
    for output in cell.outputs if visibility(cell).outputs else ():
        data = output.get("data", {})
        encoded = data.get("image/png", "")
        png = base64.b64decode(encoded)
        if len(png) > PHOTOGRAPHIC and ANIMATED not in png:
            del data["image/png"]
            data["image/jpeg"] = encode(_compress(png))
        if data.get(MIME, {}).get("kind") not in ("values", "headline"):
            kept.append(output)
    return kept


def _compress(png: bytes) -> bytes:
    """Return a picture as JPEG; what is transparent becomes white, as a page is."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        drawn = picture.convert("RGBA")
    opaque = Image.new("RGB", drawn.size, "white")
    opaque.paste(drawn, mask=drawn)
    opaque.save(file, "JPEG", quality=90)
    return file.getvalue()
