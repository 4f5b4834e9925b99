"""Read executed notebooks: their prose, its numbers and claims, labels, and the facts
of each run.
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

from labreport import LabreportError, paths
from labreport.editions import ReportError
from labreport.editions.sources import Source, read_citation_keys, tags
from labreport.notebook.beside import read_beside
from labreport.notebook.chapter import MIME
from labreport.notebook.expressions import find_placeholders, replace_placeholders
from labreport.notebook.outline import HIDING, Claim, Label, Outline, claims_of
from labreport.notebook.prose import require_known, write_text
from labreport.notebook.syntax import Tree, first_line, nodes, parse, words

# What the last page says of a machine.
MACHINE = ("cpu", "cores", "threads", "settings", "platform", "python", "packages")
# Kinds of messages, and what their labels begin with.
FLOATS = {"figure": "fig", "animation": "fig", "table": "tab"}


@dataclass(frozen=True)
class Number:
    """What a placeholder stands for.

    cell: the id of the cell of code above it. beside: what it was elsewhere, as
    "published 27; in 12 runs 1 to 868".
    """

    expression: str
    text: str
    value: Any
    cell: str
    beside: str = ""


@dataclass(frozen=True)
class CheckedClaim:
    """A claim of the prose, and whether it held in the chapter's run."""

    claim: Claim
    holds: bool


@dataclass(frozen=True)
class ExecutedChapter:
    """An executed notebook.

    prose: a tree for each of its `fragments`; a placeholder {{3}} there stands for
    numbers[3], and the comment of a claim that is refuted becomes a span of the class
    "refuted". run: what `Chapter` says of the run.
    """

    name: str
    number: str
    notebook: NotebookNode
    prose: list[Tree]
    numbers: list[Number]
    run: dict[str, Any]
    claims: list[CheckedClaim]
    seconds: float

    @property
    def refuted(self) -> list[Claim]:
        """The claims that do not hold; none under the profile smoke, which has too few
        data for any.
        """
        if self.run["profile"] == "smoke":
            return []
        return [checked.claim for checked in self.claims if not checked.holds]


@dataclass
class Contents:
    """The contents of a report.

    labels: what prose may refer to. headlines: in the order of chapters; of each what
    `Chapter.headline` says, and its chapter, cell, section (the label of the heading
    above it, or None), profile and commit. refuted: a line for each sentence that the
    run of its chapter contradicts.
    """

    labels: dict[str, Label] = field(default_factory=dict)
    chapters: list[ExecutedChapter] = field(default_factory=list)
    headlines: list[dict[str, Any]] = field(default_factory=list)
    refuted: list[str] = field(default_factory=list)

    @property
    def results(self) -> dict[str, Any]:
        """What results.json has: the headlines by name, and by chapter each placeholder
        with its text and value.
        """
        chapters = {}
        for chapter in self.chapters:
            numbers = [asdict(number) for number in chapter.numbers]
            for number in numbers:
                del number["beside"]
            chapters[chapter.name] = {**_origin(chapter), "numbers": numbers}
        headlines = {headline["name"]: headline for headline in self.headlines}
        return {"chapters": chapters, "headlines": headlines}


class Fragment(NamedTuple):
    """A piece of Markdown: `box[key]`, in the cell at that place, counted from 1.

    key: "source" of a cell, "caption" of a message, or the number of a table's column.
    """

    place: int
    box: Any
    key: Any

    @property
    def text(self) -> str:
        """The piece as it is in the notebook."""
        return self.box[self.key]


def outputs(cell: NotebookNode, kind: str) -> Iterator[tuple[NotebookNode, Any]]:
    """The outputs of a cell that carry a message of one kind to the report, each with
    its message.
    """
    for output in cell.get("outputs", []):
        message = output.get("data", {}).get(MIME)
        if message and message["kind"] == kind:
            yield output, message


def messages(notebook: NotebookNode, kind: str) -> Iterator[Any]:
    """The messages of one kind in a notebook."""
    for cell in notebook.cells:
        for _, message in outputs(cell, kind):
            yield message


def fragments(notebook: NotebookNode) -> Iterator[Fragment]:
    """Where the report has Markdown, in reading order: cells, captions and cells of
    tables.
    """
    for place, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            yield Fragment(place, cell, "source")
        if not HIDING.isdisjoint(tags(cell)):
            continue
        for kind in FLOATS:
            for _, message in outputs(cell, kind):
                yield Fragment(place, message, "caption")
                for row in [message.get("columns", []), *message.get("rows", [])]:
                    for column in range(len(row)):
                        yield Fragment(place, row, column)


def collect(notebooks: Iterable[tuple[Source, NotebookNode]]) -> Contents:
    """Collect all that the chapters hold.

    Raises ReportError for a placeholder without value, for a claim that is neither true
    nor false, for a label or a headline that is used twice, and for a headline's work
    that is not known.
    """
    contents = Contents()
    owners: dict[str, str] = {}
    works = read_citation_keys()
    for source, notebook in notebooks:
        chapter = _read_chapter(source, notebook)
        contents.chapters.append(chapter)
        contents.labels |= _number_parts(chapter).labels
        contents.refuted += _describe_refuted(chapter)
        _mark_refuted(chapter)
        contents.headlines += _read_headlines(chapter, owners, works)
    return contents


def colophon(chapter: ExecutedChapter) -> dict[str, Any]:
    """What the last page says of a chapter's run."""
    duration = f"{chapter.seconds:.0f} s"
    if chapter.seconds >= 90:
        duration = f"{chapter.seconds / 60:.0f} min"
    machine = "; ".join(str(chapter.run[key]) for key in MACHINE)
    return {
        **chapter.run,
        "machine": machine,
        "number": chapter.number,
        "duration": duration,
        "claims": len(chapter.claims),
    }


def day_of(contents: Contents) -> date:
    """The date of the last run, so that building again changes nothing."""
    return max(date.fromisoformat(chapter.run["date"]) for chapter in contents.chapters)


@contextmanager
def name_place(chapter: str, fragment: Fragment) -> Iterator[None]:
    """Turn a LabreportError of the block into a ReportError that names the chapter, the
    cell's place and the text.
    """
    try:
        yield
    except LabreportError as error:
        start = first_line(fragment.text, 40)
        where = f"{chapter}, cell {fragment.place} ({start})"
        raise ReportError(f"{where}: {error}") from error


def _read_chapter(source: Source, notebook: NotebookNode) -> ExecutedChapter:
    runs = list(messages(notebook, "chapter"))
    if [run["name"] for run in runs] != [source.name]:
        got = ", ".join(f"Chapter({run['name']!r})" for run in runs) or "none"
        wanted = f"Chapter({source.name!r}, profile) once in {source.path.name}"
        raise ReportError(f"expected {wanted}, got {got}; name it after the file.")
    prose, numbers = _read_prose(source.name, notebook)
    return ExecutedChapter(
        name=source.name,
        number=source.number,
        notebook=notebook,
        prose=prose,
        numbers=numbers,
        run=runs[0],
        claims=_read_claims(source.name, notebook, prose),
        seconds=notebook.metadata.labreport["seconds"],
    )


@dataclass(frozen=True)
class CodeAbove:
    """A cell of code, and what it says of the prose below it: values by placeholder,
    verdicts by claim.
    """

    cell: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    verdicts: dict[str, Any] = field(default_factory=dict)


def _read_code_above(notebook: NotebookNode) -> dict[int, CodeAbove]:
    """The last cell of code down to each cell, by the cell's place."""
    above: dict[int, CodeAbove] = {}
    last = CodeAbove()
    for place, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            last = CodeAbove(cell.id)
            for _, message in outputs(cell, "values"):
                last.values.update(message["values"])
                for verdict in message["claims"]:
                    last.verdicts[verdict["claim"]] = verdict
        above[place] = last
    return above


def _read_prose(
    chapter: str, notebook: NotebookNode
) -> tuple[list[Tree], list[Number]]:
    """A tree for each of the notebook's `fragments`, and what its placeholders stand
    for.
    """
    numbers: list[Number] = []
    texts: list[str] = []
    places: list[str] = []
    above = _read_code_above(notebook)
    beside = read_beside(chapter)
    for fragment in fragments(notebook):
        text = fragment.text
        with name_place(chapter, fragment):
            if fragment.key == "source":
                text = _take_numbers(text, above[fragment.place], beside, numbers)
            elif find_placeholders(text):
                wanted = "a caption or a cell of a table without placeholders"
                raise ReportError(f"expected {wanted}, got {text}; use an f-string.")
            else:
                text = write_text(text)
        texts.append(text)
        places.append(f"{chapter}, cell {fragment.place}")
    return parse(texts, places), numbers


def _take_numbers(
    markdown: str,
    above: CodeAbove,
    beside: Mapping[tuple[str, str], str],
    numbers: list[Number],
) -> str:
    """Append to `numbers` what the placeholders stand for, and write {{its place}} for
    each.

    Markdown would change what stands between the braces.
    """

    def take(inner: str) -> str:
        missing = {"error": "no value of the cell of code above"}
        value = above.values.get(inner, missing)
        if "error" in value:
            raise ReportError(
                f"expected a value of {{{{{inner}}}}}, got {value['error']}"
            )
        elsewhere = beside.get((above.cell, inner), "")
        numbers.append(
            Number(inner, value["text"], value["value"], above.cell, elsewhere)
        )
        return f"{{{{{len(numbers) - 1}}}}}"

    return replace_placeholders(markdown, take)


def _read_claims(
    chapter: str, notebook: NotebookNode, prose: list[Tree]
) -> list[CheckedClaim]:
    """The claims of a chapter's prose, with the verdicts of the cells of code above."""
    checked: list[CheckedClaim] = []
    above = _read_code_above(notebook)
    missing = {"error": "no cell of code above it"}
    for fragment, tree in zip(fragments(notebook), prose, strict=True):
        if fragment.key != "source":
            continue
        for claim in claims_of(tree):
            verdict = above[fragment.place].verdicts.get(claim.expression, missing)
            with name_place(chapter, fragment):
                _require_verdict(claim, verdict)
            checked.append(CheckedClaim(claim, verdict["holds"]))
    return checked


def _require_verdict(claim: Claim, verdict: Mapping[str, Any]) -> None:
    if "error" in verdict:
        wanted = f"the claim {claim.expression!r} to be true or false"
        remedy = "correct it or the cell above"
        raise ReportError(f"expected {wanted}, got {verdict['error']}; {remedy}.")


def _describe_refuted(chapter: ExecutedChapter) -> Iterator[str]:
    """A line for each sentence that its claim refutes: where it stands, how it begins,
    the claim.
    """
    refuted = {id(claim.comment): claim for claim in chapter.refuted}
    where = paths.chapter_words(chapter.number)
    for node in nodes(chapter.prose):
        if node["t"] == "Header":
            _, (_, _, attributes), title = node["c"]
            number = dict(attributes).get("number", "")
            if "." in number:
                section = f"Section {number} {words(title)}"
                where = f"{paths.chapter_words(chapter.number)}, {section}"
        elif id(node) in refuted:
            claim = refuted[id(node)]
            sentence = replace_placeholders(
                claim.sentence, lambda place: chapter.numbers[int(place)].text
            )
            start = shorten(sentence, 70, placeholder="…")
            yield f"{where}: “{start}” (claim: {claim.expression})"


def _mark_refuted(chapter: ExecutedChapter) -> None:
    """Turn the comment of each claim that does not hold into a span of the class
    "refuted", in place.
    """
    for claim in chapter.refuted:
        mark = {"t": "Span", "c": [["", ["refuted"], []], []]}
        is_block = claim.comment["t"] == "RawBlock"
        claim.comment.update({"t": "Para", "c": [mark]} if is_block else mark)


def _read_headlines(
    chapter: ExecutedChapter, owners: dict[str, str], works: set[str]
) -> Iterator[dict[str, Any]]:
    """A chapter's headlines, once its headings have labels.

    owners: the cells of all headlines so far, by name. works: the keys that a headline
    may name.
    """
    origin = {"chapter": chapter.name, "section": None, **_origin(chapter)}
    places = [fragment.place for fragment in fragments(chapter.notebook)]
    trees = dict(zip(places, chapter.prose, strict=True))
    for place, cell in enumerate(chapter.notebook.cells, start=1):
        for node in nodes(trees.get(place, [])):
            if node["t"] == "Header":
                origin["section"] = node["c"][1][0] or origin["section"]
        owner = _owner(chapter, place)
        for _, headline in outputs(cell, "headline"):
            name = headline["name"]
            if name in owners:
                raise ReportError(
                    f"expected one use of the name {name}, got {owners[name]} and "
                    f"{owner}; rename one."
                )
            if headline["work"]:
                with name_place(chapter.name, Fragment(place, cell, "source")):
                    require_known(headline["work"], None, (), works)
            owners[name] = owner
            yield {**headline, **origin, "cell": cell.id}


def _number_parts(chapter: ExecutedChapter) -> Outline:
    """Number a chapter's headings, equations, figures and tables in place.

    Returns its outline, which has their labels.
    """
    outline = Outline(chapter.number, chapter.name)
    pairs = zip(fragments(chapter.notebook), chapter.prose, strict=True)
    for fragment, tree in pairs:
        cell = chapter.notebook.cells[fragment.place - 1]
        with name_place(chapter.name, fragment):
            outline.number_prose(tree, fragment.place)
            _embed_pictures(tree, cell.get("attachments", {}))
        if fragment.key == "caption":
            message = fragment.box
            kind = FLOATS[message["kind"]]
            label, number = outline.number_float(kind, message["name"], fragment.place)
            message["label"] = label
            message["number"] = number
    for complaint in outline.duplicates.values():
        raise ReportError(f"{chapter.name}: {complaint}")
    return outline


def _embed_pictures(tree: Tree, attachments: dict[str, Any]) -> None:
    """Replace the target of each picture by a data: URL, in place.

    attachments: of the cell. Raises ReportError for what is neither attached to it nor
    a PNG or JPEG of the report.
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
            raise ReportError(
                f"expected {wanted}, got {target[0][:60]}; save it there."
            ) from error
        target[0] = f"data:image/{kind};base64,{encoded}"


def _read_picture(name: str, attachments: dict[str, Any]) -> str:
    """A picture in base64, from the cell's attachments or from a file of the report."""
    attached = attachments.get(name.removeprefix("attachment:"))
    if attached:
        return "".join(attached.values())
    path = (paths.notebooks() / name).resolve()
    if not path.is_relative_to(paths.project().resolve()):
        raise FileNotFoundError(path)
    return base64.b64encode(path.read_bytes()).decode()


def _origin(chapter: ExecutedChapter) -> dict[str, Any]:
    return {"profile": chapter.run["profile"], "commit": chapter.run["commit"]}


def _owner(chapter: ExecutedChapter, place: int) -> str:
    source = chapter.notebook.cells[place - 1].source
    return f"cell {place} of {chapter.name} ({first_line(source, 40)})"
