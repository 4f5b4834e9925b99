"""Reading copies: executed notebooks in plain Markdown, numbers filled in, as a repository's page shows them."""

import base64
import io
from collections.abc import Iterator
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output
from PIL import Image

from dlapps.notebook.chapter import MIME, markdown_table
from dlapps.notebook.prose import citeproc
from dlapps.notebook.syntax import Node
from dlapps.report.contents import FLOATS, Contents, ExecutedChapter, Label, outputs
from dlapps.report.prose import Edition, link, question_facts, raw, write_prose
from dlapps.report.sources import tags

LANGUAGE = "commonmark+tex_math_dollars+pipe_tables+raw_html"
BYTES = 1_900_000  # that the pictures of a copy may take
PHOTOGRAPHIC = 150_000  # of a PNG: above, a figure holds photos, and may become smaller where all take too much
SCALES = (1, 0.8, 0.67, 0.5, 0.4)


def make_copies(contents: Contents) -> dict[str, NotebookNode]:
    """A notebook a chapter, by file name; a ReportError for an unknown number, reference or citation."""
    return {f"{chapter.name}.ipynb": _copy(chapter, contents) for chapter in contents.chapters}


def edition(chapter: str) -> Edition:
    """How the copy of that chapter writes references, equations and headings."""

    def refer(label: str, named: Label) -> Node:
        return link(named.words, f"#{label}" if named.chapter == chapter else f"{named.chapter}.ipynb")

    def equation(tex: str, label: str, number: str) -> Node:
        environment, body = tex.removeprefix("\\begin{").split("}", 1)
        body = body.removesuffix(f"\\end{{{environment}}}")
        if environment.rstrip("*") != "equation":
            inner = {"align": "aligned", "gather": "gathered", "multline": "gathered"}[environment.rstrip("*")]
            body = f"\\begin{{{inner}}}{body}\\end{{{inner}}}"
        tag = f"\\tag{{{number.strip('()')}}}" if number else ""
        return {"t": "Math", "c": [{"t": "DisplayMath"}, body.strip() + tag]}

    return Edition(refer, equation, heading=lambda number: [raw("html", f"{number} ")] * bool(number))


def _copy(chapter: ExecutedChapter, contents: Contents) -> NotebookNode:
    options = ["--wrap=preserve", "--metadata=link-citations:true", *citeproc()]
    notebook, _, works = write_prose(chapter, contents, edition(chapter.name), LANGUAGE, options)
    notebook.cells = [part for cell in notebook.cells for part in _parts(cell)]
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    _fit([output.data for output in shown if "data" in output])
    if works:
        notebook.cells.append(new_markdown_cell(f"## Bibliography\n\n{works}", id="bibliography"))
    remark = (
        f"*A reading copy of [{chapter.name}.ipynb](../../notebooks/{chapter.name}.ipynb), executed under the profile "
        f"{chapter.run['profile']} on {chapter.run['date']}: its numbers and references are filled in.*"
    )
    notebook.cells.insert(1, new_markdown_cell(remark, id="reading-copy"))
    language = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    notebook.metadata = NotebookNode(kernelspec=kernel, language_info=language)
    return notebook


def _parts(cell: NotebookNode) -> Iterator[NotebookNode]:
    """A cell as the copy has it, and behind it the captions and tables that it made."""
    if cell.cell_type == "markdown":
        if "question" in tags(cell):
            question = question_facts(cell)
            star = " ★" * bool(question.get("starred")) + " (bonus)" * bool(question.get("bonus"))
            quoted = "\n".join(f"> {line}".rstrip() for line in cell.source.splitlines())
            cell.source = f"> **Question {question['number']}{star}**\n>\n{quoted}"
        if cell.source.strip():
            yield cell
        return
    floats = [message for kind in FLOATS for _, message in outputs(cell, kind)]
    cell.outputs = [plain for output in cell.outputs for plain in _output(output)]
    if {"remove-cell", "remove-input"} & set(tags(cell)):
        cell.metadata["jupyter"] = {"source_hidden": True}
    yield cell
    for place, message in enumerate(floats):
        if "label" in message:
            table = ""
            if "rows" in message:
                table = markdown_table(message["columns"], message["rows"], message["align"])
            text = f'<a id="{message["label"]}"></a>**{message["number"]}.** {message["caption"]}\n\n{table}'
            yield new_markdown_cell(text.strip(), id=f"{cell.id}-{place}")


def _output(output: NotebookNode) -> Iterator[NotebookNode]:
    message = output.get("data", {}).get(MIME)
    if message is None:
        # What libraries say on stderr is of the machine, not of the chapter.
        yield from [output] * (output.get("name") != "stderr")
    elif message["kind"] in ("figure", "animation"):
        alt = message.get("alt", message["caption"])
        data = {"image/png": output.data["image/png"], "text/plain": alt}
        yield new_output("display_data", data=data, metadata={"image/png": {"alt": alt}})
    elif message["kind"] not in ("table", "values"):
        yield new_output("stream", text=output.data["text/plain"] + "\n")


def _fit(bundles: list[dict[str, Any]]) -> None:
    """Reduce pictures to a palette, which looks the same, and where all take too much, photos in size; in place."""
    shown = [bundle for bundle in bundles if "image/png" in bundle]
    pictures = [(bundle, base64.b64decode(bundle["image/png"])) for bundle in shown]
    for scale in SCALES:
        for bundle, png in pictures:
            if scale == 1 or len(bundle["image/png"]) > PHOTOGRAPHIC * scale**2:
                bundle["image/png"] = base64.b64encode(_with_palette(png, scale)).decode()
        if sum(len(bundle["image/png"]) for bundle, _ in pictures) <= BYTES:
            return


def _with_palette(png: bytes, scale: float) -> bytes:
    with Image.open(io.BytesIO(png)) as picture:
        size = (round(picture.width * scale), round(picture.height * scale))
        full = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    full.quantize(256, Image.Quantize.MEDIANCUT).save(file, "PNG", optimize=True)
    return file.getvalue()
