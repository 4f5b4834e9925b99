"""Printed pages: their mistakes are named, and the published report has none."""

import io

import pytest
from conftest import CHECKOUT, QUICK
from matplotlib.figure import Figure
from printed import find_complaints

from labreport.editions import TEMPLATES
from labreport.editions.typeset import typeset

FULL = r"\null\rule{1pt}{190mm}\par "
GOOD = r"""\section{A heading}\rule{1pt}{100mm}\par
\begin{question}{1}{}Why?\end{question} Because.
\showfigure{1-plain}{What it shows:}
\showtable{t}{What it shows.}{ll}{A row & $x^{2_3}$ \\}
\[\sum_{i_1=1}^{n_2} \frac{x_{i_1}}{2}\] See \texttt{code:} and $2^{i_1}$."""
QUESTION = FULL + r"\begin{question}{2a}{}Why, in \texttt{code}?\end{question}"
TABLE = r"\small\begin{tabular}{l}%s\end{tabular}"
HEAD = r"\columnhead{A row}"
HEADING = "nothing stands below the heading 1.2 Left alone"
COLON = "what the colon announces stands on the next page: It x 2 follows:"
PAGES = {
    r"{\Huge A title}": None,
    r"\chapter{Half empty}\rule{1pt}{80mm}\par Words.": "40% of it is empty",
    GOOD: None,
    FULL + r"\section{Left \emph{alone}}": HEADING,
    QUESTION: "nothing stands below QUESTION 2a",
    FULL + r"It $x^2$ follows:": COLON,
    FULL + r"URL https:": None,
    r"\rule{1pt}{150mm}\par It follows:\showfigure{1-plain}{What it shows.}": None,
    rf"{FULL}\scalebox{{.75}}{{{TABLE % 'A row'}}}": "7.5 pt in a table: A row",
    rf"{FULL}\scalebox{{.85}}{{{TABLE % HEAD}}}": None,
    FULL + r"\scalebox{.8}{\includegraphics{1-plain}}": "6.4 pt in a figure: A label x",
    r"A chapter's last page.": None,
    r"\chapter{Next} And the last.": None,
}


@pytest.fixture
def pdf(project):
    """These pages, typeset as a report is."""
    figure = Figure(figsize=(2, 0.5))
    figure.text(0, 0.6, "A label", size=8)
    figure.text(0, 0.2, "$x^{10}$", size=8)
    figure.savefig(stream := io.BytesIO(), format="pdf")
    preamble = (
        (TEMPLATES / "preamble.tex.j2")
        .read_text()
        .partition("=))")[2]
        .partition(r"\fvset")[0]
    )
    preamble = preamble.replace("((( figures )))", "../../../../figures")
    latex = (
        preamble
        + "\\begin{document}\n"
        + "\n\\clearpage\n".join(PAGES)
        + "\n\\end{document}\n"
    )
    figures = {"1-plain.pdf": stream.getvalue()}
    return typeset(latex, figures, QUICK)


@pytest.mark.programs("latexmk")
def test_pages_are_named_for_what_a_reader_would_see(pdf):
    expected = []
    for place, complaint in enumerate(PAGES.values(), start=1):
        if complaint:
            expected.append(f"page {place} ({place} of {len(PAGES)}): {complaint}")
    assert find_complaints(pdf) == expected


def test_the_published_report_has_nothing_to_mend():
    assert find_complaints(CHECKOUT / "report" / "report.pdf") == []
