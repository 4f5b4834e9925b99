"""A notebook whose Markdown has the words of references, citations and numbers: what
JupyterLab exports, and what a repository's page shows.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from labreport.document import ELEMENT, PIECE, Document
from labreport.expressions import find_claim, one_line
from labreport.live import FALSE
from labreport.messages import FLOATS, MIME
from labreport.numbering import Heading, full_label
from labreport.pandoc import Tree, write

_LABEL = re.compile(r"\s*\\label\{eq-([^}]*)\}")


@dataclass(frozen=True)
class Filler:
    """Writes the Markdown of a chapter in words.

    values: the texts of placeholders by the id of their cell and the placeholder.
    refuted: the claims that do not hold, by both in the same way.
    """

    document: Document
    values: Mapping[str, str]
    refuted: Collection[str] = ()

    def fill(self, markdown: str, cell: str, headings: Iterable[Heading] = ()) -> str:
        """Fill in a text of the cell with that id; code stays as it is."""
        answers = self.document.answers
        numbered = iter(headings)

        def write_piece(match: re.Match[str]) -> str:
            if match["inner"]:
                return self.values.get(f"{cell} {one_line(match['inner'])}", "–")
            if match["token"]:
                token = match["token"]
                if token.startswith("[") and one_line(token) not in answers:  # a link
                    return "[" + PIECE.sub(write_piece, token[1:])
                return answers.get(one_line(token), token)
            if match["comment"]:
                claim = find_claim(match["comment"])
                is_refuted = f"{cell} {claim}" in self.refuted
                return f"**[{FALSE}.]**" if is_refuted else ""
            if match["tex"]:
                return self._write_equation(match["tex"])
            if match["tag"]:
                is_element = ELEMENT.fullmatch(match["tag"])
                return match["tag"] if is_element else f"\\{match['tag']}"
            if match["heading"]:
                heading = next(numbered, None)
                if heading is None:
                    return match[0]
                return f"{match['heading']}{anchor(heading.label)}{heading.number} "
            return match[0] if match["fence"] or match["tick"] else ""

        return PIECE.sub(write_piece, markdown)

    def caption(self, label: str) -> str:
        """Return the caption of a figure or a table as the code has it now; "" if code
        makes it.
        """
        for part in self.document.parts:
            for shown in part.floats:
                number = self.document.source.number
                own = full_label(shown.kind, number, shown.name)
                if shown.written and label == own:
                    return f"**{self.document.labels[label].words}:** {shown.written}"
        return ""

    def _write_equation(self, tex: str) -> str:
        """Write a formula on lines of its own, with its number if it has a label."""
        named = _LABEL.search(tex)
        if not named:
            return f"$${tex}$$"
        label = full_label("eq", self.document.source.number, named[1])
        number = self.document.labels[label].number
        formula = _LABEL.sub("", tex).strip()
        return f"{anchor(label)}\n\n$$ {formula} \\tag{{{number}}} $$"


def anchor(label: str) -> str:
    """What links to a label lead to."""
    return f'<a id="{label}"></a>'


def fill_notebook(
    notebook: NotebookNode, filler: Filler, works: Mapping[str, Tree]
) -> None:
    """Fill in a chapter's notebook, in place, and take out of its outputs what only a
    page's script or a build reads. At its end stand the works that it cites.
    """
    headings = {part.cell.id: part.headings for part in filler.document.parts}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            numbered = headings.get(cell.id, [])
            cell.source = filler.fill(cell.source, cell.id, numbered)
        elif cell.cell_type == "code":
            cell.outputs = _fill_outputs(cell, filler)
    if works:
        text = "## Bibliography"
        written = write(list(works.values()), "commonmark", ["--wrap=preserve"])
        for key, work in zip(works, written, strict=True):
            text += f"\n\n{anchor(f'ref-{key}')}{work}"
        notebook.cells.append(new_markdown_cell(text, id="bibliography"))


def _fill_outputs(cell: NotebookNode, filler: Filler) -> list[NotebookNode]:
    filled: list[NotebookNode] = []
    label = ""
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        message = data.pop(MIME, {"kind": ""})
        kind = message["kind"]
        if kind in FLOATS:
            number = filler.document.source.number
            label = full_label(FLOATS[kind], number, message["name"])
        if kind == "caption":
            caption = filler.caption(label) or data["text/markdown"]
            data["text/markdown"] = f"{anchor(label)}{caption}"
        if kind and "text/markdown" in data:
            data["text/markdown"] = filler.fill(data["text/markdown"], cell.id)
        if kind == "values":
            marks = re.findall(r'<p class="labreport-false">.*?</p>', data["text/html"])
            data["text/html"] = "\n".join(marks)
        if kind != "chapter" and data.get("text/html") != "":
            filled.append(output)
    return filled
