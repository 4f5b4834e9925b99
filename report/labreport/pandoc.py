"""Run pandoc: read Markdown as its syntax tree, cite works, write a tree.

A node is pandoc's JSON, {"t": type, "c": content}; a tree is a list of nodes.
"""

import functools
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pypandoc

from labreport import expected, first_line

Node = dict[str, Any]
Tree = list[Node]

# A picture is a part of its line, no piece has metadata, and as in Jupyter a list or a
# heading needs no blank line above it.
READER = (
    "markdown+lists_without_preceding_blankline-blank_before_header-auto_identifiers"
    "-implicit_figures-raw_attribute-yaml_metadata_block-pandoc_title_block"
)
SEPARATOR = "%%labreport-fragment%%"
# What ends a piece, and pandoc's reader, by language.
_ENDS = {
    "markdown": ("```labreport-end\n```", READER),
    "html": ('<pre class="labreport-end"></pre>', "html"),
}
_EVERY_WORK = json.loads(
    """{"t": "Cite", "c": [[{"citationId": "*", "citationNoteNum": 0, "citationHash": 0,
    "citationMode": {"t": "NormalCitation"}, "citationPrefix": [], "citationSuffix": []}
    ], []]}"""
)
_LAST = {"t": "CodeBlock", "c": [["", ["labreport-end"], []], ""]}


class Piece(NamedTuple):
    """A piece of Markdown as a tree; warning: what is wrong with it, or ""."""

    tree: Tree
    warning: str


def parse(texts: Sequence[str], formats: Sequence[str]) -> list[Piece]:
    """Read the blocks of each piece, "markdown" or "html", all in one run of pandoc.

    Each piece has its own footnotes and links. A block that is not closed, and a
    footnote or a link that is defined twice or without use, is a warning.
    """
    given: list[dict[str, str]] = []
    for text, language in zip(texts, formats, strict=True):
        end, reader = _ENDS[language]
        given.append({"text": f"{text}\n\n{end}", "format": reader})
    options = ["--from", str(Path(__file__).with_name("pieces.lua")), "--to", "json"]
    document = json.loads(run_pandoc(json.dumps({"pieces": given}), options))
    pieces: list[Piece] = []
    for block in document["blocks"]:
        (_, _, attributes), tree = block["c"]
        warning = dict(attributes)["warning"]
        warning = re.sub(r"(?<!^)(?=[A-Z])", " ", warning).lower()
        if tree[-1:] != [_LAST]:  # an open block took it into itself
            warning = warning or "a block left open"
        pieces.append(Piece(tree[:-1], warning))
    return pieces


def cite(
    trees: Sequence[Tree], bibliography: Path
) -> tuple[list[Tree], dict[str, Node]]:
    """Write the citations of all trees as author and year, in one run of pandoc.

    Returns the trees, and every work of the bibliography by its key, as a block.
    Without the file there are no works. Raises LabreportError where the file is not
    valid.
    """
    if not bibliography.is_file():
        return list(trees), {}
    blocks = [{"t": "Div", "c": [["", [], []], tree]} for tree in trees]
    options = ["--from", "json", "--to", "json", "--citeproc"]
    options += [f"--bibliography={bibliography}", "--metadata=link-citations:true"]
    # All works are cited, so that a name is told from others in the same way in each
    # chapter, and a key that is not there is found.
    document = _document(blocks)
    document["meta"] = {"nocite": {"t": "MetaInlines", "c": [_EVERY_WORK]}}
    cited = json.loads(run_pandoc(json.dumps(document), options))
    works: dict[str, Node] = {}
    for references in cited["blocks"][len(trees) :]:
        for entry in references["c"][1]:
            key = entry["c"][0][0].removeprefix("ref-")
            works[key] = entry
    return [block["c"][1] for block in cited["blocks"][: len(trees)]], works


def write(
    trees: Sequence[Tree], language: str, options: Sequence[str] = ()
) -> list[str]:
    """Write each tree in pandoc's `language`, all in one run."""
    raw_language = language if language in ("latex", "plain") else "html"
    blocks: Tree = []
    for tree in trees:
        blocks += tree
        blocks.append({"t": "RawBlock", "c": [raw_language, SEPARATOR]})
    own = ["--from", "json", "--to", language, "--fail-if-warnings"]
    own += ["--reference-location=block", *options]
    written = run_pandoc(json.dumps(_document(blocks)), own)
    return [part.strip() for part in written.split(SEPARATOR)][:-1]


def _document(blocks: Tree) -> dict[str, Any]:
    version = _api_version()
    return {"pandoc-api-version": version, "meta": {}, "blocks": blocks}


def walk(tree: Any, change: Callable[[Node], Tree]) -> Any:
    """Replace each node of a tree by what `change` makes of it, the innermost first."""
    if isinstance(tree, dict):
        return {key: walk(value, change) for key, value in tree.items()}
    if not isinstance(tree, list):
        return tree
    walked: list[Any] = []
    for value in tree:
        changed = walk(value, change)
        if isinstance(changed, dict) and "t" in changed:
            walked += change(changed)
        else:
            walked.append(changed)
    return walked


def nodes(tree: Any) -> Iterator[Node]:
    """Yield all nodes of a tree, in reading order."""
    if isinstance(tree, dict):
        if "t" in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            yield from nodes(value)


def words(tree: Any) -> str:
    """Return the words of a tree; for code and formulas, what was typed."""
    text = "".join(word_of(node) for node in nodes(tree))
    return " ".join(text.split())


def word_of(node: Node) -> str:
    """Return the text of a node itself, without the nodes in it."""
    kind = node["t"]
    if kind == "Str":
        return node["c"]
    if kind in ("Code", "Math"):
        return node["c"][1]
    return " " if kind in ("Space", "SoftBreak", "LineBreak", "Para", "Plain") else ""


def string(text: str) -> Node:
    """Make a word."""
    return {"t": "Str", "c": text}


def raw(language: str, text: str) -> Node:
    """Make a piece of `language` that other editions do not show."""
    return {"t": "RawInline", "c": [language, text]}


def span(content: Tree, kind: str, label: str = "", number: str = "") -> Node:
    """Make a part of a line that has a class, and maybe a label and a number."""
    attributes = [["number", number]] if number else []
    return {"t": "Span", "c": [[label, [kind], attributes], content]}


def link(content: Tree, target: str, kind: str = "", title: str = "") -> Node:
    """Make a link, which may have a class."""
    classes = [kind] if kind else []
    return {"t": "Link", "c": [["", classes, []], content, [target, title]]}


def has_class(node: Node, kind: str) -> bool:
    """Return whether a node that has attributes is of a class."""
    has_attributes = node["t"] in ("Code", "Span", "Link")
    return has_attributes and kind in node["c"][0][1]


@functools.cache
def _api_version() -> list[int]:
    document = json.loads(run_pandoc("", ["--from", READER, "--to", "json"]))
    return document["pandoc-api-version"]


def run_pandoc(text: str, options: Sequence[str]) -> str:
    """Run pandoc on a text.

    Raises LabreportError, which quotes pandoc, where it cannot read the text, and if
    there is no pandoc.
    """
    # The program of the wheel, not a newer one of the system: every machine writes the
    # same.
    program = Path(pypandoc.__file__).with_name("files") / "pandoc"
    try:
        run = subprocess.run(
            [str(program), *options], input=text, capture_output=True, encoding="utf-8"
        )
    except FileNotFoundError as error:
        remedy = "run pip install --force-reinstall pypandoc-binary"
        raise expected(f"pandoc at {program}", "no such program", remedy) from error
    if run.returncode:
        got = repr(first_line(" ".join(run.stderr.split()), 200))
        raise expected("a text that pandoc can read", got, "correct it")
    return run.stdout
