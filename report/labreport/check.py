"""Check the notebooks without running anything, as `labreport check` does."""

from collections.abc import Iterator, Sequence

from labreport.document import Document, Part
from labreport.numbering import full_label
from labreport.pandoc import has_class, nodes
from labreport.report import tags


def find_complaints(documents: Sequence[Document]) -> Iterator[str]:
    """Write one line for each thing to improve in notebooks without mistakes: questions
    without an answer, figures that no text refers to, and what a reader of a notebook
    that has not run would see raw.
    """
    referred: set[str] = set()
    for document in documents:
        for text in document.texts:
            for node in nodes(text.tree):
                if has_class(node, "reference"):
                    referred.add(node["c"][2][0].rpartition("#")[2])
    for document in documents:
        for place, part in enumerate(document.parts):
            following = document.parts[place + 1 :]
            if part.question and not _is_answered(following):
                yield f"{part.where}: a question without an answer"
            for shown in part.floats:
                label = full_label(shown.kind, document.source.number, shown.name)
                if label not in referred:
                    yield f"{part.where}: no text refers to @{label}"
            is_raw = any(text.answers or text.placeholders for text in part.texts)
            if part.above == 0 and is_raw:
                raw = "a reference, a citation or a number above all code"
                yield f"{part.where}: {raw}, which shows as it is typed until a run"


def _is_answered(following: Sequence[Part]) -> bool:
    """Return whether an answer comes before the next question or heading."""
    for part in following:
        if "answer" in tags(part.cell) and part.cell.source.strip():
            return True
        if part.question or part.cell.source.lstrip().startswith("#"):
            return False
    return False
