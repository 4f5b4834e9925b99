"""What `labreport check` sees of the printed pages: empty paper, what stands alone at a
page's foot, small type.
"""

import re
from collections.abc import Iterator
from math import hypot
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

from labreport import paths

# The text's lower and upper edge on A4, in points from the paper's lower edge: the
# geometry of preamble.tex.j2.
BOTTOM, TOP = 101.5, 774.0
CHAPTER = 20.0  # points: larger type is a chapter's title


class Piece(NamedTuple):
    """A run of text of one font, a picture if without words; size: as printed; x, y: of
    its lower left; in points.
    """

    words: str
    size: float
    font: str
    x: float
    y: float


Line = list[Piece]
Page = tuple[list[Line], Line, list[tuple[float, float]]]


def find_complaints() -> Iterator[str]:
    """One line for each thing to mend in the report that was built, else in the
    published one; none without a PDF.

    Raises MissingPackageError where the package is missing that reads a PDF.
    """
    places = (folder / "report.pdf" for folder in (paths.build(), paths.report()))
    path = next(filter(Path.is_file, places), None)
    if path is None:
        return
    paths.require("pages", "pypdfium2")
    from pypdfium2 import PdfDocument

    with PdfDocument(path) as pdf:
        pages = [_read(page) for page in pdf]
        numbers = [
            pdf.get_page_label(place) or place + 1 for place in range(len(pages))
        ]
    opens = [
        any(_largest(line).size > CHAPTER for line in lines) for lines, *_ in pages
    ] + [True]
    for place, page in enumerate(pages):
        for complaint in _check(page, may_be_empty=opens[place + 1]):
            yield f"{path.name}, page {numbers[place]} ({place + 1} of {len(pages)}): {complaint}"


def _read(page: Any) -> Page:
    """Lines between head and foot, downwards, their pieces from the left; labels in
    figures; frames' lower and upper y.

    A figure is a form, which has coordinates of its own.
    """
    from pypdfium2 import PdfTextObj, raw

    pieces: Line = []
    labels: Line = []
    frames = []
    for part in page.get_objects(textpage=page.get_textpage()):
        left, bottom, _, top = part.get_bounds()
        if isinstance(part, PdfTextObj):
            size, form = part.get_font_size(), part
            while form:
                size *= hypot(form.get_matrix().c, form.get_matrix().d)
                form = form.container
            font, y = part.get_font().get_base_name(), part.get_matrix().f
            (labels if part.level else pieces).append(
                Piece(part.extract(), size, font, left, y)
            )
        elif part.level == 0 and part.type == raw.FPDF_PAGEOBJ_PATH:
            frames.append((bottom, top))
        elif part.level == 0:
            pieces.append(Piece("", CHAPTER / 2, "", left, bottom))
    lines = [[Piece("", CHAPTER / 2, "", 0, TOP)]]
    pieces = [each for each in pieces if BOTTOM < each.y < TOP]
    for piece in sorted(pieces, key=lambda each: -each.y):
        largest = _largest(lines[-1])
        # Less is the same line, or a script there.
        if largest.y - piece.y > max(largest.size, piece.size) / 2:
            lines.append([])
        lines[-1].append(piece)
    return [sorted(line, key=lambda each: each.x) for line in lines], labels, frames


def _check(page: Page, may_be_empty: bool) -> Iterator[str]:
    """may_be_empty: where a chapter follows, or nothing."""
    lines, labels, frames = page
    last, first, end = lines[-1], lines[-1][0], lines[-1][-1]
    empty = (first.y - BOTTOM) / (TOP - BOTTOM)
    if empty > 1 / 3 and not may_be_empty:
        yield f"{empty:.0%} of it is empty"
    if (
        "San" in first.font and "Bold" in first.font and first.size > 10
    ):  # a subsection has 10.8 pt
        yield f"nothing stands below the heading {_say(last)}"
    if re.search(r"(?<!http)(?<!https):\s*$", end.words):
        yield f"what the colon announces stands on the next page: {_say(last)}"
    for asked in (line[0] for line in lines if line[0].words.startswith("QUESTION ")):
        if any(bottom < first.y and asked.y < top for bottom, top in frames):
            yield f"nothing stands below {asked.words}"
    # In the text a script has a larger piece in its line; Matplotlib's have this share
    # of another label's size.
    scripts = {round(0.7 * each.size, 2) for each in labels}
    rows = [each for line in lines if _is_small(_largest(line)) for each in line]
    labels = [
        each
        for each in labels
        if _is_small(each) and round(each.size, 2) not in scripts
    ]
    for kind, small in (("table", rows), ("figure", labels)):
        if small:
            yield f"{min(each.size for each in small):.1f} pt in a {kind}: {_say(small)}"


def _largest(line: Line) -> Piece:
    return max(line, key=lambda each: each.size)


def _is_small(piece: Piece) -> bool:
    """Below 8 pt, rounded; below 7 pt in fonts with the larger letters, Helvetica and
    both kinds of DejaVu.
    """
    return piece.size < (6.95 if re.search("San|DejaVu", piece.font) else 7.95)


def _say(pieces: Line) -> str:
    return shorten(" ".join(each.words for each in pieces), 60, placeholder="…")
