"""pandoc's syntax tree of Markdown: read, walk, write. A node is pandoc's JSON, {"t":
type, "c": content}.
"""

import functools
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from labreport import LabreportError
from labreport.paths import require

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


def parse(fragments: Sequence[str], places: Sequence[str] = ()) -> list[Tree]:
    """The blocks of each piece of Markdown, all read in one run of pandoc, each with
    its own footnotes and links.

    A LabreportError quotes one that cannot be read, after its place where there are
    places: a block is left open, or a footnote or a link is defined twice or for
    nothing.
    """
    pieces = [f"{fragment}\n\n{_END}" for fragment in fragments]
    text, reader = (
        json.dumps({"format": READER, "pieces": pieces}),
        Path(__file__).with_name("pieces.lua"),
    )
    document = json.loads(run_pandoc(text, ["--from", str(reader), "--to", "json"]))
    trees: list[Tree] = []
    for fragment, block in zip(fragments, document["blocks"], strict=True):
        (_, _, ((_, warning),)), tree = block["c"]
        # An open block takes what ends the piece into itself.
        if warning or tree[-1:] != [_LAST]:
            reason = (
                re.sub(r"(?<!^)(?=[A-Z])", " ", warning).lower() or "a block left open"
            )
            where = f"{places[len(trees)]}: " if places else ""
            got = f"{first_line(fragment, 90)!r} ({reason}); correct it"
            raise LabreportError(
                f"{where}expected Markdown that pandoc can read, got {got}."
            )
        trees.append(tree[:-1])
    return trees


def write(
    trees: Sequence[Tree], language: str, options: Sequence[str] = ()
) -> list[str]:
    """Each tree in pandoc's `language`, all of them written in one run."""
    raw = language if language in ("latex", "plain") else "html"
    separator = {"t": "RawBlock", "c": [raw, SEPARATOR]}
    blocks = [block for tree in trees for block in (*tree, separator)]
    document = {"pandoc-api-version": _api_version(), "meta": {}, "blocks": blocks}
    own = [
        "--from",
        "json",
        "--to",
        language,
        "--fail-if-warnings",
        "--reference-location=block",
    ]
    written = run_pandoc(json.dumps(document), [*own, *options])
    *parts, rest = (part.strip() for part in written.split(SEPARATOR))
    # What pandoc appends, the works cited, follows the last separator.
    return [*parts, rest]


def walk(tree: Any, change: Callable[[Tree], Tree]) -> Any:
    """The tree with `change` applied to each list of nodes in it, the innermost first."""
    if isinstance(tree, dict):
        return {key: walk(value, change) for key, value in tree.items()}
    if not isinstance(tree, list):
        return tree
    walked = [walk(value, change) for value in tree]
    are_nodes = walked and all(
        isinstance(value, dict) and "t" in value for value in walked
    )
    return change(walked) if are_nodes else walked


def nodes(tree: Any) -> Iterator[Node]:
    """All nodes of a tree, in reading order."""
    if isinstance(tree, dict):
        if "t" in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            yield from nodes(value)


def words(tree: Any) -> str:
    """What a tree says: its words, and of code and formulas what was typed."""
    spelt = walk(
        tree,
        lambda siblings: [part for node in siblings for part in _spell_quotes(node)],
    )
    return " ".join("".join(map(word_of, nodes(spelt))).split())


def word_of(node: Node) -> str:
    """What a node itself says, the nodes in it left out; a space between words, and a
    line break before a paragraph.
    """
    kind = node["t"]
    if kind in ("Space", "SoftBreak", "LineBreak"):
        return " "
    if kind in ("Para", "Plain"):
        return "\n"
    if kind == "Str":
        return node["c"]
    return node["c"][1] if kind in ("Code", "Math") else ""


def first_line(text: str, width: int = 60) -> str:
    """What a sentence quotes of a text: its first line, shortened."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def _spell_quotes(node: Node) -> Tree:
    if node["t"] != "Quoted":
        return [node]
    opening, closing = "“”" if node["c"][0]["t"] == "DoubleQuote" else "‘’"
    return [{"t": "Str", "c": opening}, *node["c"][1], {"t": "Str", "c": closing}]


@functools.cache
def _api_version() -> list[int]:
    return json.loads(run_pandoc("", ["--from", READER, "--to", "json"]))[
        "pandoc-api-version"
    ]


def run_pandoc(text: str, options: Sequence[str]) -> str:
    """What pandoc makes of a text; LabreportError in its words where it cannot read it."""
    require("", "pypandoc")
    import pypandoc

    # The one that the wheel carries, not a newer one of the system: every machine
    # writes the same.
    program = Path(pypandoc.__file__).with_name("files") / "pandoc"
    command = [str(program), *options]
    run = subprocess.run(command, input=text, capture_output=True, encoding="utf-8")
    if run.returncode:
        got = first_line(run.stderr, 200)
        raise LabreportError(
            f"expected a text that pandoc can read, got {got!r}; correct it."
        )
    return run.stdout
