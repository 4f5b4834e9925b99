"""Read an executed notebook: its prose, the numbers and claims there, its labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, NamedTuple
from urllib.parse import unquote

from nbformat import NotebookNode

from labreport import expected
from labreport.chapters import chapter_words
from labreport.editions.outputs import (
    fragments,
    locate_errors,
    messages,
    outputs,
)
from labreport.editions.pictures import embed_pictures
from labreport.editions.sources import Source
from labreport.notebook.beside import read_beside
from labreport.notebook.claims import Claim, claims_of
from labreport.notebook.expressions import find_placeholders, replace_placeholders
from labreport.notebook.messages import FLOATS, Description, Values
from labreport.notebook.numbering import Numbering, read_heading
from labreport.notebook.references import write_text
from labreport.notebook.syntax import Tree, nodes, parse
from labreport.runs import Run

# None may be there, or it failed.
_MISSING = "no value from a cell of code above"


@dataclass(frozen=True)
class Number:
    """The value of a placeholder.

    cell: the id of the cell of code above it. beside: what it was elsewhere, such as
    "published 27; in 12 runs 1 to 868".
    """

    expression: str
    text: str
    value: Any
    cell: str
    beside: str = ""


class Piece(NamedTuple):
    """The tree of one of a notebook's `fragments`, and of a caption the label and the
    number of its figure or table, ("fig-1-cat", "Figure 1.1").
    """

    tree: Tree
    part: tuple[str, str] | None


@dataclass(frozen=True)
class ExecutedChapter:
    """An executed notebook.

    description: what `Chapter` says of the run. prose: a piece for each of its
    `fragments`; the trees have all numbers of headings and equations. A placeholder
    {{3}} there stands for numbers[3], and the comment of a claim that is refuted is a
    span of the class "refuted". numbering: has the labels of the chapter. num_claims:
    how many claims were checked. refuted: a line for each that does not hold; under the
    profile smoke there are none, since it has too few data for any claim.
    """

    name: str
    number: str
    notebook: NotebookNode
    description: Description
    prose: list[Piece]
    numbers: list[Number]
    numbering: Numbering
    num_claims: int
    refuted: list[str]
    seconds: float


class CodeAbove(NamedTuple):
    """A cell of code, and what its message says of the prose below it."""

    cell: str
    said: Values


def read_chapter(source: Source, notebook: NotebookNode, run: Run) -> ExecutedChapter:
    """Read the notebook of a chapter as that run executed it.

    Raises LabreportError for a profile or a seed that is not the run's, for a
    placeholder without value, for a claim that is neither true nor false, and for a
    label that is used twice.
    """
    description = _read_description(source, notebook, run)
    above = _read_code_above(notebook)
    # These trees are changed until the chapter is made of them, and never after.
    trees, numbers = _read_prose(source.name, notebook, above)
    numbering = Numbering(source.number, source.name)
    prose: list[Piece] = []
    refuted: list[Claim] = []
    for fragment, tree in zip(fragments(notebook), trees, strict=True):
        position = fragment.position
        part = None
        with locate_errors(source.name, fragment):
            refuted += _find_refuted(tree, above[position])
            numbering.number_prose(tree, position)
            if fragment.key == "source":
                embed_pictures(tree, fragment.box.get("attachments", {}))
            elif fragment.key == "caption":
                kind = FLOATS[fragment.box["kind"]]
                name = fragment.box["name"]
                part = numbering.number_float(kind, name, position)
        prose.append(Piece(tree, part))
    if description["profile"] == "smoke":
        refuted = []
    return ExecutedChapter(
        name=source.name,
        number=source.number,
        notebook=notebook,
        description=description,
        prose=prose,
        numbers=numbers,
        numbering=numbering,
        num_claims=sum(len(said["claims"]) for _, said in messages(notebook, "values")),
        refuted=_mark_refuted(source.number, trees, numbers, refuted),
        seconds=notebook.metadata.labreport["seconds"],
    )


def _read_description(source: Source, notebook: NotebookNode, run: Run) -> Description:
    descriptions = [message for _, message in messages(notebook, "chapter")]
    write = "Chapter({name!r}, {profile!r}, {seed})".format
    calls = [write(**said) for said in descriptions]
    wanted = write(name=source.name, profile=run.profile, seed=run.seed)
    if calls != [wanted]:
        raise expected(
            f"{wanted} once in the run of {source.path.name}",
            ", ".join(calls) or "none",
            f"write Chapter({source.name!r}, profile, seed)",
        )
    return descriptions[0]


def _read_code_above(notebook: NotebookNode) -> dict[int, CodeAbove]:
    """Find the last cell of code down to each cell, by the cell's position."""
    above: dict[int, CodeAbove] = {}
    nothing: Values = {"values": {}, "claims": []}
    last = CodeAbove("", nothing)
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            last = CodeAbove(cell.id, nothing)
            for _, said in outputs(cell, "values"):
                last = CodeAbove(cell.id, said)
        above[position] = last
    return above


def _read_prose(
    chapter: str, notebook: NotebookNode, above: Mapping[int, CodeAbove]
) -> tuple[list[Tree], list[Number]]:
    """Parse each of the notebook's `fragments`.

    Returns their trees, and what the placeholders in them stand for.
    """
    numbers: list[Number] = []
    texts: list[str] = []
    cells: list[str] = []
    beside = read_beside(chapter)
    for fragment in fragments(notebook):
        text = fragment.text
        with locate_errors(chapter, fragment):
            if fragment.key == "source":
                code = above[fragment.position]
                text = _take_numbers(text, code, beside, numbers)
            elif find_placeholders(text):
                raise expected(
                    "a caption or a cell of a table without placeholders",
                    text,
                    "use an f-string",
                )
            else:
                text = write_text(text)
        texts.append(text)
        cells.append(f"{chapter}, cell {fragment.position}")
    trees = parse(texts, cells)
    for fragment, tree in zip(fragments(notebook), trees, strict=True):
        with locate_errors(chapter, fragment):
            require_in_text(tree, fragment.text, numbers)
    return trees, numbers


def require_in_text(tree: Any, written: str, numbers: list[Number]) -> None:
    """Raise LabreportError for a placeholder in code, in a link's target or in HTML,
    where no number is written.

    written: the Markdown of the tree; code that has {{0}} there is as the author wants.
    """
    if isinstance(tree, str):
        # Pandoc writes the braces of a target as %7B and %7D.
        for index in find_placeholders(unquote(tree)):
            if index.isdigit() and f"{{{{{index}}}}}" not in written:
                raise expected(
                    "a placeholder in a sentence",
                    f"{{{{{numbers[int(index)].expression}}}}} in a block of code, a "
                    "link or HTML",
                    "write it beside",
                )
    elif isinstance(tree, dict) and tree.get("t") != "Str":
        require_in_text(list(tree.values()), written, numbers)
    elif isinstance(tree, list):
        for part in tree:
            require_in_text(part, written, numbers)


def _take_numbers(
    markdown: str,
    above: CodeAbove,
    beside: Mapping[tuple[str, str], str],
    numbers: list[Number],
) -> str:
    """Append to `numbers` what the placeholders stand for, and write {{index}} for
    each, its index there.

    Markdown would change what stands between the braces.
    """

    def take(inner: str) -> str:
        value = above.said["values"].get(inner, {"error": _MISSING})
        if "error" in value:
            got = value["error"].removesuffix(".")
            remedy = "correct it or the cell above"
            raise expected(f"a value of {{{{{inner}}}}}", got, remedy)
        elsewhere = beside.get((above.cell, inner), "")
        number = Number(inner, value["text"], value["value"], above.cell, elsewhere)
        numbers.append(number)
        return f"{{{{{len(numbers) - 1}}}}}"

    return replace_placeholders(markdown, take)


def _find_refuted(tree: Tree, above: CodeAbove) -> list[Claim]:
    """Find the claims of a tree that do not hold."""
    verdicts = {verdict["claim"]: verdict for verdict in above.said["claims"]}
    refuted = []
    for claim in claims_of(tree):
        verdict = verdicts.get(claim.expression, {"error": _MISSING})
        if "error" in verdict:
            raise expected(
                f"the claim {claim.expression!r} to be true or false",
                verdict["error"],
                "correct it or the cell above",
            )
        if not verdict["holds"]:
            refuted.append(claim)
    return refuted


def _mark_refuted(
    number: str, trees: list[Tree], numbers: list[Number], refuted: list[Claim]
) -> list[str]:
    """Turn the comment of each of these claims into a span of the class "refuted", in
    place.

    Returns a line for each: its section, how its sentence begins, the claim.
    """
    lines: list[str] = []
    claims = {id(claim.comment): claim for claim in refuted}
    title = chapter_words(number)
    where = title
    for node in list(nodes(trees)):
        if node["t"] == "Header":
            heading = read_heading(node)
            if "." in heading.number:
                where = f"{title}, Section {heading.number} {heading.title}"
        elif id(node) in claims:
            claim = claims[id(node)]
            sentence = replace_placeholders(
                claim.sentence, lambda index: numbers[int(index)].text
            )
            start = shorten(sentence, 70, placeholder="…")
            lines.append(f"{where}: “{start}” (claim: {claim.expression})")
            mark = {"t": "Span", "c": [["", ["refuted"], []], []]}
            is_block = node["t"] == "RawBlock"
            node.update({"t": "Para", "c": [mark]} if is_block else mark)
    return lines
