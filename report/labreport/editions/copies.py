"""Reading copies: executed notebooks in plain Markdown, numbers filled in, as a
repository's page shows them.
"""

import base64
import json
import re
from collections.abc import Iterator

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from labreport.editions.contents import (
    FLOATS,
    Contents,
    ExecutedChapter,
    Label,
    outputs,
)
from labreport.editions.html import PHOTOGRAPHIC, compress
from labreport.editions.prose import REFUTED, Edition, is_shown, link, raw, write_prose
from labreport.editions.sources import tags
from labreport.notebook.chapter import MIME, markdown_table
from labreport.notebook.outline import HIDING, question_words
from labreport.notebook.prose import citeproc
from labreport.notebook.syntax import Node

LANGUAGE = "commonmark+tex_math_dollars+pipe_tables+raw_html"
BYTES = 1_400_000  # that the photographs of a copy may take, as JPEGs
QUALITIES = (90, 80, 70, 60, 50)


def make_copies(contents: Contents) -> dict[str, NotebookNode]:
    """A notebook a chapter, by file name; a ReportError for an unknown number,
    reference or citation.
    """
    return {
        f"{chapter.name}.ipynb": _copy(chapter, contents)
        for chapter in contents.chapters
    }


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
        return {"t": "Math", "c": [{"t": "DisplayMath"}, body.strip() + tag]}

    refuted = {"t": "Strong", "c": [{"t": "Str", "c": REFUTED}]}
    return Edition(
        refer,
        equation,
        lambda number: [raw("html", f"{number} ")] * bool(number),
        refuted,
    )


def _copy(chapter: ExecutedChapter, contents: Contents) -> NotebookNode:
    options = ["--wrap=preserve", *citeproc()]
    notebook, _, works = write_prose(
        chapter, contents, edition(chapter.name), LANGUAGE, options
    )
    notebook.cells = [part for cell in notebook.cells for part in _parts(cell, chapter)]
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    _fit([output.data for output in shown if "data" in output])
    if works:
        notebook.cells.append(
            new_markdown_cell(f"## Bibliography\n\n{works}", id="bibliography")
        )
    own = f"[{chapter.name}.ipynb](../../notebooks/{chapter.name}.ipynb)"
    ran = (
        f"executed under the profile {chapter.run['profile']} on {chapter.run['date']}"
    )
    remark = (
        f"*A reading copy of {own}, {ran}: its numbers and references are filled in.*"
    )
    notebook.cells.insert(1, new_markdown_cell(remark, id="reading-copy"))
    language = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    kernel = {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    }
    notebook.metadata = NotebookNode(kernelspec=kernel, language_info=language)
    return notebook


def _parts(cell: NotebookNode, chapter: ExecutedChapter) -> Iterator[NotebookNode]:
    """A cell as the copy has it, and behind it the captions and tables that it made.

    A repository's page unfolds hidden code, so of a hidden cell only what it shows is
    there.
    """
    if cell.cell_type == "markdown":
        cell.pop("attachments", None)  # embedded
        if "question" in tags(cell):
            quoted = "\n".join(
                f"> {line}".rstrip() for line in cell.source.splitlines()
            )
            cell.source = f"> **{question_words(cell.metadata)}**\n>\n{quoted}"
        if cell.source.strip():
            yield cell
        return
    floats = [
        pair for kind in FLOATS for pair in outputs(cell, kind) if "label" in pair[1]
    ]
    shown = cell.outputs if HIDING.isdisjoint(tags(cell)) else []
    hidden = not {"remove-cell", "remove-input"}.isdisjoint(tags(cell))
    if "parameters" in tags(cell):
        for name in ("profile", "seed"):
            line = f"{name} = {json.dumps(chapter.run[name])}"
            cell.source = re.sub(rf"(?m)^{name} = .*", line, cell.source)
    if hidden:
        cell.source = "# …"
        shown = [output for output in shown if MIME not in output.get("data", {})]
    cell.outputs = [plain for output in shown for plain in _output(output)]
    if cell.outputs or not hidden:
        yield cell
    code = f" [code](../../notebooks/{chapter.name}.ipynb#cell-id={cell.id})" * hidden
    for place, (output, message) in enumerate(floats):
        if hidden and (picture := [*_output(output)]):
            drawn = f"{cell.id}-{place}-drawn"
            yield new_code_cell(f"# {message['number']}", id=drawn, outputs=picture)
        table = ""
        if "rows" in message:
            table = markdown_table(
                message["columns"], message["rows"], message["align"]
            )
        head = f'<a id="{message["label"]}"></a>**{message["number"]}.**'
        text = f"{head} {message['caption']}{code}\n\n{table}"
        yield new_markdown_cell(text.strip(), id=f"{cell.id}-{place}")


def _output(output: NotebookNode) -> Iterator[NotebookNode]:
    message = output.get("data", {}).get(MIME)
    if message is None:
        yield from [output] * is_shown(output)
    elif message["kind"] in ("figure", "animation"):
        # The caption stands below; who cannot see the picture hears its number first.
        data = {"image/png": output.data["image/png"], "text/plain": message["number"]}
        metadata = {
            kind: {"alt": message["number"]} for kind in ("image/png", "image/jpeg")
        }
        yield new_output("display_data", data=data, metadata=metadata)


def _fit(bundles: list[dict[str, str]]) -> None:
    """Make photographs JPEGs, in the best of the qualities with which they fit; in
    place.
    """
    large = [
        bundle
        for bundle in bundles
        if len(bundle.get("image/png", "")) * 3 / 4 > PHOTOGRAPHIC
    ]
    photos = [base64.b64decode(bundle.pop("image/png")) for bundle in large]
    for quality in QUALITIES:
        jpegs = [compress(photo, "JPEG", quality) for photo in photos]
        if sum(map(len, jpegs)) <= BYTES:
            break
    for bundle, jpeg in zip(large, jpegs, strict=True):
        bundle["image/jpeg"] = base64.b64encode(jpeg).decode()
