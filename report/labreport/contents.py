"""A report as a run has made it: chapters with their numbers, headlines, and what the
last page says.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from textwrap import shorten
from typing import Any, NamedTuple

from nbformat import NotebookNode

from labreport import LabreportError, expected, located
from labreport.document import (
    Document,
    Part,
    Text,
    parse_texts,
    resolve_texts,
    sentence_before,
    visibility,
    write_text,
)
from labreport.expressions import split_format, write_evaluated
from labreport.messages import FLOATS, MIME, outputs, places
from labreport.numbering import Label, chapter_words, read_heading
from labreport.pandoc import Node, nodes, span
from labreport.report import TEMPLATES, read_notebook, read_toml
from labreport.run import Run, read_seconds

RICH = {"text/html": "html", "text/markdown": "markdown", "text/latex": "markdown"}
_WAITS = "no value: no cell of code below it gives one"


@dataclass(frozen=True)
class Number:
    """The value of a placeholder; cell: the id of the cell of code that gave it."""

    expression: str
    text: str
    value: Any
    cell: str


class Given(NamedTuple):
    """What a cell of code gave to the prose: its message of the kind "values"."""

    position: int
    cell: str
    message: Mapping[str, Any]


@dataclass
class Chapter:
    """A chapter that ran.

    notebook: as it was read, with the outputs of its run. texts: by the position of
    their cell, and their index among its `places`. numbers: the values of placeholders
    by the position of their cell. refuted: a line for each claim that does not hold, whose
    comment has become a span of the class "refuted".
    """

    document: Document
    notebook: NotebookNode
    description: dict[str, Any]
    seconds: float
    texts: dict[tuple[int, int], Text] = field(default_factory=dict)
    numbers: dict[tuple[int, str], Number] = field(default_factory=dict)
    refuted: list[str] = field(default_factory=list)
    num_claims: int = 0

    @property
    def name(self) -> str:
        """Return the stem of its file."""
        return self.document.source.name

    @property
    def number(self) -> str:
        """Return its number, "2" or "A"."""
        return self.document.source.number

    @property
    def origin(self) -> dict[str, Any]:
        """Return what results.json says of its run."""
        return {key: self.description[key] for key in ("profile", "commit")}


@dataclass
class Contents:
    """The contents of a report.

    labels: those to which prose refers. works: all of the bibliography, by key.
    headlines: by name, each with its chapter, cell, section and origin. citations: of
    the works that they name, by key.
    """

    run: Run
    chapters: list[Chapter]
    labels: dict[str, Label]
    works: dict[str, Node]
    headlines: dict[str, dict[str, Any]] = field(default_factory=dict)
    citations: dict[str, Text] = field(default_factory=dict)

    @property
    def results(self) -> dict[str, Any]:
        """Return the content of results.json: the headlines by name, the numbers of
        each chapter, and the sentences that the run contradicts.
        """
        chapters: dict[str, Any] = {}
        for chapter in self.chapters:
            numbers = [asdict(number) for number in chapter.numbers.values()]
            chapters[chapter.name] = {**chapter.origin, "numbers": numbers}
        headlines = self.headlines
        return {"chapters": chapters, "headlines": headlines, "refuted": self.refuted}

    @property
    def refuted(self) -> list[str]:
        """Return a line for each sentence that the run contradicts."""
        lines: list[str] = []
        for chapter in self.chapters:
            lines += chapter.refuted
        return lines


def collect(run: Run, documents: Iterable[Document], works: dict[str, Node]) -> Contents:
    """Collect what the chapters contain that were executed in that run.

    Raises LabreportError for the first of these: a profile or a seed that is not the
    run's, a placeholder without value, a claim that is neither true nor false, a
    mistake in a caption or a table, a headline's name that is used twice.
    """
    contents = Contents(run, [], {}, works)
    texts: list[Text] = []
    for document in documents:
        chapter = _read_executed(document, run)
        contents.chapters.append(chapter)
        contents.labels |= document.labels
        _collect_texts(chapter)
        texts += [text for text in chapter.texts.values() if not text.tree]
        _add_headlines(contents, chapter)
    texts += contents.citations.values()
    mistakes = parse_texts(texts)
    bibliography = run.report.bibliography
    mistakes += resolve_texts(texts, contents.labels, bibliography)[0]
    for mistake in mistakes:
        raise LabreportError(mistake)
    for chapter in contents.chapters:
        _evaluate(chapter)
    return contents


def _read_executed(document: Document, run: Run) -> Chapter:
    source = document.source
    executed = read_notebook(run.executed(source.name))
    notebook = source.notebook
    for cell, ran in zip(_code(notebook), _code(executed), strict=True):
        cell.outputs = ran.outputs
    found = [said for cell in notebook.cells for _, said in outputs(cell, "chapter")]
    wanted = {"name": source.name, "profile": run.profile, "seed": run.seed}
    got = [{key: said[key] for key in wanted} for said in found]
    if got != [wanted]:
        raise expected(
            f"Chapter{tuple(wanted.values())!r} once in the run of {source.path.name}",
            ", ".join(f"Chapter{tuple(said.values())!r}" for said in got) or "none",
            f"write Chapter({source.name!r}, profile, seed)",
        )
    return Chapter(document, notebook, found[0], read_seconds(executed))


def _code(notebook: NotebookNode) -> Iterator[NotebookNode]:
    return (cell for cell in notebook.cells if cell.cell_type == "code")


def _collect_texts(chapter: Chapter) -> None:
    """Note the texts of a chapter: its prose, and what a run made of captions, cells of
    tables, and HTML and Markdown.
    """
    for part in chapter.document.parts:
        if part.text:
            chapter.texts[part.position, 0] = part.text
        if part.cell.cell_type != "code" or not visibility(part.cell).outputs:
            continue
        with located(part.where):
            captions = [_name_float(chapter, part, said) for said in _floats(part)]
        for place, (box, key) in enumerate(places(part.cell)):
            text = None
            if key == "caption":
                text = captions.pop(0)
            if key == "text" and MIME not in box.get("data", {}):
                for kind in RICH.keys() & box.get("data", {}).keys():
                    text = _text(chapter, part, box.data[kind], RICH[kind])
            elif isinstance(key, int) or (key == "caption" and text is None):
                text = _text(chapter, part, write_text(box[key]))
            if text:
                chapter.texts[part.position, place] = text


def _text(chapter: Chapter, part: Part, text: str, language: str = "markdown") -> Text:
    return Text(text, chapter.number, part.where, language)


def _floats(part: Part) -> list[dict[str, Any]]:
    return [message for _, message in outputs(part.cell, *FLOATS)]


def _name_float(chapter: Chapter, part: Part, message: dict[str, Any]) -> Text | None:
    """Give a figure or a table its label and number; return its caption, if the cell
    has it as it is.
    """
    label = f"{FLOATS[message['kind']]}-{chapter.number}-{message['name']}"
    labels = chapter.document.labels
    if label not in labels or labels[label].position != part.position:
        wanted = f"the name {message['name']!r} in the cell that shows it"
        raise expected(wanted, "none", "write the call there")
    shown = chapter.document.floats[label]
    message["label"] = label
    message["number"] = shown.words
    message["alt"] = message["caption"]
    return shown.caption


def _evaluate(chapter: Chapter) -> None:
    """Note the values of the prose of a chapter, and the claims that do not hold."""
    given: list[Given] = []
    for part in chapter.document.parts:
        for _, message in outputs(part.cell, "values"):
            given.append(Given(part.position, part.cell.id, message))
    for part in chapter.document.parts:
        above = chapter.document.above(part.position)
        later = [each for each in given if each.position >= above]
        with located(part.where):
            texts: dict[str, str] = {}
            for placeholder in part.placeholders:
                number = _find_number(placeholder, later)
                chapter.numbers[part.position, placeholder] = number
                texts[placeholder] = number.text
            for claim in part.claims:
                chapter.num_claims += 1
                if _find_verdict(claim.expression, later):
                    continue
                tree = part.text.tree if part.text else []
                sentence = sentence_before(claim.comment, tree, texts)
                start = shorten(sentence, 70, placeholder="…")
                section = _section_above(chapter, part, claim.comment)
                line = f"{section}: “{start}” (claim: {claim.expression})"
                # The profile smoke has too few data for any claim.
                if chapter.description["profile"] != "smoke":
                    chapter.refuted.append(line)
                    mark = span([], "refuted")
                    is_block = claim.comment["t"] == "RawBlock"
                    claim.comment.update({"t": "Para", "c": [mark]} if is_block else mark)


def _section_above(chapter: Chapter, last: Part, comment: Node) -> str:
    """Return in words the section in which a comment stands."""
    title = chapter_words(chapter.number)
    section = title
    for part in chapter.document.parts[: last.position]:
        for node in nodes(part.text.tree if part.text else []):
            if node is comment:
                return section
            if node["t"] == "Header":
                heading = read_heading(node)
                if "." in heading.number:
                    section = f"{title}, Section {heading.number} {heading.title}"
    return section


def _find_number(placeholder: str, given: Iterable[Given]) -> Number:
    """Find the value of a placeholder in the first cell that gave one."""
    expression, _ = split_format(placeholder)
    got = _WAITS
    for each in given:
        for known, value in each.message["values"].items():
            if split_format(known)[0] != expression:
                continue
            if "error" not in value:
                text = write_evaluated(placeholder, value)
                return Number(placeholder, text, value["value"], each.cell)
            got = value["error"].removesuffix(".")
    wanted = f"a value of {{{{{placeholder}}}}}"
    raise expected(wanted, got, "correct it or the cell")


def _find_verdict(claim: str, given: Iterable[Given]) -> bool:
    got = _WAITS
    for each in given:
        verdict = each.message["claims"].get(claim, {})
        if "holds" in verdict:
            return verdict["holds"]
        got = verdict.get("error", got)
    wanted = f"the claim {claim!r} to be true or false"
    raise expected(wanted, got, "correct it or the cell")


def _add_headlines(contents: Contents, chapter: Chapter) -> None:
    """Add a chapter's headlines to those of the chapters before it."""
    section = None
    for part in chapter.document.parts:
        for node in nodes(part.text.tree if part.text else []):
            if node["t"] == "Header":
                section = read_heading(node).label or section
        for _, headline in outputs(part.cell, "headline"):
            name = headline["name"]
            work = headline["work"]
            with located(part.where):
                if name in contents.headlines:
                    got = f"another one in {contents.headlines[name]['chapter']}"
                    raise expected(f"one use of the name {name}", got, "rename one")
            if work:
                text = Text(f"[@{work}]", chapter.number, part.where)
                contents.citations[work] = text
            contents.headlines[name] = {
                **headline,
                "chapter": chapter.name,
                "section": section,
                **chapter.origin,
                "cell": part.cell.id,
            }


def front_and_back(contents: Contents) -> dict[str, Any]:
    """Return what the PDF and the page of contents have before and behind the chapters,
    by the names of their templates.
    """
    # That of the last run, so that a second build changes nothing.
    day = max(chapter.description["date"] for chapter in contents.chapters)
    colophon: list[dict[str, Any]] = []
    for chapter in contents.chapters:
        duration = f"{chapter.seconds:.0f} s"
        if chapter.seconds >= 90:
            duration = f"{chapter.seconds / 60:.0f} min"
        facts = {"number": chapter.number, "duration": duration}
        facts["claims"] = chapter.num_claims
        colophon.append({**chapter.description, **facts})
    return {
        "words": read_toml(TEMPLATES / "words.toml"),
        "report": contents.run.report.title_page(),
        "profile": contents.run.profile,
        "day": "{0.day} {0:%B %Y}".format(date.fromisoformat(day)),
        "headlines": list(contents.headlines.values()),
        "refuted": contents.refuted,
        "chapters": colophon,
        "facts": {
            "Machine": _group(colophon, _machine),
            "Revision": _group(colophon, lambda said: said["commit"]),
        },
    }


def _group(
    chapters: Iterable[dict[str, Any]], write: Callable[[dict[str, Any]], str]
) -> dict[str, str]:
    """Map what is written of the chapters' runs, but for empty texts, to the chapters
    of which it is true: "chapters 1, A".
    """
    groups: dict[str, list[str]] = {}
    for chapter in chapters:
        groups.setdefault(write(chapter), []).append(chapter["number"])
    groups.pop("", None)
    named = {}
    for text, numbers in groups.items():
        chapter_or_chapters = "chapters" if len(numbers) > 1 else "chapter"
        named[text] = f"{chapter_or_chapters} {', '.join(numbers)}"
    return named


def _machine(described: dict[str, Any]) -> str:
    """Write a run's machine and versions; spaces that no line breaks at are kept."""
    cores = f"{described['cores']}\u00a0cores"
    threads = f"{described['threads']}\u00a0threads"
    facts = [described["cpu"], cores, threads, *described["settings"]]
    versions = {"Python": described["python"], **described["packages"]}
    named = [f"{name}\u00a0{version}" for name, version in versions.items()]
    return f"{', '.join(facts)}, {described['platform']}. {', '.join(named)}."
