r"""How a notebook speaks to the report: numbers, figures, tables and claims.

Markdown is pandoc's, each cell's footnotes and links its own; TeX stands in formulas
alone. Captions and cells of tables are text, whatever its characters, but for what
stands below, $formulas$ and `code`. Besides, prose and captions have:

- `{{gain.mean:.1%}}`, an expression in a format of Python, which may stand above or
  below the cell that computes it.
- `<!-- holds: gain.low > 0 -->`, what the sentence before it rests on.
- `@fig-name` and `@tab-name`, a figure or a table of this chapter; `@fig-2-name` and
  `@fig-A-name`, one of another.
- `## Heading {#sec-name}`, to which `@sec-name` refers.
- `\label{eq-name}` in an equation, to which `@eq-name` refers.
- `[@key]` and `@key`, a work in report/references.bib, as in `[see @key, p. 3]`.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

from labreport import environment, expected
from labreport.expressions import as_scalar, write_value
from labreport.live import LiveProse, Notebook, make_script, session_path
from labreport.messages import FLOATS, MIME, encode
from labreport.numbering import NAME, WORDS, chapter_words, full_label
from labreport.report import HOME, find_report
from labreport.texts import write_text


class Chapter:
    """A chapter as its notebook uses it: it shows figures, tables and headlines, and
    reports them.

    name: the stem of its file, such as `1_transfer_learning`. seed: all chance of the
    notebook comes from it. The kernel has one thread, or as many as `LABREPORT_THREADS`
    says, so that no number depends on the machine's cores.
    """

    def __init__(self, name: str, profile: str = "quick", seed: int = 0) -> None:
        report = find_report()
        # What is found later in this process is found here, wherever a cell changes to.
        os.environ[HOME] = str(report.root)
        self.name = name
        self.profile = report.profile(profile)
        self.seed = seed
        environment.limit_threads()
        self._notebook = Notebook(report, session_path(report, name), name)
        self.number = self._notebook.number
        self._shell = get_ipython()
        description = {"name": name, "profile": profile, "seed": seed}
        description |= environment.describe(report)
        words = f"{chapter_words(self.number)}, profile {profile}, seed {seed}"
        ready = f"{words}: the prose shows each number once its cell has run."
        html = f'<div><span class="labreport-words">{ready}</span>\n'
        html += f"{make_script(self._notebook)}</div>"
        _show("chapter", description, words, {"text/html": html})
        if self._shell:
            LiveProse(self._notebook, self._shell, partial(_show, "values"))

    def show_figure(
        self, figure: Figure | Any, name: str, caption: str, animation: bytes = b""
    ) -> None:
        """Show a figure, or that of some axes, and close it.

        Prose refers to it as `@fig-<name>`. animation: a PNG, animated, which stands in
        its place where pictures move, in JupyterLab and HTML.
        """
        figure = getattr(figure, "figure", figure)  # of axes
        if not hasattr(figure, "savefig"):
            got = type(figure).__name__
            raise expected("a figure of Matplotlib", got, "pass what was drawn on")
        pdf = _render(figure, "pdf", metadata={"CreationDate": None})
        png = animation or _render(figure, "png")
        # Only one made through pyplot has to be forgotten by it.
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot:
            pyplot.close(figure)
        shown = {"image/png": encode(png)}
        self._show_float("figure", name, caption, {"pdf": encode(pdf)}, shown)

    def show_table(self, table: Any, name: str, caption: str) -> None:
        """Show a list of rows {column: cell}, or a DataFrame.

        Cells are numbers or text; a cell that a row lacks is a dash. Prose refers to it
        as `@tab-<name>`.
        """
        columns, rows = _read_table(table)
        if not columns or not rows:
            raise expected(f"rows for the table {name}", "none", "show it where it has")
        cells: list[list[str]] = [columns]
        for row in rows:
            cells.append([write_value(cell, "", f"a cell of {name}") for cell in row])
        markdown = markdown_table([[write_text(cell) for cell in row] for row in cells])
        shown = {"text/markdown": markdown}
        self._show_float("table", name, caption, {"markdown": markdown}, shown)

    def _show_float(
        self,
        kind: str,
        name: str,
        caption: str,
        parts: Mapping[str, object],
        shown: Mapping[str, str],
    ) -> None:
        """Show a figure or a table, and below it its number and its caption."""
        if not re.fullmatch(NAME, name):
            remedy = "use small letters, digits and hyphens"
            raise expected("a name like 'saliency-cat'", repr(name), remedy)
        if not caption.strip() or "\n\n" in caption:
            wanted = f"a caption of one paragraph for {name}"
            raise expected(wanted, f"{caption!r:.40}", "say what one sees")
        prefix = FLOATS[kind]
        label = full_label(prefix, self.number, name)
        # The caption stands below.
        metadata = {"image/png": {"alt": f"figure {name}"}}
        message = {"name": name, "caption": caption, **parts}
        _show(kind, message, f"{kind} {name}: {caption}", shown, metadata)
        known = self._notebook.document.labels.get(label)
        number = known.words if known else WORDS[prefix]
        written = f"**{number}:** {write_text(caption)}"
        _show("caption", {"name": name}, caption, {"text/markdown": written})

    def headline(
        self,
        name: str,
        value: Any,
        what: str,
        form: str = ".1%",
        published: float | None = None,
        work: str | None = None,
    ) -> None:
        """Put a number on the page "Results at a glance" and, by its name, into
        `results.json`.

        value: a number, or an object that has a mean and formats itself, such as an
        interval. what: what was measured, in plain words. form: Python's format of this
        number and of the published one, by default a share in per cent. published: what
        `work`, a key of report/references.bib, reports. Raises LabreportError for
        published without work, and for what is no finite number or does not fit `form`.
        """
        if published is not None and not work:
            wanted = f"the work where {name} is published"
            raise expected(wanted, "none", "pass its key")
        mean = value if hasattr(value, "item") else getattr(value, "mean", value)
        text = write_value(value, form, name)
        message: dict[str, Any] = {"name": name, "what": what, "form": form}
        message |= {"work": work, "text": text, "value": as_scalar(mean)}
        message["published"] = ""
        if published is not None:
            message["published"] = write_value(published, form, name)
        _show("headline", message, f"★ {what}: {text}")


def is_numeric(cell: str) -> bool:
    """Return whether a cell is 1,500 · 0.91 ± 0.02 · 91.0 % · −3.5 px · 2.1 ms · 1e-05
    or the like, or empty.
    """
    cell = cell.replace("\\", "")
    number = r"[-−+<>≈~]?\s?\d[\d,.\u202f]*(e[-+]?\d+)?"
    pattern = rf"|[-–—]|{number}(\s?[±×/]\s?{number})?(\s?(%|[a-zA-Zµ]{{1,3}}))?"
    return re.fullmatch(pattern, cell) is not None


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown, its first row as its head; columns of numbers are
    aligned to the right. A rule is as long as its widest cell, which decides how wide a
    column of long text is.
    """
    rule: list[str] = []
    for column in zip(*rows, strict=True):
        dashes = "-" * max(3, *map(len, column))
        is_right = all(map(is_numeric, column[1:]))
        rule.append(f"{dashes}:" if is_right else f":{dashes}")
    lines: list[str] = []
    for row in [rows[0], rule, *rows[1:]]:
        cells = [re.sub(r"(?<!\\)\|", r"\|", cell) for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _read_table(table: Any) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and the rows of a table."""
    if hasattr(table, "to_dict"):  # a DataFrame
        if type(table.index).__name__ != "RangeIndex":
            table = table.reset_index()
        table = table.to_dict("records")
    if not isinstance(table, list):
        got = type(table).__name__
        raise expected("rows {column: cell} or a DataFrame", got, "pass one of these")
    columns = list(dict.fromkeys(str(column) for row in table for column in row))
    rows: list[list[Any]] = []
    for row in table:
        cells = {str(column): cell for column, cell in row.items()}
        rows.append([cells.get(column, "–") for column in columns])
    return columns, rows


def _show(
    kind: str,
    message: Mapping[str, object],
    text: str,
    shown: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Display a message to the report, and what Jupyter shows instead of it."""
    bundle = {"text/plain": text, **(shown or {}), MIME: {"kind": kind, **message}}
    display(bundle, raw=True, metadata=metadata)


def _render(figure: Figure, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    # TrueType outlines; the default is Type 3, which some viewers draw badly.
    with mpl.rc_context({"pdf.fonttype": 42}):
        figure.savefig(
            buffer,
            format=file_format,
            dpi=150,  # of images in a PDF, too
            bbox_inches="tight",
            pad_inches=0.03,
            **options,
        )
    return buffer.getvalue()
