"""Write reading copies: executed notebooks in plain Markdown, numbers filled in, as a
repository's page shows them.
"""

import base64
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from PIL import Image

from labreport.contents import Chapter, Contents
from labreport.document import visibility
from labreport.editions import (
    REFUTED,
    Edition,
    is_shown,
    write_chapter,
    write_works,
)
from labreport.messages import MIME, encode
from labreport.numbering import Heading, Label
from labreport.pandoc import Node, Tree, link, raw, string
from labreport.report import tags
from labreport.run import set_parameters

# Bytes of PNG above which a figure holds photos, which lossy formats make smaller.
PHOTOGRAPHIC = 100_000
LANGUAGE = "commonmark+tex_math_dollars+pipe_tables+raw_html"
SPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def make_copies(contents: Contents) -> dict[str, NotebookNode]:
    """Make a notebook of each chapter, by file name."""
    copies = {}
    for chapter in contents.chapters:
        copies[f"{chapter.name}.ipynb"] = _copy(chapter, contents)
    return copies


def _edition(chapter: Chapter, contents: Contents) -> Edition:
    """How the copy of that chapter writes references, equations and headings."""
    files = {each.number: f"{each.name}.ipynb" for each in contents.chapters}

    def refer(words: Tree, label: str, named: Label) -> Node:
        file = "" if named.chapter == chapter.number else files[named.chapter]
        return link(words, f"{file}#{label}")

    def equation(tex: str, label: str, number: str) -> Tree:
        tagged = f"{tex}\\tag{{{number}}}"
        formula = {"t": "Math", "c": [{"t": "DisplayMath"}, tagged]}
        return [raw("html", _anchor(label)), {"t": "SoftBreak"}, formula]

    def heading(written: Heading) -> Tree:
        if not written.number:
            return []
        return [raw("html", f"{_anchor(written.label)}{written.number} ")]

    refuted = {"t": "Strong", "c": [string(REFUTED)]}
    return Edition(LANGUAGE, ["--wrap=preserve"], refer, equation, heading, refuted)


def _anchor(label: str) -> str:
    """What links to a label lead to."""
    return f'<a id="{label}"></a>'


def _copy(chapter: Chapter, contents: Contents) -> NotebookNode:
    edition = _edition(chapter, contents)
    notebook = write_chapter(chapter, contents, edition)
    set_parameters(notebook, contents.run)
    own = chapter.document.source.path
    address = Path(os.path.relpath(own, contents.run.build / "notebooks")).as_posix()
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        asked = cell.metadata.pop("asked", None)
        if cell.cell_type == "code":
            cells += _code_parts(cell, address)
        elif visibility(cell).source:
            cell.pop("attachments", None)  # embedded
            if asked:
                cell.source = _quote(asked, cell.source)
            cells.append(cell)
    works = write_works(contents, [chapter], edition)
    if works:
        bibliography = "## Bibliography"
        for key, work in works.items():
            bibliography += f"\n\n{_anchor(f'ref-{key}')}{work}"
        cells.append(new_markdown_cell(bibliography, id="bibliography"))
    remark = f"*A reading copy of [{own.name}]({address}), executed under the profile "
    remark += "{profile} on {date}: ".format(**chapter.description)
    remark += "its numbers and references are filled in.*"
    cells.insert(1, new_markdown_cell(remark, id="reading-copy"))
    notebook.cells = [cell for cell in cells if cell.source.strip()]
    notebook.metadata = nbformat.from_dict({"kernelspec": SPEC})
    return notebook


def _quote(asked: Mapping[str, Any], text: str) -> str:
    """Write a question as a quotation."""
    star = " ★" if asked["starred"] else ""
    bonus = " Bonus" if asked["bonus"] else ""
    quotation = f"> **Question {asked['number']}{star}{bonus}**\n>"
    for line in text.splitlines():
        quotation += f"\n> {line}".rstrip()
    return quotation


def _code_parts(cell: NotebookNode, address: str) -> Iterator[NotebookNode]:
    """A cell of code as the copy has it, and behind it the captions and tables that it
    made.

    A repository's page unfolds hidden code, so of a hidden cell only what it shows is
    there, and a link to its code at the address of the chapter's notebook.
    """
    shown = visibility(cell)
    is_hidden = not shown.source and "parameters" not in tags(cell)
    link_to_code = f" [code]({address}#cell-id={cell.id})" if is_hidden else ""
    made: list[NotebookNode] = []
    kept: list[NotebookNode] = []
    for index, output in enumerate(cell.outputs if shown.outputs else ()):
        if not is_shown(output):
            continue
        label = output.pop("label", "")
        written = output.pop("written", "")
        alt = output.pop("alt", "")
        if label:
            text = f"{_anchor(label)}{written}"
            caption, _, table = text.partition("\n\n")
            text = f"{caption}{link_to_code}\n\n{table}".strip()
            made.append(new_markdown_cell(text, id=f"{cell.id}-{index}"))
        if not label or "image/png" in output.data:
            kept.append(_plain(output, alt.partition(".")[0]))
    if is_hidden:
        cell.source = "# …" if kept else ""
    cell.outputs = kept
    yield cell
    yield from made


def _plain(output: NotebookNode, alt: str) -> NotebookNode:
    """An output as any program shows it; photographs are JPEGs, a fifth of the bytes.

    alt: what who cannot see a figure hears, since its caption stands below.
    """
    data = output.get("data", {})
    if data.pop(MIME, None):
        data["text/plain"] = alt
        output.metadata = nbformat.from_dict({"image/png": {"alt": alt}})
    encoded = data.get("image/png", "")
    if len(encoded) * 3 / 4 > PHOTOGRAPHIC:
        del data["image/png"]
        data["image/jpeg"] = encode(_compress(base64.b64decode(encoded)))
        output.metadata = nbformat.from_dict({"image/jpeg": {"alt": alt}})
    return output


def _compress(png: bytes) -> bytes:
    """Return a picture as JPEG; what is transparent becomes white, as a page is."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        drawn = picture.convert("RGBA")
    opaque = Image.new("RGB", drawn.size, "white")
    opaque.paste(drawn, mask=drawn)
    opaque.save(file, "JPEG", quality=90)
    return file.getvalue()
