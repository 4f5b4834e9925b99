"""Find and check the claims of prose, <!-- holds: expression -->."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from labreport import expected
from labreport.notebook.expressions import CODE, as_scalar, is_expression
from labreport.notebook.messages import Verdict
from labreport.notebook.syntax import Node, Tree, nodes, word_of

FALSE = "In this run this does not hold"
# A comment ends with the text where nothing closes it.
_COMMENT = re.compile(CODE + r"|<!--(?P<remark>.*?)(?P<end>-->|\Z)")
_CLAIM = re.compile(r"\s*holds:\s*(\S.*)", re.DOTALL)


class Claim(NamedTuple):
    """A claim: the expression that must hold, the comment that contains it, and the
    sentence before the comment.

    block: the index of the block that contains both, among those that a page shows.
    """

    expression: str
    comment: Node
    sentence: str
    block: int


def find_claims(markdown: str) -> list[str]:
    """List the expressions of the comments <!-- holds: expression -->, with single
    spaces.
    """
    claims: list[str] = []
    for comment in _COMMENT.finditer(markdown):
        claim = _CLAIM.fullmatch(comment["remark"] or "")
        if claim:
            claims.append(" ".join(claim[1].split()))
    return claims


def require_claims(markdown: str) -> None:
    """Raise LabreportError for a comment that is not closed, and for one that begins
    like a claim but is not one.
    """
    for comment in _COMMENT.finditer(markdown):
        remark = comment["remark"]
        if remark is None:
            continue
        start = repr(f"<!--{remark[:40]}".rstrip())
        if not comment["end"]:
            raise expected(
                "a comment that is closed", f"{start} without -->", "close it"
            )
        claim = _CLAIM.fullmatch(remark)
        seems_claim = re.match(r"\s*holds?\b", remark, re.IGNORECASE)
        if seems_claim and not (claim and is_expression(claim[1])):
            raise expected(
                "a claim",
                start,
                "write <!-- holds: gain.low > 0 -->, an expression of Python, or begin "
                "the remark with another word",
            )


def check_claim(claim: str, scope: Mapping[str, Any]) -> Verdict:
    """Evaluate a claim: return whether it holds, or one sentence that says why it is
    neither true nor false.

    True and False are Python's, NumPy's, or those of an array or a tensor of one
    element.
    """
    try:
        # The scope is passed as globals: a comprehension sees no others.
        verdict = as_scalar(eval(claim, dict(scope)))
    except Exception as error:
        return {"claim": claim, "error": f"{type(error).__name__}: {error}"}
    if not isinstance(verdict, bool):
        return {"claim": claim, "error": f"{verdict!r:.60}"}
    return {"claim": claim, "holds": verdict}


def claims_of(tree: Tree) -> list[Claim]:
    """List the claims of a cell's prose in reading order."""
    claims: list[Claim] = []
    text = ""
    last_shown = -1
    for block in tree:
        if not _is_comment(block):
            last_shown += 1
        for node in nodes(block):
            if not _is_comment(node):
                text += word_of(node)
                continue
            sentence = _last_sentence(text)
            for expression in find_claims(node["c"][1]):
                claims.append(Claim(expression, node, sentence, max(last_shown, 0)))
        text += "\n"
    return claims


def _is_comment(node: Node) -> bool:
    is_raw = node["t"] in ("RawInline", "RawBlock")
    return is_raw and node["c"][1].startswith("<!--")


def _last_sentence(text: str) -> str:
    """Return the last sentence of a text in which each paragraph is a line."""
    line = text.rstrip().rpartition("\n")[2]
    return re.split(r"(?<=[.!?])\s", " ".join(line.split()))[-1]
