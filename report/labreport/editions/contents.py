"""The contents of a report: its chapters with all their labels, its headlines, and what
its last page says.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from nbformat import NotebookNode

from labreport import expected, paths
from labreport.editions import TEMPLATES
from labreport.editions.executed import ExecutedChapter, read_chapter
from labreport.editions.outputs import Fragment, locate_errors, outputs
from labreport.editions.sources import Source, read_citation_keys, read_title_page
from labreport.notebook.messages import Description
from labreport.notebook.numbering import Label
from labreport.notebook.references import require_known
from labreport.runs import Run

# By name, in the order of chapters.
Headlines = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Contents:
    """The contents of a report, as a run has made them.

    labels: those to which prose may refer. headlines: each has what `Chapter.headline`
    says, and its chapter, cell, section (the label of the heading above it, or None),
    profile and commit. refuted: a line for each sentence that the run of its chapter
    contradicts. works: the keys of the bibliography.
    """

    run: Run
    chapters: list[ExecutedChapter]
    labels: dict[str, Label]
    headlines: Headlines
    refuted: list[str]
    works: set[str]

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


def collect(run: Run, notebooks: Iterable[tuple[Source, NotebookNode]]) -> Contents:
    """Collect what the chapters contain, whose notebooks were executed in that run.

    Raises LabreportError for what `read_chapter` refuses, for a headline's name that is
    used twice, and for a headline that names a work that is not in the bibliography.
    """
    works = read_citation_keys()
    chapters: list[ExecutedChapter] = []
    labels: dict[str, Label] = {}
    headlines: Headlines = {}
    refuted: list[str] = []
    for source, notebook in notebooks:
        chapter = read_chapter(source, notebook, run)
        chapters.append(chapter)
        labels |= chapter.numbering.labels
        refuted += chapter.refuted
        _add_headlines(headlines, chapter, works)
    return Contents(run, chapters, labels, headlines, refuted, works)


def _add_headlines(
    headlines: Headlines, chapter: ExecutedChapter, works: set[str]
) -> None:
    """Add a chapter's headlines to those of the chapters before it."""
    for position, cell in enumerate(chapter.notebook.cells, start=1):
        for _, headline in outputs(cell, "headline"):
            name = headline["name"]
            with locate_errors(chapter.name, Fragment(position, cell, "source")):
                if headline["work"]:
                    require_known(headline["work"], None, (), works)
                if name in headlines:
                    got = f"another one in {headlines[name]['chapter']}"
                    raise expected(f"one use of the name {name}", got, "rename one")
            headlines[name] = {
                **headline,
                "chapter": chapter.name,
                "section": chapter.numbering.section_above(position),
                **_origin(chapter),
                "cell": cell.id,
            }


def front_and_back(contents: Contents) -> dict[str, Any]:
    """Return what the PDF and the page of contents have before and behind the chapters,
    by the names of their templates.
    """
    # That of the last run, so that a second build changes nothing.
    day = max(chapter.description["date"] for chapter in contents.chapters)
    return {
        "words": paths.read_toml(TEMPLATES / "words.toml"),
        "report": read_title_page(),
        "profile": contents.run.profile,
        "day": "{0.day} {0:%B %Y}".format(date.fromisoformat(day)),
        "headlines": list(contents.headlines.values()),
        "refuted": contents.refuted,
        "chapters": [_colophon(chapter) for chapter in contents.chapters],
        "facts": {
            "Machine": _group(contents.chapters, _machine),
            "Revision": _group(contents.chapters, lambda said: said["commit"]),
        },
    }


def _colophon(chapter: ExecutedChapter) -> dict[str, Any]:
    """Return what the last page says of a chapter's run."""
    duration = f"{chapter.seconds:.0f} s"
    if chapter.seconds >= 90:
        duration = f"{chapter.seconds / 60:.0f} min"
    return {
        **chapter.description,
        "number": chapter.number,
        "duration": duration,
        "claims": chapter.num_claims,
    }


def _group(
    chapters: Iterable[ExecutedChapter], write: Callable[[Description], str]
) -> dict[str, str]:
    """Map what is written of the chapters' runs, but for empty texts, to the chapters
    of which it is true: "chapters 1, A".
    """
    groups: dict[str, list[str]] = {}
    for chapter in chapters:
        groups.setdefault(write(chapter.description), []).append(chapter.number)
    groups.pop("", None)
    named = {}
    for text, numbers in groups.items():
        chapter_or_chapters = "chapters" if len(numbers) > 1 else "chapter"
        named[text] = f"{chapter_or_chapters} {', '.join(numbers)}"
    return named


def _machine(described: Description) -> str:
    """Write a run's machine and versions; spaces that no line breaks at are kept."""
    cores = f"{described['cores']}\u00a0cores"
    threads = f"{described['threads']}\u00a0thread"
    if described["threads"] > 1:
        threads += "s"
    facts = [described["cpu"], cores, threads, *described["settings"]]
    versions = {"Python": described["python"], **described["packages"]}
    named = [f"{name}\u00a0{version}" for name, version in versions.items()]
    return f"{', '.join(facts)}, {described['platform']}. {', '.join(named)}."


def _origin(chapter: ExecutedChapter) -> dict[str, Any]:
    described = chapter.description
    return {"profile": described["profile"], "commit": described["commit"]}
