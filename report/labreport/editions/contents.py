"""The contents of a report: its chapters with all their labels, its headlines, and what
its last page says.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from nbformat import NotebookNode

from labreport import expected, paths
from labreport.editions import TEMPLATES
from labreport.editions.executed import ExecutedChapter, read_chapter
from labreport.editions.outputs import Fragment, locate_errors, outputs
from labreport.editions.sources import Source, read_citation_keys, read_title_page
from labreport.notebook.numbering import Label
from labreport.notebook.references import require_known
from labreport.runs import Run

# What the last page says of a machine.
MACHINE = ("cpu", "cores", "threads", "settings", "platform", "python", "packages")
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
    }


def _colophon(chapter: ExecutedChapter) -> dict[str, Any]:
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


def _origin(chapter: ExecutedChapter) -> dict[str, Any]:
    described = chapter.description
    return {"profile": described["profile"], "commit": described["commit"]}
