"""What to mend on a report's printed pages: empty paper, what stands alone at a page's
foot, small type. `python tests/engine/printed.py report/build/report.pdf` lists it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from math import hypot
from textwrap import shorten
from typing import NamedTuple

from pypdfium2 import PdfDocument, PdfTextObj, raw

# The text's lower and upper edge on A4, in points from the paper's lower edge: the
# geometry of preamble.tex.j2.
BOTTOM = 101.5
TOP = 774.0
CHAPTER = 20.0  # points: larger type is a chapter's title


class Piece(NamedTuple):
    """A run of text of one font, or a picture without words.

    size: as printed. x, y: of its lower left. All in points.
    """

    words: str
    size: float
    font: str
    x: float
    y: float


@dataclass
class Page:
    """A printed page: the text between head and foot by lines, the labels in figures,
    and the lower and upper edges of frames.
    """

    lines: list[list[Piece]]
    labels: list[Piece] = field(default_factory=list)
    frames: list[tuple[float, float]] = field(default_factory=list)

    @property
    def opens_a_chapter(self):
        return any(largest(line).size > CHAPTER for line in self.lines)


def find_complaints(path):
    """A line for each thing to mend in that PDF."""
    with PdfDocument(path) as pdf:
        pages = [read_page(page) for page in pdf]
        numbers = [pdf.get_page_label(place) for place in range(len(pages))]
    complaints = []
    for place, page in enumerate(pages):
        is_last = place + 1 == len(pages)
        may_be_empty = is_last or pages[place + 1].opens_a_chapter
        number = numbers[place] or place + 1
        where = f"page {number} ({place + 1} of {len(pages)})"
        for complaint in check_page(page, may_be_empty):
            complaints.append(f"{where}: {complaint}")
    return complaints


def read_page(pdf_page):
    """A page of a PDF; a figure there is a form, which has coordinates of its own."""
    page = Page(lines=[])
    pieces = []
    for part in pdf_page.get_objects(textpage=pdf_page.get_textpage()):
        left, bottom, _, top = part.get_bounds()
        if isinstance(part, PdfTextObj):
            font = part.get_font().get_base_name()
            baseline = part.get_matrix().f
            text = Piece(part.extract(), printed_size(part), font, left, baseline)
            if part.level:
                page.labels.append(text)
            else:
                pieces.append(text)
        elif part.level == 0 and part.type == raw.FPDF_PAGEOBJ_PATH:
            page.frames.append((bottom, top))
        elif part.level == 0:
            pieces.append(Piece("", CHAPTER / 2, "", left, bottom))
    page.lines = split_lines([piece for piece in pieces if BOTTOM < piece.y < TOP])
    return page


def printed_size(part):
    """The size of a text's font, scaled by the forms around it."""
    size = part.get_font_size()
    while part:
        size *= hypot(part.get_matrix().c, part.get_matrix().d)
        part = part.container
    return size


def split_lines(pieces):
    """The pieces by lines, downwards; in a line from the left."""
    lines = [[Piece("", CHAPTER / 2, "", 0, TOP)]]
    for piece in sorted(pieces, key=lambda piece: -piece.y):
        above = largest(lines[-1])
        # Less is the same line, or a script there.
        if above.y - piece.y > max(above.size, piece.size) / 2:
            lines.append([])
        lines[-1].append(piece)
    return [sorted(line, key=lambda piece: piece.x) for line in lines]


def check_page(page, may_be_empty):
    """Name what is wrong with a page.

    may_be_empty: where a chapter follows, or nothing.
    """
    last = page.lines[-1]
    empty = (last[0].y - BOTTOM) / (TOP - BOTTOM)
    if empty > 1 / 3 and not may_be_empty:
        yield f"{empty:.0%} of it is empty"
    font = last[0].font
    if "San" in font and "Bold" in font and last[0].size > 10:  # a subsection has 10.8
        yield f"nothing stands below the heading {quote(last)}"
    if re.search(r"(?<!http)(?<!https):\s*$", last[-1].words):
        yield f"what the colon announces stands on the next page: {quote(last)}"
    for line in page.lines:
        question = line[0]
        if question.words.startswith("QUESTION "):
            for bottom, top in page.frames:
                if bottom < last[0].y and question.y < top:
                    yield f"nothing stands below {question.words}"
                    break
    yield from check_type(page)


def check_type(page):
    """Name type that is too small, in tables and in figures."""
    rows = []
    for line in page.lines:
        # A script has a larger piece in its line.
        if is_small(largest(line)):
            rows += line
    # Matplotlib's scripts have this share of another label's size.
    scripts = {round(0.7 * label.size, 2) for label in page.labels}
    labels = []
    for label in page.labels:
        if is_small(label) and round(label.size, 2) not in scripts:
            labels.append(label)
    for kind, pieces in (("table", rows), ("figure", labels)):
        if pieces:
            size = min(piece.size for piece in pieces)
            yield f"{size:.1f} pt in a {kind}: {quote(pieces)}"


def largest(line):
    return max(line, key=lambda piece: piece.size)


def is_small(piece):
    """Below 8 pt, rounded; below 7 pt in fonts with the larger letters, Helvetica and
    both kinds of DejaVu.
    """
    return piece.size < (6.95 if re.search("San|DejaVu", piece.font) else 7.95)


def quote(pieces):
    return shorten(" ".join(piece.words for piece in pieces), 60, placeholder="…")


if __name__ == "__main__":
    print("\n".join(find_complaints(sys.argv[1])))
