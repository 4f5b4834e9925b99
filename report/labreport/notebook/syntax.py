"""Read, walk and write pandoc's syntax tree of Markdown.

A node is pandoc's JSON, {"t": type, "c": content}.
"""

import functools
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pypandoc

from labreport import LabreportError, expected, first_line

Node = dict[str, Any]
Tree = list[Node]

# A picture is a part of its line, and no piece has metadata.
READER = (
    "markdown+lists_without_preceding_blankline-auto_identifiers-implicit_figures-raw_attribute"
    "-yaml_metadata_block-pandoc_title_block"
)
SEPARATOR = "%%labreport-fragment%%"
_END = "```labreport-end\n```"
_LAST = {"t": "CodeBlock", "c": [["", ["labreport-end"], []], ""]}


def parse(fragments: Sequence[str], cells: Sequence[str] = ()) -> list[Tree]:
    """Read the blocks of each piece of Markdown, all in one run of pandoc.

    Each piece has its own footnotes and links. Raises LabreportError for a piece that
    cannot be read: a block is not closed, or a footnote or a link is defined twice or
    without use. The error begins with the piece's cell, if there are `cells`.
    """
    pieces = [f"{fragment}\n\n{_END}" for fragment in fragments]
    text = json.dumps({"format": READER, "pieces": pieces})
    reader = Path(__file__).with_name("pieces.lua")
    document = json.loads(run_pandoc(text, ["--from", str(reader), "--to", "json"]))
    trees: list[Tree] = []
    for fragment, block in zip(fragments, document["blocks"], strict=True):
        (_, _, attributes), tree = block["c"]
        warning = dict(attributes)["warning"]
        # An open block takes what ends the piece into itself.
        if warning or tree[-1:] != [_LAST]:
            reason = re.sub(r"(?<!^)(?=[A-Z])", " ", warning).lower()
            where = f"{cells[len(trees)]}: " if cells else ""
            got = f"{first_line(fragment, 90)!r} ({reason or 'a block left open'})"
            raise LabreportError(
                f"{where}expected Markdown that pandoc can read, got {got}; correct it."
            )
        trees.append(tree[:-1])
    return trees


def write(
    trees: Sequence[Tree], language: str, options: Sequence[str] = ()
) -> list[str]:
    """Write each tree in pandoc's `language`, all in one run.

    Returns the texts, and at the end what pandoc appends: the works cited.
    """
    raw = language if language in ("latex", "plain") else "html"
    blocks: Tree = []
    for tree in trees:
        blocks += tree
        blocks.append({"t": "RawBlock", "c": [raw, SEPARATOR]})
    document = {"pandoc-api-version": _api_version(), "meta": {}, "blocks": blocks}
    own = ["--from", "json", "--to", language]
    own += ["--fail-if-warnings", "--reference-location=block"]
    written = run_pandoc(json.dumps(document), [*own, *options])
    return [part.strip() for part in written.split(SEPARATOR)]


def walk(tree: Any, change: Callable[[Tree], Tree]) -> Any:
    """Apply `change` to each list of nodes in a tree, the innermost first."""
    if isinstance(tree, dict):
        return {key: walk(value, change) for key, value in tree.items()}
    if not isinstance(tree, list):
        return tree
    walked = [walk(value, change) for value in tree]
    are_nodes = all(isinstance(value, dict) and "t" in value for value in walked)
    return change(walked) if walked and are_nodes else walked


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

    def spell(siblings: Tree) -> Tree:
        return [part for node in siblings for part in _spell_quotes(node)]

    text = "".join(word_of(node) for node in nodes(walk(tree, spell)))
    return " ".join(text.split())


def word_of(node: Node) -> str:
    """Return the text of a node itself, without the nodes in it.

    That is a space between words, and a line break before a paragraph.
    """
    kind = node["t"]
    if kind in ("Space", "SoftBreak", "LineBreak"):
        return " "
    if kind in ("Para", "Plain"):
        return "\n"
    if kind == "Str":
        return node["c"]
    return node["c"][1] if kind in ("Code", "Math") else ""


def _spell_quotes(node: Node) -> Tree:
    if node["t"] != "Quoted":
        return [node]
    opening, closing = "“”" if node["c"][0]["t"] == "DoubleQuote" else "‘’"
    return [{"t": "Str", "c": opening}, *node["c"][1], {"t": "Str", "c": closing}]


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
    command = [str(program), *options]
    try:
        run = subprocess.run(command, input=text, capture_output=True, encoding="utf-8")
    except FileNotFoundError as error:
        remedy = "run pip install --force-reinstall pypandoc-binary"
        raise expected(f"pandoc at {program}", "no such program", remedy) from error
    if run.returncode:
        got = first_line(run.stderr, 200)
        raise expected("a text that pandoc can read", repr(got), "correct it")
    return run.stdout
