"""Write reading copies: executed notebooks in plain Markdown, numbers filled in, as a
repository's page shows them.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from labreport import paths
from labreport.chapters import tags, visibility
from labreport.editions.contents import Contents
from labreport.editions.executed import ExecutedChapter
from labreport.editions.outputs import is_shown, outputs
from labreport.editions.pictures import PHOTOGRAPHIC, compress
from labreport.editions.prose import REFUTED, Edition, link, raw, write_prose
from labreport.notebook.messages import FLOATS, MIME
from labreport.notebook.numbering import Heading, Label
from labreport.notebook.outline import question_words
from labreport.notebook.parameters import set_parameters
from labreport.notebook.references import citeproc
from labreport.notebook.syntax import Node, Tree
from labreport.notebook.tables import markdown_table

LANGUAGE = "commonmark+tex_math_dollars+pipe_tables+raw_html"
METADATA = {
    "kernelspec": {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    },
    "language_info": {
        "name": "python",
        "file_extension": ".py",
        "mimetype": "text/x-python",
    },
}


def make_copies(contents: Contents) -> dict[str, NotebookNode]:
    """Make a notebook of each chapter, by file name.

    Raises LabreportError for an unknown number, reference or citation.
    """
    copies = {}
    for chapter in contents.chapters:
        copies[f"{chapter.name}.ipynb"] = _copy(chapter, contents)
    return copies


def edition(chapter: str) -> Edition:
    """How the copy of that chapter writes references, equations and headings."""

    def refer(label: str, named: Label) -> Node:
        target = f"#{label}" if named.chapter == chapter else f"{named.chapter}.ipynb"
        return link(named.words, target)

    def equation(tex: str, label: str, number: str) -> Node:
        environment, body = tex.removeprefix("\\begin{").split("}", 1)
        body = body.removesuffix(f"\\end{{{environment}}}")
        if not environment.startswith("equation"):
            inner = "aligned" if environment.startswith("align") else "gathered"
            body = f"\\begin{{{inner}}}{body}\\end{{{inner}}}"
        tag = f"\\tag{{{number.strip('()')}}}" if number else ""
        formula = {"t": "Math", "c": [{"t": "DisplayMath"}, body.strip() + tag]}
        if not label:
            return formula
        # A span without attributes is written as what it contains.
        content = [raw("html", _anchor(label)), {"t": "SoftBreak"}, formula]
        return {"t": "Span", "c": [["", [], []], content]}

    def heading(written: Heading) -> Tree:
        if not written.number:
            return []
        return [raw("html", f"{_anchor(written.label)}{written.number} ")]

    refuted = {"t": "Strong", "c": [{"t": "Str", "c": REFUTED}]}
    return Edition(refer, equation, heading, refuted)


def _anchor(label: str) -> str:
    """What links to a label lead to."""
    return f'<a id="{label}"></a>'


def _copy(chapter: ExecutedChapter, contents: Contents) -> NotebookNode:
    options = ["--wrap=preserve", *citeproc()]
    notebook, _, works = write_prose(
        chapter, contents, edition(chapter.name), LANGUAGE, options
    )
    set_parameters(notebook, contents.run)
    own = paths.notebooks() / f"{chapter.name}.ipynb"
    address = paths.write_relative(own, contents.run.build / "notebooks")
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cells += _code_parts(cell, address)
        elif visibility(cell).source:
            cells += _markdown_parts(cell)
    compress_photographs(cells)
    if works:
        bibliography = f"## Bibliography\n\n{works}"
        cells.append(new_markdown_cell(bibliography, id="bibliography"))
    remark = f"*A reading copy of [{own.name}]({address}), executed under the profile "
    remark += "{profile} on {date}: ".format(**chapter.description)
    remark += "its numbers and references are filled in.*"
    cells.insert(1, new_markdown_cell(remark, id="reading-copy"))
    notebook.cells = cells
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def _markdown_parts(cell: NotebookNode) -> Iterator[NotebookNode]:
    """A cell of Markdown as the copy has it, a question as a quotation."""
    cell.pop("attachments", None)  # embedded
    if "question" in tags(cell):
        quotation = f"> **{question_words(cell)}**\n>"
        for line in cell.source.splitlines():
            quotation += f"\n> {line}".rstrip()
        cell.source = quotation
    if cell.source.strip():
        yield cell


def _code_parts(cell: NotebookNode, address: str) -> Iterator[NotebookNode]:
    """A cell of code as the copy has it, and behind it the captions and tables that it
    made.

    A repository's page unfolds hidden code, so of a hidden cell only what it shows is
    there, and a link to its code at the address of the chapter's notebook.
    """
    shown = visibility(cell)
    if not shown.outputs:
        cell.outputs = []
    floats = list(outputs(cell, *FLOATS))
    is_hidden = not shown.source and "parameters" not in tags(cell)
    if is_hidden:
        link_to_code = f" [code]({address}#cell-id={cell.id})"
        yield from _printed_part(cell)
    else:
        link_to_code = ""
        cell.outputs = _plain_outputs(cell.outputs)
        yield cell
    for place, (output, message) in enumerate(floats):
        identity = f"{cell.id}-{place}"
        if is_hidden:
            yield from _picture_part(output, message, identity)
        yield _caption_part(message, link_to_code, identity)


def _printed_part(cell: NotebookNode) -> Iterator[NotebookNode]:
    """What a hidden cell prints or displays beside figures and tables, if anything."""
    printed = [output for output in cell.outputs if MIME not in output.get("data", {})]
    cell.source = "# …"
    cell.outputs = _plain_outputs(printed)
    if cell.outputs:
        yield cell


def _picture_part(
    output: NotebookNode, message: Mapping[str, Any], identity: str
) -> Iterator[NotebookNode]:
    """The picture of a hidden cell's figure in a cell of its own; none of a table."""
    picture = _plain_outputs([output])
    if picture:
        source = f"# {message['number']}"
        yield new_code_cell(source, id=f"{identity}-drawn", outputs=picture)


def _caption_part(
    message: Mapping[str, Any], link_to_code: str, identity: str
) -> NotebookNode:
    """The caption of a figure, or that of a table and the table."""
    text = f"{_anchor(message['label'])}**{message['number']}.** "
    text += message["caption"] + link_to_code
    if "rows" in message:
        table = markdown_table(message["columns"], message["rows"], message["align"])
        text += f"\n\n{table}"
    return new_markdown_cell(text.strip(), id=identity)


def _plain_outputs(shown: Iterable[NotebookNode]) -> list[NotebookNode]:
    """What any program shows of these outputs: a figure is its picture."""
    plain: list[NotebookNode] = []
    for output in shown:
        message = output.get("data", {}).get(MIME)
        if message is None:
            if is_shown(output):
                plain.append(output)
        elif message["kind"] in ("figure", "animation"):
            # The caption stands below; who cannot see the picture hears its number.
            number = message["number"]
            data = {"image/png": output.data["image/png"], "text/plain": number}
            alt = {"alt": number}
            metadata = {"image/png": alt, "image/jpeg": alt}
            plain.append(new_output("display_data", data=data, metadata=metadata))
    return plain


def compress_photographs(cells: Iterable[NotebookNode]) -> None:
    """Make photographs JPEGs, in place; they take a fifth of the bytes."""
    for cell in cells:
        for output in cell.get("outputs", []):
            encoded = output.get("data", {}).get("image/png", "")
            if len(encoded) * 3 / 4 > PHOTOGRAPHIC:
                del output.data["image/png"]
                jpeg = compress(base64.b64decode(encoded), "JPEG")
                output.data["image/jpeg"] = base64.b64encode(jpeg).decode()
