"""A report as a run has made it: chapters with their numbers, headlines, and what the
last page says.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from textwrap import shorten
from typing import Any

from nbformat import NotebookNode

from labreport import LabreportError, expected, located
from labreport.document import Document, Part, sentence_before, visibility
from labreport.expressions import mark_markdown, split_format, write_evaluated
from labreport.messages import FLOATS, MIME, Known, merge_outputs, messages, read_values
from labreport.numbering import Label, full_label
from labreport.pandoc import Node, Tree, has_class, nodes, span, string
from labreport.references import resolve_texts
from labreport.report import TEMPLATES, read_notebook, read_toml
from labreport.run import Run
from labreport.texts import Text, parse_texts, write_text

# Outputs that pandoc reads, by nbconvert's priority.
RICH = {"text/html": "html", "text/markdown": "markdown", "text/latex": "markdown"}
PROSE = -1  # in place of the index of an output


@dataclass
class Chapter:
    """A chapter that ran.

    notebook: as it was read, with the outputs of its run. texts: of prose, and of what
    the outputs show, by the position of their cell and the index of the output. labels:
    those of figures and tables, in the same way. numbers: the placeholders of each cell
    with text and value, by both. refuted: a line for each claim that does not hold,
    whose comment has become a span of the class "refuted"; false: these claims.
    """

    document: Document
    notebook: NotebookNode
    description: dict[str, Any]
    seconds: float
    texts: dict[tuple[int, int], Text] = field(default_factory=dict)
    labels: dict[tuple[int, int], str] = field(default_factory=dict)
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuted: list[str] = field(default_factory=list)
    false: set[str] = field(default_factory=set)

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
        refuted: list[str] = []
        for chapter in self.chapters:
            numbers = list(chapter.numbers.values())
            chapters[chapter.name] = {**chapter.origin, "numbers": numbers}
            refuted += chapter.refuted
        headlines = self.headlines
        return {"chapters": chapters, "headlines": headlines, "refuted": refuted}


def collect(
    run: Run, documents: Iterable[Document], works: dict[str, Node]
) -> Contents:
    """Collect what the chapters contain that were executed in that run.

    Raises LabreportError for the first of these: a profile or a seed that is not the
    run's, a placeholder without value, a claim that is neither true nor false, a
    mistake in a caption or a table, a headline's name that is used twice.
    """
    contents = Contents(run, [], {}, works)
    for document in documents:
        chapter = _read_executed(document, run)
        contents.chapters.append(chapter)
        contents.labels |= document.labels
        for part in document.parts:
            with located(part.where):
                _collect_texts(chapter, part)
                _add_headlines(contents, chapter, part)
    texts = list(contents.citations.values())
    for chapter in contents.chapters:
        texts += [text for text in chapter.texts.values() if not text.tree]
    mistakes = parse_texts(texts)
    mistakes += resolve_texts(texts, contents.labels, run.report.bibliography)[0]
    if mistakes:
        raise LabreportError("\n".join(mistakes))
    for chapter in contents.chapters:
        _evaluate(chapter)
    return contents


def _read_executed(document: Document, run: Run) -> Chapter:
    source = document.source
    executed = read_notebook(run.executed(source.name))
    found: list[Any] = []
    merged = merge_outputs(source.notebook.cells, executed.cells)
    for cell, ran in zip(source.notebook.cells, merged, strict=True):
        if cell.cell_type == "code":
            cell.outputs = ran.outputs
            found += messages(cell, "chapter")
    wanted = [source.name, run.profile, run.seed]
    got = [[said["name"], said["profile"], said["seed"]] for said in found]
    if got != [wanted]:
        call = f"Chapter({source.name!r}, profile, seed)"
        raise expected(f"{call} once in {source.path.name}", got, "write it")
    seconds = executed.metadata.labreport["seconds"]
    return Chapter(document, source.notebook, found[0], seconds)


def _collect_texts(chapter: Chapter, part: Part) -> None:
    """Note the texts of a cell: its prose, and what a run made of captions, tables, and
    HTML and Markdown.
    """
    if part.text:
        chapter.texts[part.position, PROSE] = part.text
    if not visibility(part.cell).outputs:
        return
    for index, output in enumerate(part.cell.get("outputs", ())):
        data = output.get("data", {})
        message = data.get(MIME)
        if message and message["kind"] in FLOATS:
            place = (part.position, index)
            chapter.texts[place] = _read_float(chapter, part, message)
            label = full_label(FLOATS[message["kind"]], chapter.number, message["name"])
            if label in chapter.labels.values():
                wanted = f"{message['name']} to be shown once"
                raise expected(wanted, "twice", "write a call for each, with its name")
            chapter.labels[place] = label
        elif not message:
            for kind in RICH:
                if kind in data:
                    text = Text(
                        data[kind], chapter.document.source, part.where, RICH[kind]
                    )
                    chapter.texts[part.position, index] = text
                    break


def _read_float(chapter: Chapter, part: Part, message: Mapping[str, Any]) -> Text:
    """Return the caption of a figure or a table, with its number, and the table."""
    for shown in part.floats:
        if (shown.kind, shown.name) == (FLOATS[message["kind"]], message["name"]):
            label = full_label(shown.kind, chapter.number, shown.name)
            caption = write_text(message["caption"])
            if shown.caption:  # as it is written now
                caption = shown.caption.markdown
            named = f"**{chapter.document.labels[label].words}** {caption}"
            markdown = f"{named}\n\n{message.get('markdown', '')}"
            return Text(mark_markdown(markdown), chapter.document.source, part.where)
    wanted = f"the name {message['name']!r} in the cell that shows it"
    raise expected(wanted, "none", "write the call there")


def _add_headlines(contents: Contents, chapter: Chapter, part: Part) -> None:
    """Add the headlines of a cell to those above it."""
    for headline in messages(part.cell, "headline"):
        name = headline["name"]
        if name in contents.headlines:
            got = f"another one in {contents.headlines[name]['chapter']}"
            raise expected(f"one use of the name {name}", got, "rename one")
        work = headline["work"]
        if work:
            text = Text(f"[@{work}]", chapter.document.source, part.where)
            contents.citations[work] = text
        section = None
        for label, named in chapter.document.labels.items():
            if label.startswith("sec-") and named.position < part.position:
                section = label
        place = {"chapter": chapter.name, "section": section, "cell": part.cell.id}
        contents.headlines[name] = {**headline, **place, **chapter.origin}


def _evaluate(chapter: Chapter) -> None:
    """Put the values of placeholders into the texts of a chapter, and mark the claims
    that do not hold.
    """
    known = read_values(chapter.notebook.cells)
    for part in chapter.document.parts:
        with located(part.where):
            texts = _write_values(chapter, part, known[part.cell.id])
            for claim, comment in part.claims.items():
                if claim not in known[part.cell.id].claims:
                    wanted = f"the claim {claim!r} to be true or false"
                    got = known[part.cell.id].errors.get(claim, "none")
                    raise expected(wanted, got, "correct it or the cell")
                # The profile smoke has too few data for any claim.
                is_judged = chapter.description["profile"] != "smoke"
                if is_judged and not known[part.cell.id].claims[claim]:
                    sentence = sentence_before(comment, part.tree, texts)
                    _refute(chapter, part, claim, comment, sentence)
        for (position, _), text in chapter.texts.items():
            if position == part.position:
                _write_numbers(text, texts)


def _write_values(chapter: Chapter, part: Part, known: Known) -> dict[str, str]:
    """Write the placeholders of a cell, and note them; return their texts."""
    texts: dict[str, str] = {}
    for placeholder in part.placeholders:
        value = known.values.get(split_format(placeholder)[0])
        if value is None:
            got = known.errors.get(placeholder, "none").removesuffix(".")
            wanted = f"a value of {{{{{placeholder}}}}}"
            raise expected(wanted, got, "correct it or the cell")
        texts[placeholder] = write_evaluated(placeholder, value)
        number = {"expression": placeholder, "text": texts[placeholder]}
        number |= {"value": value["value"], "cell": part.cell.id}
        chapter.numbers[f"{part.cell.id} {placeholder}"] = number
    return texts


def _refute(
    chapter: Chapter, part: Part, claim: str, comment: Node, sentence: str
) -> None:
    """Note a claim that does not hold, and mark it in its text."""
    start = shorten(sentence, 70, placeholder="…")
    place = f"{chapter.name}, cell {part.position}"
    chapter.refuted.append(f"{place}: “{start}” (claim: {claim})")
    chapter.false.add(f"{part.cell.id} {claim}")
    mark = span([], "refuted")
    is_block = comment["t"] == "RawBlock"
    comment.update({"t": "Para", "c": [mark]} if is_block else mark)


def _write_numbers(text: Text, texts: Mapping[str, str]) -> None:
    """Put numbers in place of placeholders; no line breaks at their signs."""
    for node in nodes(text.tree):
        if has_class(node, "number"):
            words = re.sub(r" (?=[±×])|(?<=[±×]) ", "\u00a0", texts[node["c"][1]])
            content: Tree = []
            for word in words.split(" "):
                content += [string(word), {"t": "Space"}]
            node.update(span(content[:-1], ""))


def front_and_back(contents: Contents) -> dict[str, Any]:
    """Return what the PDF and the page of contents have before and behind the chapters,
    by the names of their templates.
    """
    # That of the last run, so that a second build changes nothing.
    day = max(chapter.description["date"] for chapter in contents.chapters)
    colophon: list[dict[str, Any]] = []
    machines: dict[str, list[str]] = {}
    for chapter in contents.chapters:
        described = chapter.description
        facts = {"number": chapter.number, "duration": f"{chapter.seconds:.0f} s"}
        colophon.append({**described, **facts})
        machines.setdefault(described["machine"], []).append(chapter.number)
    return {
        "words": read_toml(TEMPLATES / "words.toml"),
        "report": contents.run.report.title_page(),
        "profile": contents.run.profile,
        "day": "{0.day} {0:%B %Y}".format(date.fromisoformat(day)),
        "headlines": list(contents.headlines.values()),
        "refuted": contents.results["refuted"],
        "colophon": colophon,
        "machines": machines,
    }
