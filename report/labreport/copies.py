"""Write reading copies: executed notebooks in plain Markdown, numbers filled in, as a
repository's page shows them.
"""

import base64
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from labreport.chapter import markdown_table
from labreport.contents import Chapter, Contents
from labreport.document import visibility
from labreport.editions import (
    PHOTOGRAPHIC,
    REFUTED,
    Edition,
    compress,
    write_chapter,
    write_works,
)
from labreport.messages import FLOATS, MIME, encode, outputs
from labreport.numbering import Heading, Label
from labreport.pandoc import Node, Tree, display_math, link, raw, string
from labreport.report import tags
from labreport.run import set_parameters

LANGUAGE = "commonmark+tex_math_dollars+pipe_tables+raw_html"
SPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
FILE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}


def make_copies(contents: Contents) -> dict[str, NotebookNode]:
    """Make a notebook of each chapter, by file name."""
    copies = {}
    for chapter in contents.chapters:
        copies[f"{chapter.name}.ipynb"] = _copy(chapter, contents)
    return copies


def _edition(chapter: str) -> Edition:
    """How the copy of that chapter writes references, equations and headings."""

    def refer(words: Tree, label: str, named: Label) -> Node:
        target = f"#{label}" if named.chapter == chapter else f"{named.chapter}.ipynb"
        return link(words, target)

    def equation(formula: Node, label: str, number: str) -> Node:
        tag = f"\\tag{{{number}}}" if number else ""
        tagged = display_math(formula["c"][1] + tag)
        if not label:
            return tagged
        # A span without attributes is written as what it contains.
        content = [raw("html", _anchor(label)), {"t": "SoftBreak"}, tagged]
        return {"t": "Span", "c": [["", [], []], content]}

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
    edition = _edition(chapter.name)
    notebook = write_chapter(chapter, contents, edition)
    set_parameters(notebook, contents.run)
    own = chapter.document.source.path
    folder = contents.run.build / "notebooks"
    address = Path(os.path.relpath(own, folder)).as_posix()
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
    _compress_photographs(cells)
    notebook.cells = [cell for cell in cells if cell.source.strip()]
    notebook.metadata = nbformat.from_dict({"kernelspec": SPEC, "language_info": FILE})
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
    floats = list(outputs(cell, *FLOATS)) if shown.outputs else []
    is_hidden = not shown.source and "parameters" not in tags(cell)
    plain = [output for output in cell.outputs if MIME not in output.get("data", {})]
    pictures = [_plain_picture(output) for output, said in floats if "pdf" in said]
    cell.outputs = [*plain, *pictures] if shown.outputs else []
    for output in cell.outputs:
        output.pop("text", None) if "data" in output else None
    link_to_code = ""
    if is_hidden:
        link_to_code = f" [code]({address}#cell-id={cell.id})"
        cell.source = "# …"
    if not is_hidden or cell.outputs:
        yield cell
    for place, (_, message) in enumerate(floats):
        text = f"{_anchor(message['label'])}**{message['number']}.** "
        text += message["caption"] + link_to_code
        if "rows" in message:
            rows = message["rows"]
            table = markdown_table(message["columns"], rows, message["align"])
            text += f"\n\n{table}"
        yield new_markdown_cell(text.strip(), id=f"{cell.id}-{place}")


def _plain_picture(output: NotebookNode) -> NotebookNode:
    """A figure as any program shows it."""
    # The caption stands below; who cannot see the picture hears its number.
    number = output.data[MIME]["number"]
    data = {"image/png": output.data["image/png"], "text/plain": number}
    alt = {"alt": number}
    metadata = {"image/png": alt, "image/jpeg": alt}
    return new_output("display_data", data=data, metadata=metadata)


def _compress_photographs(cells: Iterable[NotebookNode]) -> None:
    """Make photographs JPEGs, in place; they take a fifth of the bytes."""
    for cell in cells:
        for output in cell.get("outputs", []):
            encoded = output.get("data", {}).get("image/png", "")
            if len(encoded) * 3 / 4 > PHOTOGRAPHIC:
                del output.data["image/png"]
                jpeg = compress(base64.b64decode(encoded), "JPEG")
                output.data["image/jpeg"] = encode(jpeg)
