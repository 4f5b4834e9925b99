"""The Markdown of notebooks: its references, its typography, and its way through pandoc."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dlapps.report import ReportError
from dlapps.report.sources import first_line

Refer = Callable[[str], str]  # a label to the reference's Markdown
READER = "markdown-auto_identifiers+lists_without_preceding_blankline"
SEPARATOR = "%%dlapps-fragment%%"

_NAME = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
_NUMBER = re.compile(r"\{\{([A-Za-z_]\w*)(?::([^{}]+))?\}\}")
_NUMBERED_LINE = re.compile(r"^(\s*\{\{[^{}]+\}\})(?=[.)]\s)", re.MULTILINE)
_REFERENCE = re.compile(rf"(?<![\w@])@(fig|tab|sec|eq)-(?:(\d+)-)?({_NAME})")
_CITATION = re.compile(r"(?<![\w@\\])@([A-Za-z0-9_](?:[\w:.#$%&+?<>~/-]*\w)?)")
_HEADING_LABEL = re.compile(rf"\{{#sec-({_NAME})")
_EQUATION_LABEL = re.compile(rf"\\label\{{eq-({_NAME})\}}")

_ENVIRONMENT = r"\\begin\{(?P<env>(?:equation|align|gather|multline)\*?)\}[\s\S]+?\\end\{(?P=env)\}"
_INLINE_MATH = r"(?<![\\$])\$(?=[^\s$])(?:\\.|(?!\n\s*\n)[^$\\])*?(?<=\S)\$(?!\d)"
_SPAN = re.compile(
    r"(?P<code>^(?P<fence>```+|~~~+)[\s\S]*?^(?P=fence)|(?P<ticks>`+)[\s\S]*?(?<!`)(?P=ticks)(?!`)(?:\{=\w+\})?)"
    rf"|(?P<math>\$\$[\s\S]+?\$\$|{_ENVIRONMENT}|{_INLINE_MATH})",
    re.MULTILINE,
)
_UNITS = r"(?:%|px|pixels?|ms|s|min|h|[kMG]i?B|[kM]|GHz|epochs?|steps?|classes|pictures|images|digits|seeds?|cores?)"


def split_spans(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a text in their order, each with its kind: "prose", "math" or "code"."""
    position = 0
    for span in _SPAN.finditer(text):
        yield text[position : span.start()], "prose"
        yield span[0], "code" if span["code"] else "math"
        position = span.end()
    yield text[position:], "prose"


def rewrite_spans(text: str, change: Callable[[str, bool], str]) -> str:
    """The text with `change(part, is_math)` applied to prose and formulas; code stays as it is."""
    return "".join(part if kind == "code" else change(part, kind == "math") for part, kind in split_spans(text))


def substitute_numbers(text: str, fill: Callable[[str, str, bool], str]) -> str:
    """The text with each `{{name:spec}}` replaced by `fill(name, spec, is_math)`.

    A number that begins a line, with a full stop behind it, stays a number: Markdown would start a list.
    """

    def change(part: str, math: bool) -> str:
        part = part if math else _NUMBERED_LINE.sub(r"\1\\", part)
        return _NUMBER.sub(lambda found: fill(found[1], found[2] or "", math), part)

    return rewrite_spans(text, change)


def number_names(text: str) -> set[str]:
    """The names of the numbers that a text uses."""
    return {name for part in _parts(text, "prose", "math") for name, _ in _NUMBER.findall(part)}


def references(text: str, chapter: int) -> set[str]:
    """The labels that `@fig-name`, `@tab-2-name` … in a chapter's text refer to."""
    found = (reference for part in _parts(text, "prose") for reference in _REFERENCE.findall(part))
    return {f"{kind}-{number or chapter}-{name}" for kind, number, name in found}


def citations(text: str) -> set[str]:
    """The keys of the works that a text cites."""
    return {key for part in _parts(text, "prose") for key in _CITATION.findall(_REFERENCE.sub("", part))}


def label_definitions(text: str) -> Iterator[tuple[str, str]]:
    """("sec", name) of each `{#sec-name}` and ("eq", name) of each `\\label{eq-name}`."""
    for part in _parts(text, "prose", "math"):
        yield from (("sec", name) for name in _HEADING_LABEL.findall(part))
        yield from (("eq", name) for name in _EQUATION_LABEL.findall(part))


def latex_reference(label: str) -> str:
    """A raw span of LaTeX that cleveref turns into the reference's words."""
    return rf"`\Cref{{{label}}}`{{=latex}}"


def html_reference(label: str) -> str:
    """A link without words; they are known when all chapters are numbered."""
    return f'`<a href="#{label}"></a>`{{=html}}'


def resolve_references(text: str, chapter: int, refer: Refer = latex_reference) -> str:
    """Labels made the chapter's own, references made what `refer` writes for a label."""

    def change(part: str, math: bool) -> str:
        part = _HEADING_LABEL.sub(rf"{{#sec-{chapter}-\1", part)
        part = _EQUATION_LABEL.sub(rf"\\label{{eq-{chapter}-\1}}", part)
        return part if math else _REFERENCE.sub(lambda it: refer(f"{it[1]}-{it[2] or chapter}-{it[3]}"), part)

    return rewrite_spans(text, change)


def frame_equations(text: str) -> str:
    """LaTeX's environments as displayed formulas: those with a number in a block with their label and room for it."""

    def change(part: str, math: bool) -> str:
        if not math or not (found := re.fullmatch(_ENVIRONMENT, part)):
            return part
        if found["env"].endswith("*"):
            return f"\n\n$${part}$$\n\n"
        if found["env"] in ("align", "gather") and r"\\" in part:
            raise ReportError(
                f"expected an equation with one number, got several lines of {found['env']}; use equation with aligned."
            )
        label = re.search(r"\\label\{([^}]*)\}", part)
        identity = f"#{label[1]} " if label else ""
        return f"\n\n::: {{{identity}.equation}}\n$${part}$$\n[]{{.number}}\n:::\n\n"

    return rewrite_spans(text, change)


def keep_together(text: str) -> str:
    """Numbers with their units on one line, minus signs in prose, no gap after a thousands comma in formulas."""

    def change(part: str, math: bool) -> str:
        if math:
            return re.sub(r"(?<=\d),(?=\d{3})", "{,}", part)
        part = re.sub(rf"(?<=\d) (?={_UNITS}(?!\w))", "\u00a0", part)
        part = re.sub(r"(?<=[\d%]) (?=[±×] )|(?<= [±×≈<>≤≥]) (?=\d)", "\u00a0", part)
        return re.sub(r"(?<![\w/.@{}#-])-(?=\d)", "−", part)

    return rewrite_spans(text, change)


def escape(text: str) -> str:
    """A word as Markdown that means the word itself."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def to_latex(fragments: Sequence[str]) -> list[str]:
    """Each fragment as LaTeX, all of them in one run of pandoc."""
    options = ["--natbib", "--wrap=preserve", "--no-highlight", "--top-level-division=chapter"]
    return _pandoc(fragments, "latex", options)


def to_html(fragments: Sequence[str], bibliography: Path) -> list[str]:
    """Each fragment as HTML with MathML, and one more: the works cited; all of them in one run of pandoc."""
    options = ["--mathml", "--wrap=none", "--no-highlight", "--fail-if-warnings", "--metadata=lang:en-GB"]
    if bibliography.exists():
        options += ["--citeproc", f"--bibliography={bibliography}", "--metadata=link-citations:true"]
    return _pandoc([*fragments, ""], "html", options)


def _pandoc(fragments: Sequence[str], language: str, options: Sequence[str]) -> list[str]:
    raw = f"```{{={language}}}\n"
    separator = f"\n\n{raw}{SEPARATOR}\n```\n\n"
    command = ["pandoc", "--from", READER, "--to", language, *options]
    try:
        run = subprocess.run(command, input=separator.join(fragments), capture_output=True, encoding="utf-8")
    except FileNotFoundError as error:
        raise ReportError("expected pandoc, got no such program; install it (Debian: apt install pandoc).") from error
    parts = [part.strip() for part in run.stdout.split(SEPARATOR)]
    if run.returncode or len(parts) != len(fragments) or raw in run.stdout:
        culprit = next(
            (part for part in fragments if len(re.findall(r"^(```|~~~)", part, re.MULTILINE)) % 2), run.stderr
        )
        raise ReportError(
            f"expected Markdown that pandoc can read, got {first_line(culprit, 90)!r}; correct it (a block left open?)."
        )
    return parts


def _parts(text: str, *kinds: str) -> Iterator[str]:
    return (part for part, kind in split_spans(text) if kind in kinds)
