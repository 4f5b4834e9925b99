"""Read executed notebooks: their prose, its numbers and claims, their labels, and what
each says of its run.
"""

import base64
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from textwrap import shorten
from typing import Any, NamedTuple
from urllib.parse import unquote

from nbformat import NotebookNode
from PIL import Image

from labreport import LabreportError, expected, first_line, paths
from labreport.chapters import chapter_words, tags
from labreport.editions.sources import Source, read_citation_keys
from labreport.notebook.beside import read_beside
from labreport.notebook.claims import Claim, claims_of
from labreport.notebook.expressions import find_placeholders, replace_placeholders
from labreport.notebook.messages import MIME, Description, Evaluated, Verdict
from labreport.notebook.numbering import Label, Numbering, read_heading
from labreport.notebook.outline import HIDING
from labreport.notebook.references import require_known, write_text
from labreport.notebook.syntax import Tree, nodes, parse
from labreport.runs import Run

# What the last page says of a machine.
MACHINE = ("cpu", "cores", "threads", "settings", "platform", "python", "packages")
# Kinds of messages, and what their labels begin with.
FLOATS = {"figure": "fig", "animation": "fig", "table": "tab"}


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


@dataclass(frozen=True)
class ExecutedChapter:
    """An executed notebook.

    prose: a tree for each of its `fragments`. A placeholder {{3}} there stands for
    numbers[3], and the comment of a claim that is refuted becomes a span of the class
    "refuted". description: what `Chapter` says of the run. num_claims: how many claims
    were checked. refuted: those that do not hold; under the profile smoke
    there are none, since it has too few data for any claim.
    """

    name: str
    number: str
    notebook: NotebookNode
    prose: list[Tree]
    numbers: list[Number]
    description: Description
    num_claims: int
    refuted: list[Claim]
    seconds: float


@dataclass
class Contents:
    """The contents of a report, as a run has made them.

    labels: those to which prose may refer. headlines: by name, in the order of
    chapters; each has what `Chapter.headline` says, and its chapter, cell, section (the
    label of the heading above it, or None), profile and commit. refuted: a line for
    each sentence that the run of its chapter contradicts. works: the keys of the
    bibliography.
    """

    run: Run
    labels: dict[str, Label] = field(default_factory=dict)
    chapters: list[ExecutedChapter] = field(default_factory=list)
    headlines: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuted: list[str] = field(default_factory=list)
    works: set[str] = field(default_factory=set)

    @property
    def results(self) -> dict[str, Any]:
        """Return the content of results.json.

        These are the headlines by name, for each chapter its placeholders with their
        text and value, and the sentences that the run contradicts.
        """
        chapters = {}
        for chapter in self.chapters:
            numbers = [asdict(number) for number in chapter.numbers]
            for number in numbers:
                del number["beside"]
            chapters[chapter.name] = {**_origin(chapter), "numbers": numbers}
        return {
            "chapters": chapters,
            "headlines": self.headlines,
            "refuted": self.refuted,
        }


class Fragment(NamedTuple):
    """A piece of Markdown, which is `box[key]`.

    position: that of its cell, counted from 1. box: the cell, a message, or a row of a
    table. key: "source", "caption", or the number of a column.
    """

    position: int
    box: Any
    key: Any

    @property
    def text(self) -> str:
        """Return the Markdown as it is in the notebook."""
        return self.box[self.key]


def outputs(cell: NotebookNode, *kinds: str) -> Iterator[tuple[NotebookNode, Any]]:
    """Yield the outputs of a cell that carry a message of these kinds to the report, in
    their order, each with its message.
    """
    for output in cell.get("outputs", []):
        message = output.get("data", {}).get(MIME)
        if message and message["kind"] in kinds:
            yield output, message


def messages(notebook: NotebookNode, *kinds: str) -> Iterator[tuple[NotebookNode, Any]]:
    """Yield the messages of these kinds in a notebook, each with its cell."""
    for cell in notebook.cells:
        for _, message in outputs(cell, *kinds):
            yield cell, message


def fragments(notebook: NotebookNode) -> Iterator[Fragment]:
    """Find the Markdown of the report, in reading order: cells, captions and cells of
    tables.
    """
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            yield Fragment(position, cell, "source")
        if not HIDING.isdisjoint(tags(cell)):
            continue
        for _, message in outputs(cell, *FLOATS):
            yield Fragment(position, message, "caption")
            for row in [message.get("columns", []), *message.get("rows", [])]:
                for column in range(len(row)):
                    yield Fragment(position, row, column)


def collect(run: Run, notebooks: Iterable[tuple[Source, NotebookNode]]) -> Contents:
    """Collect what the chapters contain, whose notebooks were executed in that run.

    Raises LabreportError for a placeholder without value, for a claim that is neither
    true nor false, for a label or a headline that is used twice, and for a headline
    that names a work that is not in the bibliography.
    """
    contents = Contents(run, works=read_citation_keys())
    for source, notebook in notebooks:
        chapter = _read_chapter(source, notebook)
        numbering = _number_parts(chapter)
        contents.chapters.append(chapter)
        contents.labels |= numbering.labels
        contents.refuted += _mark_refuted(chapter)
        _add_headlines(contents, chapter, numbering)
    return contents


def colophon(chapter: ExecutedChapter) -> dict[str, Any]:
    """Return what the last page says of a chapter's run."""
    duration = f"{chapter.seconds:.0f} s"
    if chapter.seconds >= 90:
        duration = f"{chapter.seconds / 60:.0f} min"
    described: dict[str, Any] = {**chapter.description}
    machine = "; ".join(str(described[key]) for key in MACHINE)
    return {
        **described,
        "machine": machine,
        "number": chapter.number,
        "duration": duration,
        "claims": chapter.num_claims,
    }


def day_of(contents: Contents) -> date:
    """Return the date of the last run, so that a second build changes nothing."""
    dates = [chapter.description["date"] for chapter in contents.chapters]
    return date.fromisoformat(max(dates))


@contextmanager
def locate_errors(chapter: str, fragment: Fragment) -> Iterator[None]:
    """Have a LabreportError of the block name the chapter, the position of the cell,
    and the text.
    """
    try:
        yield
    except LabreportError as error:
        start = first_line(fragment.text, 40)
        where = f"{chapter}, cell {fragment.position} ({start})"
        raise LabreportError(f"{where}: {error}") from error


def _read_chapter(source: Source, notebook: NotebookNode) -> ExecutedChapter:
    runs = [message for _, message in messages(notebook, "chapter")]
    if [run["name"] for run in runs] != [source.name]:
        got = ", ".join(f"Chapter({run['name']!r})" for run in runs) or "none"
        raise expected(
            f"Chapter({source.name!r}, profile) once in {source.path.name}",
            got,
            "name it after the file",
        )
    above = _read_code_above(notebook)
    prose, numbers = _read_prose(source.name, notebook, above)
    num_claims, refuted = _read_claims(source.name, notebook, prose, above)
    if runs[0]["profile"] == "smoke":
        refuted = []
    return ExecutedChapter(
        name=source.name,
        number=source.number,
        notebook=notebook,
        prose=prose,
        numbers=numbers,
        description=runs[0],
        num_claims=num_claims,
        refuted=refuted,
        seconds=notebook.metadata.labreport["seconds"],
    )


@dataclass(frozen=True)
class CodeAbove:
    """A cell of code, with the values of the placeholders and the verdicts on the
    claims of the prose below it.
    """

    cell: str = ""
    values: dict[str, Evaluated] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)


def _read_code_above(notebook: NotebookNode) -> dict[int, CodeAbove]:
    """Find the last cell of code down to each cell, by the cell's position."""
    above: dict[int, CodeAbove] = {}
    last = CodeAbove()
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            last = CodeAbove(cell.id)
            for _, message in outputs(cell, "values"):
                verdicts = {verdict["claim"]: verdict for verdict in message["claims"]}
                last = CodeAbove(cell.id, message["values"], verdicts)
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
    return parse(texts, cells), numbers


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
        missing = {"error": "no value of the cell of code above"}
        value = above.values.get(inner, missing)
        if "error" in value:
            got = value["error"].removesuffix(".")
            remedy = "correct it or the cell above"
            raise expected(f"a value of {{{{{inner}}}}}", got, remedy)
        elsewhere = beside.get((above.cell, inner), "")
        number = Number(inner, value["text"], value["value"], above.cell, elsewhere)
        numbers.append(number)
        return f"{{{{{len(numbers) - 1}}}}}"

    return replace_placeholders(markdown, take)


def _read_claims(
    chapter: str,
    notebook: NotebookNode,
    prose: list[Tree],
    above: Mapping[int, CodeAbove],
) -> tuple[int, list[Claim]]:
    """Return how many claims a chapter's prose has, and those that do not hold, by the
    verdicts of the cells of code above.
    """
    number = 0
    refuted: list[Claim] = []
    missing = {"error": "no cell of code above it"}
    for fragment, tree in zip(fragments(notebook), prose, strict=True):
        if fragment.key != "source":
            continue
        verdicts = above[fragment.position].verdicts
        for claim in claims_of(tree):
            verdict = verdicts.get(claim.expression, missing)
            if "error" in verdict:
                with locate_errors(chapter, fragment):
                    raise expected(
                        f"the claim {claim.expression!r} to be true or false",
                        verdict["error"],
                        "correct it or the cell above",
                    )
            number += 1
            if not verdict["holds"]:
                refuted.append(claim)
    return number, refuted


def _mark_refuted(chapter: ExecutedChapter) -> list[str]:
    """Turn the comment of each claim that does not hold into a span of the class
    "refuted", in place.

    Returns a line for each: its section, how its sentence begins, the claim.
    """
    lines: list[str] = []
    refuted = {id(claim.comment): claim for claim in chapter.refuted}
    title = chapter_words(chapter.number)
    where = title
    for node in list(nodes(chapter.prose)):
        if node["t"] == "Header":
            heading = read_heading(node)
            if "." in heading.number:
                where = f"{title}, Section {heading.number} {heading.title}"
        elif id(node) in refuted:
            claim = refuted[id(node)]
            sentence = replace_placeholders(
                claim.sentence, lambda index: chapter.numbers[int(index)].text
            )
            start = shorten(sentence, 70, placeholder="…")
            lines.append(f"{where}: “{start}” (claim: {claim.expression})")
            mark = {"t": "Span", "c": [["", ["refuted"], []], []]}
            is_block = node["t"] == "RawBlock"
            node.update({"t": "Para", "c": [mark]} if is_block else mark)
    return lines


def _add_headlines(
    contents: Contents, chapter: ExecutedChapter, numbering: Numbering
) -> None:
    """Add a chapter's headlines to the contents."""
    for position, cell in enumerate(chapter.notebook.cells, start=1):
        for _, headline in outputs(cell, "headline"):
            name = headline["name"]
            with locate_errors(chapter.name, Fragment(position, cell, "source")):
                if headline["work"]:
                    require_known(headline["work"], None, (), contents.works)
                if name in contents.headlines:
                    first = contents.headlines[name]["chapter"]
                    got = f"another one in {first}"
                    raise expected(f"one use of the name {name}", got, "rename one")
            contents.headlines[name] = {
                **headline,
                "chapter": chapter.name,
                "section": numbering.section_above(position),
                **_origin(chapter),
                "cell": cell.id,
            }


def _number_parts(chapter: ExecutedChapter) -> Numbering:
    """Number a chapter's headings, equations, figures and tables in place.

    Returns the numbering, which has their labels.
    """
    numbering = Numbering(chapter.number, chapter.name)
    pairs = zip(fragments(chapter.notebook), chapter.prose, strict=True)
    for fragment, tree in pairs:
        cell = chapter.notebook.cells[fragment.position - 1]
        with locate_errors(chapter.name, fragment):
            numbering.number_prose(tree, fragment.position)
            _embed_pictures(tree, cell.get("attachments", {}))
            if fragment.key == "caption":
                message = fragment.box
                kind = FLOATS[message["kind"]]
                named = numbering.number_float(kind, message["name"], fragment.position)
                message["label"], message["number"] = named
    return numbering


def _embed_pictures(tree: Tree, attachments: dict[str, Any]) -> None:
    """Replace the target of each picture by a data: URL, in place.

    attachments: those of the cell. Raises LabreportError for a target that is neither
    attached to it nor a PNG or JPEG of the report.
    """
    for node in nodes(tree):
        if node["t"] != "Image":
            continue
        target = node["c"][2]
        try:
            encoded = _read_picture(unquote(target[0]), attachments)
            content = io.BytesIO(base64.b64decode(encoded))
            with Image.open(content, formats=("PNG", "JPEG")) as picture:
                kind = str(picture.format).lower()
        except (OSError, ValueError) as error:
            wanted = "a PNG or JPEG of the report, named from the notebook's folder, "
            wanted += "or one attached to the cell"
            raise expected(wanted, target[0][:60], "save it there") from error
        target[0] = f"data:image/{kind};base64,{encoded}"


def _read_picture(name: str, attachments: dict[str, Any]) -> str:
    """Read a picture in base64, from the cell's attachments or from a file of the
    report.
    """
    attached = attachments.get(name.removeprefix("attachment:"))
    if attached:
        return "".join(attached.values())
    path = (paths.notebooks() / name).resolve()
    if not path.is_relative_to(paths.project().resolve()):
        raise FileNotFoundError(path)
    return base64.b64encode(path.read_bytes()).decode()


def _origin(chapter: ExecutedChapter) -> dict[str, Any]:
    described = chapter.description
    return {"profile": described["profile"], "commit": described["commit"]}
