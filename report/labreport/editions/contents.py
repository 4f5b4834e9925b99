"""What executed notebooks hold: prose, its numbers and claims, labels, and the facts of
each run.
"""

import base64
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from textwrap import shorten
from typing import Any
from urllib.parse import unquote

from nbformat import NotebookNode
from PIL import Image

from labreport import LabreportError, paths
from labreport.editions import ReportError
from labreport.editions.sources import Source, read_citation_keys, tags
from labreport.notebook.beside import read_beside
from labreport.notebook.chapter import MIME
from labreport.notebook.expressions import find_placeholders, replace_placeholders
from labreport.notebook.outline import HIDING, Claim, Outline, claims_of
from labreport.notebook.prose import require_known, write_text
from labreport.notebook.syntax import Tree, first_line, nodes, parse, words

# What results.json has of a number.
NUMBER = ("expression", "text", "value", "cell")
# Kinds of messages, and what their labels begin with.
FLOATS = {"figure": "fig", "animation": "fig", "table": "tab"}


@dataclass(frozen=True)
class CheckedClaim:
    """A claim of the prose, and whether it held in the chapter's run."""

    claim: Claim
    holds: bool


@dataclass(frozen=True)
class ExecutedChapter:
    """An executed notebook, the facts of its run, and its prose: a tree for each of its
    `fragments`.

    numbers: of each placeholder its expression, text, value, the cell of code above it,
    and what stands beside it, as "published 27; in 12 runs 1 to 868"; a placeholder
    {{3}} in the prose stands for numbers[3]. The comment of a claim that is refuted
    becomes a span of the class "refuted" there.
    """

    name: str
    number: str
    notebook: NotebookNode
    prose: list[Tree]
    numbers: list[dict[str, Any]]
    run: dict[str, Any]
    claims: list[CheckedClaim]
    seconds: float

    @property
    def refuted(self) -> list[Claim]:
        """The claims that do not hold; none under the profile smoke, whose data are too
        few for any claim.
        """
        if self.run["profile"] == "smoke":
            return []
        return [checked.claim for checked in self.claims if not checked.holds]


@dataclass(frozen=True)
class Label:
    """The words of a label, as Figure 2.1, and its chapter."""

    words: str
    chapter: str


@dataclass
class Contents:
    """What prose may refer to, by label; the chapters; and the report's headlines, in
    the order of chapters.

    Of a headline: what `Chapter.headline` says of it, and chapter, cell, section (the
    label of the heading above it, None without one), profile and commit. refuted: a
    line for each sentence that its chapter's run contradicts.
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
            facts = {key: chapter.run[key] for key in ("profile", "commit")}
            numbers = [
                {key: number[key] for key in NUMBER} for number in chapter.numbers
            ]
            chapters[chapter.name] = facts | {"numbers": numbers}
        headlines = {headline["name"]: headline for headline in self.headlines}
        return {"chapters": chapters, "headlines": headlines}


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
    yield from (
        message for cell in notebook.cells for _, message in outputs(cell, kind)
    )


def fragments(notebook: NotebookNode) -> Iterator[tuple[int, Any, Any]]:
    """Where the report has Markdown, in reading order, as (a cell's place, container,
    key).

    These are cells, captions and cells of tables.
    """
    for place, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            yield place, cell, "source"
        if not HIDING.isdisjoint(tags(cell)):
            continue
        for message in (
            message for kind in FLOATS for _, message in outputs(cell, kind)
        ):
            yield place, message, "caption"
            for row in [message.get("columns", []), *message.get("rows", [])]:
                yield from ((place, row, column) for column in range(len(row)))


def collect(notebooks: Iterable[tuple[Source, NotebookNode]]) -> Contents:
    """All that the chapters hold.

    A ReportError for a placeholder without value, for a claim that is neither true nor
    false, for a label or a headline that is used twice, and for a headline's work that
    is not known.
    """
    contents = Contents()
    owners: dict[str, str] = {}
    works = {None, *read_citation_keys()}
    for source, notebook in notebooks:
        chapter = _read_chapter(source, notebook)
        contents.chapters.append(chapter)
        for label, named in _number_parts(chapter).labels.items():
            contents.labels[label] = Label(named["text"], chapter.name)
        contents.refuted += _describe_refuted(chapter)
        _mark_refuted(chapter)
        contents.headlines += _read_headlines(chapter, owners, works)
    return contents


def colophon(chapter: ExecutedChapter) -> dict[str, Any]:
    """What the last page says of a chapter's run."""
    parts = ("cpu", "cores", "threads", "settings", "platform", "python", "packages")
    machine = "; ".join(str(chapter.run[key]) for key in parts)
    titles = (
        words(node["c"][2]) for node in nodes(chapter.prose) if node["t"] == "Header"
    )
    seconds, title = chapter.seconds, next(titles, chapter.name)
    duration = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    facts = {
        "machine": machine,
        "title": title,
        "number": chapter.number,
        "duration": duration,
    }
    return {**chapter.run, **facts, "claims": len(chapter.claims)}


def day_of(contents: Contents) -> date:
    """The date of the last run, so that building again changes nothing."""
    return max(date.fromisoformat(chapter.run["date"]) for chapter in contents.chapters)


@contextmanager
def name_place(chapter: str, place: int, text: str) -> Iterator[None]:
    """Turn a LabreportError of the block into a ReportError that names the chapter, the
    cell's place and the text.
    """
    try:
        yield
    except LabreportError as error:
        raise ReportError(
            f"{chapter}, cell {place} ({first_line(text, 40)}): {error}"
        ) from error


def _read_chapter(source: Source, notebook: NotebookNode) -> ExecutedChapter:
    runs = list(messages(notebook, "chapter"))
    if [run["name"] for run in runs] != [source.name]:
        got = ", ".join(f"Chapter({run['name']!r})" for run in runs) or "none"
        wanted = f"Chapter({source.name!r}, profile) once in {source.path.name}"
        raise ReportError(f"expected {wanted}, got {got}; name it after the file.")
    prose, numbers = _read_prose(source.name, notebook)
    claims = _read_claims(source.name, notebook, prose)
    told = prose, numbers, runs[0], claims, notebook.metadata.labreport["seconds"]
    return ExecutedChapter(source.name, source.number, notebook, *told)


def _read_prose(
    chapter: str, notebook: NotebookNode
) -> tuple[list[Tree], list[dict[str, Any]]]:
    """A tree for each of the notebook's `fragments`, and what its placeholders stand
    for.
    """
    numbers: list[dict[str, Any]] = []
    above, said_beside = _cells_above(notebook), read_beside(chapter)

    # Markdown would change what stands between the braces, so that it is read with the
    # number's place instead.
    def number(inner: str, place: int) -> str:
        told = (message["values"] for _, message in outputs(above[place], "values"))
        values: dict[str, Any] = next(told, {})
        found = values.get(inner, {"error": "no value of the cell of code above"})
        if "error" in found:
            raise ReportError(
                f"expected a value of {{{{{inner}}}}}, got {found['error']}"
            )
        beside = said_beside.get((above[place].id, inner), "")
        numbers.append(
            {"expression": inner, **found, "cell": above[place].id, "beside": beside}
        )
        return f"{{{{{len(numbers) - 1}}}}}"

    texts, places = [], []
    for place, box, key in fragments(notebook):
        places.append(f"{chapter}, cell {place}")
        with name_place(chapter, place, box[key]):
            if key == "source":
                texts.append(
                    replace_placeholders(box.source, partial(number, place=place))
                )
            elif find_placeholders(box[key]):
                wanted = "a caption or a cell of a table without placeholders"
                raise ReportError(
                    f"expected {wanted}, got {box[key]}; use an f-string."
                )
            else:
                texts.append(write_text(box[key]))
    return parse(texts, places), numbers


def _read_claims(
    chapter: str, notebook: NotebookNode, prose: list[Tree]
) -> list[CheckedClaim]:
    """The claims of a chapter's prose, each with what the cell of code above it said of
    it.
    """
    checked = []
    above = _cells_above(notebook)
    for (place, box, key), tree in zip(fragments(notebook), prose, strict=True):
        if key != "source":
            continue
        told = [
            claim
            for _, message in outputs(above[place], "values")
            for claim in message["claims"]
        ]
        verdicts = {claim["claim"]: claim for claim in told}
        for claim in claims_of(tree):
            verdict = verdicts.get(
                claim.expression, {"error": "no cell of code above it"}
            )
            if "error" in verdict:
                where = f"{chapter}, cell {place} ({first_line(box.source, 40)})"
                wanted = f"the claim {claim.expression!r} to be true or false"
                remedy = "correct it or the cell above"
                raise ReportError(
                    f"{where}: expected {wanted}, got {verdict['error']}; {remedy}."
                )
            checked.append(CheckedClaim(claim, verdict["holds"]))
    return checked


def _cells_above(notebook: NotebookNode) -> dict[int, NotebookNode]:
    """By the place of each cell the last cell of code down to it, one without outputs
    where there is none.
    """
    above: dict[int, NotebookNode] = {}
    last = NotebookNode(id="")
    for place, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            last = cell
        above[place] = last
    return above


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
                where = f"{paths.chapter_words(chapter.number)}, Section {number} {words(title)}"
        elif id(node) in refuted:
            claim = refuted[id(node)]
            sentence = replace_placeholders(
                claim.sentence, lambda place: chapter.numbers[int(place)]["text"]
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
    chapter: ExecutedChapter, owners: Any, works: Any
) -> Iterator[dict[str, Any]]:
    """A chapter's headlines, once its headings have labels.

    owners: the cells of all headlines so far, by name. works: the keys that a headline
    may name, and None.
    """
    origin = {"chapter": chapter.name, "section": None}
    origin |= {key: chapter.run[key] for key in ("profile", "commit")}
    places = (place for place, *_ in fragments(chapter.notebook))
    trees = dict(zip(places, chapter.prose, strict=True))
    for place, cell in enumerate(chapter.notebook.cells, start=1):
        for node in nodes(trees.get(place, [])):
            if node["t"] == "Header":
                origin["section"] = node["c"][1][0] or origin["section"]
        for _, headline in outputs(cell, "headline"):
            owner, other = _owner(chapter, place), owners.get(headline["name"])
            if other:
                raise _used_twice(headline["name"], other, owner)
            with name_place(chapter.name, place, cell.source):
                require_known(headline["work"], None, (), works)
            owners[headline["name"]] = owner
            yield {**headline, **origin, "cell": cell.id}


def _number_parts(chapter: ExecutedChapter) -> Outline:
    """The labels of a chapter; its prose, figures and tables get their numbers in
    place.
    """
    outline = Outline(chapter.number)
    for (place, box, key), tree in zip(
        fragments(chapter.notebook), chapter.prose, strict=True
    ):
        with name_place(chapter.name, place, box[key]):
            outline.number_prose(tree, _owner(chapter, place))
            _embed_pictures(
                tree, chapter.notebook.cells[place - 1].get("attachments", {})
            )
        if key == "caption":
            named = FLOATS[box["kind"]], box["name"], _owner(chapter, place)
            box["label"], box["number"] = outline.number_float(*named)
    for label, other in outline.duplicates.items():
        raise _used_twice(label, outline.labels[label]["cell"], other)
    return outline


def _embed_pictures(tree: Tree, attachments: dict[str, Any]) -> None:
    """Replace the target of each picture by a data: URL, in place.

    attachments: of the cell. Raises ReportError for what is neither attached to it nor
    a PNG or JPEG of the report.
    """
    for target in (node["c"][2] for node in nodes(tree) if node["t"] == "Image"):
        attached = attachments.get(unquote(target[0]).removeprefix("attachment:"), {})
        path = (paths.notebooks() / unquote(target[0])).resolve()
        try:
            if not attached and not path.is_relative_to(paths.project().resolve()):
                raise FileNotFoundError(path)
            encoded = (
                "".join(attached.values())
                or base64.b64encode(path.read_bytes()).decode()
            )
            content = io.BytesIO(base64.b64decode(encoded))
            with Image.open(content, formats=("PNG", "JPEG")) as picture:
                kind = f"{picture.format}".lower()
        except (OSError, ValueError) as error:
            wanted = "a PNG or JPEG of the report, named from the notebook's folder, or one attached to the cell"
            raise ReportError(
                f"expected {wanted}, got {target[0][:60]}; save it there."
            ) from error
        target[0] = f"data:image/{kind};base64,{encoded}"


def _owner(chapter: ExecutedChapter, place: int) -> str:
    return _name_cell(chapter.name, place, chapter.notebook.cells[place - 1])


def _name_cell(chapter: str, place: int, cell: NotebookNode) -> str:
    return f"cell {place} of {chapter} ({first_line(cell.source, 40)})"


def _used_twice(name: str, owner: str, other: str) -> ReportError:
    return ReportError(
        f"expected one use of the name {name}, got {owner} and {other}; rename one."
    )
