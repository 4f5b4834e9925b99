"""What `labreport check` names on printed pages, typeset as the report is."""

import io

import pytest
from matplotlib.figure import Figure

from labreport import paths
from labreport.cli import main
from labreport.editions import TEMPLATES
from labreport.editions.latex import typeset

FULL = r"\null\rule{1pt}{190mm}\par "
GOOD = r"""\section{A heading}\rule{1pt}{100mm}\par\begin{question}{1}{}Why?\end{question} Because.
\showfigure{1-plain}{What it shows:}\showtable{t}{What it shows.}{ll}{A row & $x^{2_3}$ \\}
\[\sum_{i_1=1}^{n_2} \frac{x_{i_1}}{2}\] See \texttt{code:} and $2^{i_1}$."""
PAGES = {
    r"{\Huge A title}": None,
    r"\chapter{Half empty}\rule{1pt}{80mm}\par Words.": "40% of it is empty",
    GOOD: None,
    FULL
    + r"\section{Left \emph{alone}}": "nothing stands below the heading 1.2 Left alone",
    FULL
    + r"\begin{question}{2a}{}Why, in \texttt{code}?\end{question}": "nothing stands below QUESTION 2a",
    FULL
    + r"It $x^2$ follows:": "what the colon announces stands on the next page: It x 2 follows:",
    FULL + r"URL https:": None,
    r"\rule{1pt}{150mm}\par It follows:\showfigure{1-plain}{What it shows.}": None,
    FULL
    + r"\scalebox{.75}{\small\begin{tabular}{l}A row\end{tabular}}": "7.5 pt in a table: A row",
    FULL
    + r"\scalebox{.85}{\small\begin{tabular}{l}\columnhead{A row}\end{tabular}}": None,
    FULL + r"\scalebox{.8}{\includegraphics{1-plain}}": "6.4 pt in a figure: A label x",
    r"A chapter's last page.": None,
    r"\chapter{Next} And the last.": None,
}


@pytest.fixture
def published(project):
    """The report's PDF, which holds these pages."""
    project.write("1_transfer")
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
    pdf = typeset(
        latex, {"1-plain.pdf": stream.getvalue()}, project.build / "quick" / "tex"
    )
    pdf.rename(project.home / "report" / "report.pdf")


@pytest.mark.programs("latexmk")
def test_pages_are_named_for_what_a_reader_would_see(published, capsys, monkeypatch):
    assert main(["check"]) == 1
    said = [
        line.partition(" of 13): ")[::2]
        for line in capsys.readouterr().out.splitlines()
    ]
    named = [
        (place, complaint)
        for place, complaint in enumerate(PAGES.values(), start=1)
        if complaint
    ]
    assert said == [
        (f"report.pdf, page {place} ({place}", complaint) for place, complaint in named
    ]
    monkeypatch.setattr(
        paths, "find_spec", lambda package: package != "pypdfium2" or None
    )
    assert main(["check"]) == 0
    remedy = (
        'expected the package pypdfium2, got none; run pip install "labreport[pages]".'
    )
    first, last = capsys.readouterr().out.splitlines()
    assert (first, last) == (
        f"The pages of the PDF were not looked at: {remedy}",
        "Nothing to complain about.",
    )
