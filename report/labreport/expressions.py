"""What prose takes from code: placeholders, {{expression:format}}, and claims,
<!-- holds: expression -->.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, TypedDict

from labreport import LabreportError, expected

Scalar = int | float | str | bool
# What code shows is neither a placeholder nor a comment. Code in a line ends with its
# paragraph, a block of code may contain blank lines.
_BLOCK = r"(?P<fence>`{3,})(?!`).+?(?<!`)(?P=fence)(?!`)"
_INLINE = r"(?P<tick>`{1,2})(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)(?P=tick)(?!`)"
CODE = f"(?s){_BLOCK}|{_INLINE}"
_PLACEHOLDER = re.compile(CODE + r"|\{\{(?P<inner>[^{}]+)\}\}")
# A comment ends with the text where nothing closes it.
_COMMENT = re.compile(CODE + r"|<!--(?P<remark>.*?)(?P<end>-->|\Z)")
_CLAIM = re.compile(r"\s*holds:\s*(\S.*)", re.DOTALL)
_NAMES = ast.Expression | ast.Name | ast.Attribute | ast.Subscript | ast.Constant
_NAMES |= ast.UnaryOp | ast.USub | ast.Load
# A claim compares names; nothing that it calls changes them.
_COMPARISONS = _NAMES | ast.Compare | ast.BoolOp | ast.BinOp | ast.List
_COMPARISONS |= ast.operator | ast.cmpop | ast.boolop | ast.unaryop
FUNCTIONS = ("abs", "len", "max", "min")
# Values that a build can write in another format than the run did.
KNOWN = ("Interval", "Score")


class Evaluated(TypedDict, total=False):
    """An expression of prose as the kernel evaluated it.

    value: in what JSON has. kind: "number" (or a text), "Interval" or "Score", of which
    a build writes the value; for any other object it is "object", of which `texts` have
    what each format gave. error: a sentence instead of all these.
    """

    value: Any
    kind: str
    texts: dict[str, str]
    error: str


class Verdict(TypedDict, total=False):
    """A claim: whether it holds, or why it is neither true nor false."""

    holds: bool
    error: str


def mark_placeholders(markdown: str) -> str:
    """Write each placeholder as code of the class "number", `baseline:.1%`{.number};
    code stays as it is.
    """

    def mark(match: re.Match[str]) -> str:
        if not match["inner"]:
            return match[0]
        return f"`{one_line(match['inner'])}`{{.number}}"

    return _PLACEHOLDER.sub(mark, markdown)


def replace_placeholders(markdown: str, write: Callable[[str], str]) -> str:
    """Replace each placeholder by `write` of what stands between its braces."""

    def replace(match: re.Match[str]) -> str:
        return write(one_line(match["inner"])) if match["inner"] else match[0]

    return _PLACEHOLDER.sub(replace, markdown)


def one_line(text: str) -> str:
    """Return a text with single spaces."""
    return " ".join(text.split())


def find_claim(comment: str) -> str:
    """Return the expression of a comment <!-- holds: expression -->, or ""."""
    claim = _CLAIM.fullmatch(comment.removeprefix("<!--").removesuffix("-->"))
    return one_line(claim[1]) if claim else ""


def require_comments(markdown: str) -> None:
    """Raise LabreportError for a comment that is not closed, and for one that begins
    like a claim but is not one.
    """
    for comment in _COMMENT.finditer(markdown):
        remark = comment["remark"]
        if remark is None:
            continue
        start = repr(f"<!--{remark[:40]}".rstrip())
        if not comment["end"]:
            got = f"{start} without -->"
            raise expected("a comment that is closed", got, "close it")
        seems_claim = re.match(r"\s*holds?\b", remark, re.IGNORECASE)
        if seems_claim and not _is_comparison(find_claim(remark)):
            raise expected(
                "a claim, a name or a comparison such as <!-- holds: gain.low > 0 -->, "
                f"which may call {', '.join(FUNCTIONS)}",
                start,
                "compute it in the cell, or begin the remark with another word",
            )


def _is_comparison(expression: str) -> bool:
    if not _is_expression(expression):
        return False
    for node in ast.walk(ast.parse(expression, mode="eval")):
        if isinstance(node, ast.Call):
            if ast.unparse(node.func) not in FUNCTIONS or node.keywords:
                return False
        elif not isinstance(node, _COMPARISONS):
            return False
    return True


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def split_format(placeholder: str) -> tuple[str, str]:
    """Split "gain.mean:.1f" into ("gain.mean", ".1f").

    The format begins behind the first colon that follows an expression of Python.
    Raises LabreportError unless the expression consists of names, attributes and
    literal keys.
    """
    expression = placeholder
    form = ""
    end = placeholder.find(":")
    while end >= 0:
        if _is_expression(placeholder[:end].strip()):
            expression = placeholder[:end].strip()
            form = placeholder[end + 1 :].strip()
            break
        end = placeholder.find(":", end + 1)
    is_simple = _is_expression(expression)
    if is_simple:
        tree = ast.parse(expression, mode="eval")
        is_simple = all(isinstance(node, _NAMES) for node in ast.walk(tree))
    if not is_simple:
        wanted = "names, attributes and literal keys, then a format, as in "
        wanted += 'scores["VGG16"].mean:.1%'
        raise expected(wanted, f"{{{{{placeholder}}}}}", "compute it in a cell")
    return expression, form


def evaluate(placeholder: str, scope: Mapping[str, Any]) -> Evaluated:
    """Evaluate a placeholder: its value, or its error as a sentence."""
    try:
        expression, form = split_format(placeholder)
        value = as_scalar(eval(expression, {}, scope))  # of the notebook's author
        text = write_value(value, form, expression)
        kind = type(value).__name__
        if isinstance(value, Scalar):
            kind = "number"
        elif kind not in KNOWN:
            kind = "object"
        return {"value": as_plain(value), "kind": kind, "texts": {form: text}}
    except LabreportError as error:
        return {"error": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def check_claim(claim: str, scope: Mapping[str, Any]) -> Verdict:
    """Evaluate a claim: whether it holds, or why it is neither true nor false.

    True and False are Python's, NumPy's, or those of an array or a tensor of one
    element.
    """
    try:
        verdict = as_scalar(eval(claim, dict(scope)))
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    if not isinstance(verdict, bool):
        return {"error": f"{verdict!r:.60}"}
    return {"holds": verdict}


def can_write(evaluated: Evaluated, form: str) -> bool:
    """Return whether a stored value can be written in a format without a run."""
    return evaluated["kind"] != "object" or form in evaluated["texts"]


def write_evaluated(placeholder: str, evaluated: Evaluated) -> str:
    """Write a stored value as a placeholder asks for it.

    Raises LabreportError for a format that does not fit.
    """
    expression, form = split_format(placeholder)
    value = evaluated["value"]
    kind = evaluated["kind"]
    if kind == "object":
        return evaluated["texts"][form]
    if kind in KNOWN:
        # Slow to import, and not needed where nothing is written.
        from labreport import results

        value = getattr(results, kind)(**value)
    return write_value(value, form, expression)


def as_scalar(value: Any) -> Any:
    """Return the element of an array or a tensor that has one; other values as they
    are.
    """
    is_array = hasattr(value, "item") and hasattr(value, "shape")
    if is_array and math.prod(value.shape) == 1:
        return value.item()
    return value


def as_plain(value: Any) -> Any:
    """Convert a value to what JSON has.

    NumPy's and PyTorch's scalars become numbers, a dataclass or a named tuple a
    dictionary, other values text. Raises LabreportError for a number that is not
    finite.
    """
    value = as_scalar(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise expected("finite numbers", value, "correct the cell")
    if isinstance(value, Scalar):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        fields = asdict(value)
    elif hasattr(value, "_asdict"):
        fields = value._asdict()
    else:
        return str(value)
    return {name: as_plain(part) for name, part in fields.items()}


def write_value(value: Any, form: str, name: str) -> str:
    """Write a value in a format of Python; without a format, 1,500 or 0.913.

    A number that rounds to 0 has no sign, and 1e-05 is written 1 × 10⁻⁵. Raises
    LabreportError for what is neither a number nor a text nor formats itself, for a
    number that is not finite, and for a format that does not fit.
    """
    value = as_scalar(value)
    is_array = hasattr(value, "item") and hasattr(value, "shape")
    if value is None or is_array or type(value).__format__ is object.__format__:
        got = f"{value!r:.60}"
        raise expected(f"a number or a text for {name}", got, "take one part of it")
    number = getattr(value, "mean", value)  # of an interval, or of a score over seeds
    if isinstance(number, float) and not math.isfinite(number):
        raise expected(f"a finite number for {name}", number, "correct the cell")
    try:
        shown = format(value, form or _default_format(value))
    except (ValueError, TypeError) as error:
        got = f"{form!r} for {value!r:.60}"
        raise expected(f"a format that fits {name}", got, "correct it") from error
    if isinstance(value, str):
        return shown
    shown = re.sub(r"(?<![\w.])[-+](?=0(\.0+)?(?![\d.]))", "", shown)
    shown = re.sub(r"(?<=\d)e(-?)\+?0*(\d+)", _write_power, shown)
    return re.sub(r"(?<![\w.])-(?=\d)", "−", shown)


def _default_format(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return ","
    if isinstance(value, float):
        # With three digits, 999.5 is 1e+03 already.
        return ",.0f" if abs(value) >= 999.5 else ".3g"
    return ""


def _write_power(power: re.Match[str]) -> str:
    superscripts = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f" × 10{(power[1] + power[2]).translate(superscripts)}"
