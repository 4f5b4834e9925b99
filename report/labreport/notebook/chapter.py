r"""How a notebook speaks to the report: numbers, figures, tables and claims.

Markdown is pandoc's, each cell's footnotes and links its own; TeX stands in formulas
alone. Captions and cells of tables are text, whatever its characters, but for
references, citations, $formulas$ and `code`. Besides, prose has:

- `{{gain.mean:.1%}}`, an expression in a format of Python, evaluated after the cell of
  code above. Captions and tables have none: their cells format these strings.
- `<!-- holds: gain.low > 0 -->`, what the sentence before it rests on.
- `@fig-name` and `@tab-name`, a figure or a table of this chapter; `@fig-2-name` and
  `@fig-A-name`, one of another.
- `## Heading {#sec-name}`, to which `@sec-name` refers.
- `\label{eq-name}` in an equation, to which `@eq-name` refers.
- `[@key]` and `@key`, a work in report/references.bib; `[see @fig-name; @key, p. 3]`
  has both.
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

from labreport import environment, expected, paths
from labreport.chapters import chapter_number, chapter_words
from labreport.notebook import players
from labreport.notebook.expressions import as_scalar, write_value
from labreport.notebook.live import LiveProse, make_script
from labreport.notebook.messages import FLOATS, MIME, Headline, Picture, Table
from labreport.notebook.numbering import NAME, WORDS
from labreport.notebook.references import References, write_text
from labreport.notebook.stills import plot_row
from labreport.notebook.tables import is_numeric, markdown_table
from labreport.profiles import get_profile
from labreport.runs import Run

if TYPE_CHECKING:
    from labreport import results


class Chapter:
    """A chapter as its notebook uses it: it shows figures, tables and headlines, and
    reports them.

    name: the stem of its file, such as `1_transfer_learning`. seed: all chance of the
    notebook comes from it. What is repeated takes `seeds`: each seed of the profile is
    added to it. The kernel has one thread, or as many as `LABREPORT_THREADS` says, so
    that no number depends on the machine's cores.
    """

    def __init__(self, name: str, profile: str = "quick", seed: int = 0) -> None:
        self.name = name
        self.number = chapter_number(name)
        self.profile = get_profile(profile)
        self.seed = seed
        self._run = Run(profile, seed)
        self.seeds = tuple(seed + later for later in self.profile.seeds)
        environment.limit_threads()
        session = Path(os.environ.get("JPY_SESSION_NAME", ""))
        path = paths.notebooks() / f"{name}.ipynb"
        if session.suffix == ".ipynb" and session.is_file():
            path = session
        self._references = References(path, self.number)
        description = {"name": name, "profile": profile, "seed": seed}
        description |= {"seeds": list(self.seeds), **environment.describe()}
        words = f"{chapter_words(self.number)}, profile {profile}, seed {seed}"
        ready = f"{words}: the prose shows each number once its cell has run."
        script = make_script(self._references, ready)
        html = f'<div><span class="labreport-words">{words}</span>\n{script}</div>'
        _show("chapter", description, words, {"text/html": html})
        shell = get_ipython()
        if shell:
            LiveProse(self._references, shell, partial(_show, "values"))

    def show_figure(self, figure: Figure, name: str, caption: str) -> None:
        """Show a figure as PNG, save it as `figures/<number>-<name>.pdf`, and close it.

        Prose refers to it as `@fig-<name>`.
        """
        _require_name_and_caption(name, caption)
        self._show_picture("figure", figure, name, caption)

    def show_animation(
        self,
        frames: np.ndarray,
        key_frames: Figure,
        name: str,
        caption: str,
    ) -> None:
        """Play frames above a figure of key frames, which alone is printed.

        A click pauses. frames: uint8 (F, H, W) or (F, H, W, 3), F >= 2. Prose refers to
        both as `@fig-<name>`.
        """
        _require_name_and_caption(name, caption)
        player = players.make_player(frames)
        self._show_picture("animation", key_frames, name, caption, player)

    def show_explorer(
        self,
        render: players.Render,
        axes: players.Axes,
        start: Sequence[int],
        name: str,
        caption: str,
    ) -> None:
        """Show a figure to explore by sliders, one for each axis.

        In print, the pictures along the last axis are shown in a row. Prose refers to
        it as `@fig-<name>`. render: a function that takes a value of each axis and
        returns a picture, uint8 (H, W) or (H, W, 3), and a text for it; it is called
        for every combination. axes: {name: values}. start: the index on each axis at
        first.
        """
        _require_name_and_caption(name, caption)
        frames, readings = players.make_frames(render, axes)
        page = players.make_explorer(frames, axes, readings, start)
        last, values = list(axes.items())[-1]
        number = min(len(values), 6)
        indices = np.linspace(0, len(values) - 1, number).round().astype(int)
        titles = [f"{last} {values[index]}" for index in indices]
        row = frames[tuple(start[:-1])]
        drawn = plot_row(list(row[indices]), titles)
        self._show_picture("figure", drawn, name, caption, page)

    def _show_picture(
        self, kind: str, figure: Figure, name: str, caption: str, page: str = ""
    ) -> None:
        """Draw a figure as PDF and PNG, save the PDF, close the figure, and show it.

        page: HTML to show in its place; an animation plays above it. The message has
        the PDF too, since the run of another profile overwrites the file but not the
        executed notebook.
        """
        pdf = _render(figure, "pdf", metadata={"CreationDate": None})
        png = base64.b64encode(_render(figure, "png", dpi=150)).decode()
        paths.write_atomically(self._run.figures / f"{self.number}-{name}.pdf", pdf)
        # Only one made through pyplot has to be forgotten by it.
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot:
            pyplot.close(figure)
        if kind == "animation":
            # The report's page takes what stands before the stills, and shows the PNG
            # as it shows others.
            source = f"data:image/png;base64,{png}"
            page += f'<img class="labreport-stills" src="{source}" alt="key frames">'
        shown = {"image/png": png}
        if page:
            shown["text/html"] = page
        encoded = base64.b64encode(pdf).decode()
        message: Picture = {"name": name, "caption": caption, "pdf": encoded}
        self._show_float(kind, message, shown)

    def show_table(
        self,
        table: results.Table | Sequence[Mapping[str, Any]],
        name: str,
        caption: str,
    ) -> None:
        """Show a `results.Table`, or a list of rows {column: cell}.

        Cells are numbers or text; a cell that a row lacks is a dash. Prose refers to it
        as `@tab-<name>`.
        """
        _require_name_and_caption(name, caption)
        if isinstance(table, Sequence):
            columns = list(dict.fromkeys(column for row in table for column in row))
            rows = [[row.get(column, "–") for column in columns] for row in table]
        else:
            columns = table.columns
            rows = table.rows
        cells: list[list[str]] = []
        for row in rows:
            cells.append([write_value(cell, "", f"a cell of {name}") for cell in row])
        align = []
        for column in zip(*cells, strict=True):
            align.append("r" if all(map(is_numeric, column)) else "l")
        markdown = [[write_text(cell) for cell in row] for row in [columns, *cells]]
        shown = markdown_table(markdown[0], markdown[1:], align)
        message: Table = {
            "name": name,
            "caption": caption,
            "columns": columns,
            "rows": cells,
            "align": align,
        }
        resolved = {"text/markdown": self._references.resolve(shown)}
        self._show_float("table", message, resolved)

    def _show_float(
        self, kind: str, message: Picture | Table, shown: dict[str, str]
    ) -> None:
        """Show a figure or a table, and below it its number and its caption."""
        name = message["name"]
        caption = message["caption"]
        text = f"{kind.capitalize()} {self.number}-{name}: {caption}"
        metadata = {"image/png": {"alt": caption}} if "image/png" in shown else {}
        _show(kind, message, text, shown, metadata)
        prefix = FLOATS[kind]
        part = self._references.outline.labels.get(f"{prefix}-{self.number}-{name}")
        number = part.words if part else WORDS[prefix]
        written = f"**{number}:** {self._references.resolve(write_text(caption))}"
        _show("caption", {"name": name}, caption, {"text/markdown": written})

    def headline(
        self,
        name: str,
        value: Any,
        what: str,
        form: str = ".1%",
        practical: float | None = None,
        published: float | None = None,
        work: str | None = None,
    ) -> None:
        """Put a number on the page "Results at a glance" and, by its name, into
        `results.json`.

        value: a number, or an object that has a mean and formats itself, such as an
        interval. what: what was measured, in plain words. form: Python's format of this
        number and of those beside it, by default a share in per cent. practical: the
        same under other settings, in a column that report.toml names. published: what
        `work`, a key of report/references.bib, reports. Raises LabreportError for
        published without work, and for what is no finite number or does not fit `form`.
        """
        if published is not None and not work:
            raise expected(
                f"the work where {name} is published", "none", "pass its key"
            )
        text = write_value(value, form, name)
        for beside in (practical, published):
            if beside is not None:
                write_value(beside, form, name)
        mean = value if hasattr(value, "item") else getattr(value, "mean", value)
        message: Headline = {
            "name": name,
            "what": what,
            "form": form,
            "work": work,
            "text": text,
            "value": as_scalar(mean),
            "practical": as_scalar(practical),
            "published": as_scalar(published),
        }
        _show("headline", message, f"★ {what}: {text}")


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


def _require_name_and_caption(name: str, caption: str) -> None:
    if not re.fullmatch(NAME, name):
        remedy = "use small letters, digits and hyphens"
        raise expected("a name like 'saliency-cat'", repr(name), remedy)
    if not caption.strip() or "\n\n" in caption:
        got = "several" if caption.strip() else "none"
        raise expected(
            "a caption of one paragraph", f"{got} ({name})", "say what one sees"
        )


def _render(figure: Figure, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    # TrueType outlines; the default is Type 3, which some viewers draw badly.
    with mpl.rc_context({"pdf.fonttype": 42}):
        figure.savefig(
            buffer, format=file_format, bbox_inches="tight", pad_inches=0.03, **options
        )
    return buffer.getvalue()
