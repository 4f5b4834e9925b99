"""How a notebook speaks to the report: numbers, figures, tables and claims.

Markdown is pandoc's, each cell's footnotes and links its own; TeX stands in formulas
alone. Captions and cells of tables are text, whatever its characters, but for
references, citations, $formulas$ and `code`. Besides there are:

    {{gain.mean:.1%}}                   an expression in a format of Python, evaluated
    after the cell of code above; not in captions and tables, which are strings that the
    cell formats itself <!-- holds: gain.low > 0 -->        what the sentence before it
    rests on @fig-name, @tab-name                a figure or table of this chapter;
    @fig-2-name, @fig-A-name: of another ## Heading {#sec-name}, @sec-name   a section
    and a reference to it \\label{eq-name}, @eq-name          an equation and a
    reference to it [@key], @key                        a work in report/references.bib;
    [see @fig-name; @key, p. 3] has both
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
from matplotlib.figure import Figure

from labreport import environment, paths
from labreport.notebook import errors, players
from labreport.notebook.expressions import as_scalar, write_value
from labreport.notebook.live import LiveProse, make_script
from labreport.notebook.outline import NAME, WORDS
from labreport.notebook.prose import Prose, write_text
from labreport.notebook.stills import plot_moments, plot_row
from labreport.paths import require
from labreport.profiles import get_profile

if TYPE_CHECKING:
    from labreport.results import Table

require("", "IPython")  # of every Jupyter kernel, and of no plain Python

from IPython import get_ipython  # noqa: E402
from IPython.display import display  # noqa: E402

# What the report reads; Jupyter shows the text, Markdown, HTML or PNG beside it.
MIME = "application/vnd.labreport+json"


class Chapter:
    """What a notebook shows and tells the report; `name` is its file stem, as in
    `1_transfer_learning`.

    seed: what all chance of the notebook comes from; `seeds`, of what it repeats, go on
    from it as the profile says.

    The kernel is held to one thread, or as many as `LABREPORT_THREADS` says: no number
    depends on the machine's cores.
    """

    def __init__(self, name: str, profile: str = "quick", seed: int = 0) -> None:
        self.name = name
        self.number = paths.chapter_number(name)
        self.profile = get_profile(profile)
        self.seed = seed
        self.seeds = tuple(seed + later for later in self.profile.seeds)
        environment.limit_threads()
        session = Path(os.environ.get("JPY_SESSION_NAME", ""))
        path = paths.notebooks() / f"{name}.ipynb"
        if session.suffix == ".ipynb" and session.is_file():
            path = session
        self._prose = Prose(path, self.number)
        facts = {
            "profile": profile,
            "seed": seed,
            "seeds": list(self.seeds),
            **environment.describe(),
        }
        words = f"{paths.chapter_words(self.number)}, profile {profile}, seed {seed}"
        ready = f"{words}: the prose shows each number once its cell has run."
        script = make_script(self._prose, ready)
        html = f'<div><span class="labreport-words">{words}</span>\n{script}</div>'
        _show("chapter", {"name": name, **facts}, words, {"text/html": html})
        if shell := get_ipython():
            LiveProse(self._prose, shell, partial(_show, "values"))
            if session.name:  # a person works in it
                shell.set_custom_exc((Exception,), errors.show)

    def show_figure(self, figure: Figure, name: str, caption: str) -> None:
        """Save as `figures/<number>-<name>.pdf`, show as PNG, close; prose refers to it
        as `@fig-<name>`.
        """
        _require_name_and_caption(name, caption)
        pdf, png = self._draw(figure, name)
        # The PDF travels in the output: another profile's run overwrites the file, not
        # an executed notebook.
        self._show_float("figure", name, caption, {"pdf": pdf}, {"image/png": png})

    def show_animation(
        self,
        frames: np.ndarray,
        key_frames: Figure | Sequence[int],
        name: str,
        caption: str,
    ) -> None:
        """Play frames above their key frames, which paper has alone; a click pauses.

        frames: uint8 (F, H, W) or (F, H, W, 3), F >= 2. key_frames: a figure, saved as
        show_figure does, or each frame's step, for `plot_moments`; prose refers to both
        as `@fig-<name>`.
        """
        _require_name_and_caption(name, caption)
        player = players.make_player(frames)
        stills = (
            key_frames
            if isinstance(key_frames, Figure)
            else plot_moments(frames, key_frames)
        )
        pdf, png = self._draw(stills, name)
        # The report's page takes what stands before the stills, and shows the PNG as it
        # shows others.
        source = f"data:image/png;base64,{png}"
        page = f'{player}<img class="labreport-stills" src="{source}" alt="key frames">'
        shown = {"image/png": png, "text/html": page}
        self._show_float("animation", name, caption, {"pdf": pdf}, shown)

    def show_explorer(
        self,
        render: players.Render,
        axes: players.Axes,
        start: Sequence[int],
        name: str,
        caption: str,
    ) -> None:
        """A figure to explore by a slider an axis; paper has what the last axis
        changes. Prose refers to `@fig-<name>`.

        render: (a value of each axis) -> (picture uint8 (H, W) or (H, W, 3), its
        reading in words), called for every combination. axes: {name: values}. start:
        the place on each axis at first.
        """
        _require_name_and_caption(name, caption)
        frames, readings = players.make_frames(render, axes)
        page = players.make_explorer(frames, axes, readings, start)
        row, values = frames[tuple(start[:-1])], list(axes.values())[-1]
        places = (
            np.linspace(0, len(values) - 1, min(len(values), 6)).round().astype(int)
        )
        titles = [f"{list(axes)[-1]} {values[place]}" for place in places]
        still = plot_row(list(row[places]), titles)
        pdf, png = self._draw(still, name)
        shown = {"image/png": png, "text/html": page}
        self._show_float("figure", name, caption, {"pdf": pdf}, shown)

    def _draw(self, figure: Figure, name: str) -> tuple[str, str]:
        """The figure as PDF, which is saved too, and as PNG, both in base64; it is
        closed.
        """
        pdf = _render(figure, "pdf", metadata={"CreationDate": None})
        png = _render(figure, "png", dpi=150)
        paths.write_atomically(paths.figures() / f"{self.number}-{name}.pdf", pdf)
        # Only one made through pyplot has to be forgotten by it.
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close(figure)
        return base64.b64encode(pdf).decode(), base64.b64encode(png).decode()

    def show_table(
        self, table: Table | Sequence[Mapping[str, Any]], name: str, caption: str
    ) -> None:
        """Show a `results.Table`, or a list of rows {column: cell}; prose refers to it
        as `@tab-<name>`.

        Cells are numbers or text; one that a row lacks is a dash.
        """
        if isinstance(table, Sequence):
            columns = list(dict.fromkeys(column for row in table for column in row))
            rows = [[row.get(column, "–") for column in columns] for row in table]
        else:
            columns, rows = table.columns, table.rows
        _require_name_and_caption(name, caption)
        cells = [
            [write_value(cell, "", f"a cell of {name}") for cell in row] for row in rows
        ]
        align = [
            "r" if all(map(_is_numeric, column)) else "l"
            for column in zip(*cells, strict=True)
        ]
        content = {"columns": columns, "rows": cells, "align": align}
        heads, *written = ([*map(write_text, row)] for row in [columns, *cells])
        shown = self._prose.resolve(markdown_table(heads, written, align))
        self._show_float("table", name, caption, content, {"text/markdown": shown})

    def _show_float(
        self, kind: str, name: str, caption: str, content: dict, shown: dict
    ) -> None:
        text = f"{kind.capitalize()} {self.number}-{name}: {caption}"
        metadata = {
            mime: {"alt": caption} for mime in shown if mime.startswith("image/")
        }
        _show(
            kind, {"name": name, "caption": caption, **content}, text, shown, metadata
        )
        label = f"{'tab' if kind == 'table' else 'fig'}-{self.number}-{name}"
        number = self._prose.outline.labels.get(label, {}).get("text", WORDS[label[:3]])
        shown = {
            "text/markdown": f"**{number}:** {self._prose.resolve(write_text(caption))}"
        }
        _show("caption", {"name": name}, caption, shown)

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
        """A number that a reader wants first: "Results at a glance" shows it,
        `results.json` has it by name.

        value: a number, or one that has a mean and formats itself, such as an interval.
        what: in plain words, what was measured. form: Python's format of this number
        and of those beside it, a share in per cent by default.
        practical: what the assignment's settings give. published: that of `work`, a key
        of report/references.bib. Raises ValueError for published without work, and for
        what is no finite number.
        """
        if published is not None and not work:
            raise ValueError(
                f"expected the work where {name} is published, got none; pass its key."
            )
        text = write_value(value, form, name)
        mean = value if hasattr(value, "item") else getattr(value, "mean", value)
        numbers = {"value": mean, "practical": practical, "published": published}
        facts = {"name": name, "what": what, "form": form, "work": work, "text": text}
        facts |= {key: as_scalar(number) for key, number in numbers.items()}
        _show("headline", facts, f"★ {what}: {text}")


def _show(
    kind: str, content: dict, text: str, shown: Any = (), metadata: Any = None
) -> None:
    bundle = {"text/plain": text, **dict(shown), MIME: {"kind": kind, **content}}
    display(bundle, raw=True, metadata=metadata)


def _require_name_and_caption(name: str, caption: str) -> None:
    if not re.fullmatch(NAME, name):
        raise ValueError(
            f"expected a name like 'saliency-cat', got {name!r}; use letters and hyphens."
        )
    if not caption.strip() or "\n\n" in caption:
        got = "several" if caption.strip() else "none"
        raise ValueError(
            f"expected a caption of one paragraph, got {got} ({name}); say what one sees."
        )


def _render(figure: Figure, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    # TrueType outlines; the default is Type 3, which some viewers draw badly.
    with mpl.rc_context({"pdf.fonttype": 42}):
        figure.savefig(
            buffer, format=file_format, bbox_inches="tight", pad_inches=0.03, **options
        )
    return buffer.getvalue()


def _is_numeric(cell: str) -> bool:
    """1,500 · 0.91 ± 0.02 · 91.0 % · −3.5 px · 2.1 ms · 1e-05, or an empty cell."""
    number = r"[-−+<>≈~]?\s?\d[\d,.\u202f]*(e[-+]?\d+)?"
    pattern = rf"|[-–—]|{number}(\s?[±×/]\s?{number})?(\s?(%|[a-zA-Zµ]{{1,3}}))?"
    return re.fullmatch(pattern, cell) is not None


def markdown_table(
    columns: Sequence[str], rows: Sequence[Any], align: Sequence[str]
) -> str:
    """A table of Markdown; rows: of cells, which are text; align: "l" or "r" a column."""
    rule = ["---:" if side == "r" else ":---" for side in align]
    barred = (
        [re.sub(r"(?<!\\)\|", r"\|", cell) for cell in row]
        for row in [columns, rule, *rows]
    )
    return "\n".join("| " + " | ".join(row) + " |" for row in barred)
