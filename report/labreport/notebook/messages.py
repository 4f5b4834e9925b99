"""The messages of a kernel to a build: what a cell's outputs have of the type MIME,
beside the text, Markdown, HTML or PNG that Jupyter shows.

Each message has its "kind": "chapter" (a `Description`), "values" (`Values`), "figure"
or "animation" (`Picture`), "table" (`Table`), "caption" (its name alone: what is shown
is for Jupyter) or "headline" (`Headline`).
"""

from typing import Any, TypedDict

MIME = "application/vnd.labreport+json"
# Kinds of messages that show something, and what its label begins with.
FLOATS = {"figure": "fig", "animation": "fig", "table": "tab"}


class Description(TypedDict):
    """What `Chapter` says of the run: its parameters, and `environment.describe`."""

    name: str
    profile: str
    seed: int
    seeds: list[int]
    python: str
    packages: dict[str, str]
    platform: str
    cpu: str
    cores: int
    threads: int
    settings: list[str]
    commit: str
    date: str


class Evaluated(TypedDict, total=False):
    """A placeholder: its text and value, or its error.

    beside: what a page says beside it, as `read_beside` has it.
    """

    text: str
    value: Any
    error: str
    beside: str


class Verdict(TypedDict, total=False):
    """A claim: whether it holds, or why it is neither true nor false."""

    claim: str
    holds: bool
    error: str


class Values(TypedDict):
    """The placeholders, by what is between their braces, and the claims of the prose
    below a cell.
    """

    values: dict[str, Evaluated]
    claims: list[Verdict]


class Float(TypedDict):
    """What figures and tables have.

    An edition adds "label" and "number" (fig-1-cat, Figure 1.1) and "alt", the caption
    without markup.
    """

    name: str
    caption: str


class Picture(Float):
    """A figure, or an animation's key frames; pdf: in base64."""

    pdf: str


class Table(Float):
    """A table; align: "l" or "r" for each column."""

    columns: list[str]
    rows: list[list[str]]
    align: list[str]


class Headline(TypedDict):
    """A number at a glance, as `Chapter.headline` describes it."""

    name: str
    what: str
    form: str
    work: str | None
    text: str
    value: Any
    practical: Any
    published: Any
