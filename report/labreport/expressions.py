"""What prose takes from code: placeholders, {{expression:format}}, and claims,
<!-- holds: expression -->.
"""

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from labreport import LabreportError, expected

# What code shows is neither a placeholder nor a comment. Code in a line ends with its
# paragraph, a block of code may contain blank lines.
_BLOCK = r"(?P<fence>`{3,}|~{3,})(?![`~]).+?(?<![`~])(?P=fence)(?![`~])"
_INLINE = r"(?P<tick>`{1,2})(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)(?P=tick)(?!`)"
CODE = f"(?s){_BLOCK}|{_INLINE}"
_MARKED = re.compile(
    CODE + r"|\{\{(?P<inner>[^{}]+)\}\}|(?P<equation>\\(begin|end)\{equation\*?\})"
    r"|(?P<reference>@(?:fig|tab|sec|eq)-[\w-]+)(?=\s\[)"
)
# A comment ends with the text where nothing closes it.
_COMMENT = re.compile(CODE + r"|(?P<comment><!--.*?(-->|\Z))")
_CLAIM = re.compile(r"<!--\s*holds:\s*(\S.*?)\s*-->", re.DOTALL)
_NAMES = ast.Expression | ast.Name | ast.Attribute | ast.Subscript | ast.Constant
_NAMES |= ast.UnaryOp | ast.USub | ast.Load
# A claim compares names; nothing that it calls changes them.
_COMPARISONS = _NAMES | ast.Compare | ast.BoolOp | ast.BinOp | ast.List | ast.Call
_COMPARISONS |= ast.operator | ast.cmpop | ast.boolop | ast.unaryop
FUNCTIONS = ("abs", "len", "max", "min")
# Values that a build can write in another format than the run did.
KNOWN = ("Interval", "Score")


# An expression as the kernel evaluated it: "value", in what JSON has; "kind", the name
# of its type; "texts", what each format gave; or "error", a sentence. A claim: "holds",
# or "error".
Evaluated = dict[str, Any]


def mark_markdown(markdown: str) -> str:
    """Write each placeholder as code of the class "number", `baseline:.1%`{.number},
    and each equation between $$; code stays as it is. What stands in brackets behind a
    reference is text, or a citation of its own.
    """

    def mark(match: re.Match[str]) -> str:
        if match["equation"]:
            return "$$"
        if match["inner"]:
            return f"`{one_line(match['inner'])}`{{.number}}"
        if match["reference"]:
            return f"{match[0]}\u200b"  # pandoc would take the brackets to it
        return match[0]

    return _MARKED.sub(mark, markdown)


def one_line(text: str) -> str:
    """Return a text with single spaces."""
    return " ".join(text.split())


def find_claim(comment: str) -> str:
    """Return the expression of a comment <!-- holds: expression -->, or ""."""
    claim = _CLAIM.fullmatch(comment)
    return one_line(claim[1]) if claim else ""


def require_comments(markdown: str) -> None:
    """Raise LabreportError for a comment that is not closed, and for one that begins
    like a claim but is not one.
    """
    for match in _COMMENT.finditer(markdown):
        comment = match["comment"] or ""
        if comment and not comment.endswith("-->"):
            raise expected("a comment that is closed", comment[:40], "write -->")
        seems_claim = re.match(r"<!--\s*holds?\b", comment, re.IGNORECASE)
        if seems_claim and not _is_comparison(find_claim(comment)):
            wanted = (
                "a claim, a name or a comparison such as <!-- holds: gain > 0 -->, "
            )
            wanted += f"which may call {', '.join(FUNCTIONS)}"
            remedy = "compute it in the cell, or begin the remark with another word"
            raise expected(wanted, comment[:60], remedy)


def _is_comparison(expression: str) -> bool:
    for node in _nodes(expression):
        if not isinstance(node, _COMPARISONS):
            return False
        if isinstance(node, ast.Call) and ast.unparse(node.func) not in FUNCTIONS:
            return False
    return _nodes(expression) != []


def _nodes(expression: str) -> list[ast.AST]:
    """Return the nodes of an expression of Python; none if it is not one."""
    try:
        return list(ast.walk(ast.parse(expression.strip(), mode="eval")))
    except SyntaxError:
        return []


def split_format(placeholder: str) -> tuple[str, str]:
    """Split "gain.mean:.1f" into ("gain.mean", ".1f").

    The format begins behind the first colon that follows an expression of Python.
    Raises LabreportError unless the expression consists of names, attributes and
    literal keys.
    """
    expression = placeholder
    form = ""
    for colon in re.finditer(":", placeholder):
        if _nodes(placeholder[: colon.start()]):
            expression = placeholder[: colon.start()].strip()
            form = placeholder[colon.end() :].strip()
            break
    found = _nodes(expression)
    if not found or not all(isinstance(node, _NAMES) for node in found):
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
    except LabreportError as error:
        return {"error": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    plain = value
    if is_dataclass(value) and not isinstance(value, type):
        plain = asdict(value)
    elif hasattr(value, "_asdict"):
        plain = value._asdict()
    elif not isinstance(value, int | float | str):
        plain = str(value)
    return {"value": plain, "kind": type(value).__name__, "texts": {form: text}}


def check_claim(claim: str, scope: Mapping[str, Any]) -> Evaluated:
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
    is_known = evaluated["kind"] in (*KNOWN, "int", "float", "str", "bool")
    return is_known or form in evaluated["texts"]


def write_evaluated(placeholder: str, evaluated: Evaluated) -> str:
    """Write a stored value as a placeholder asks for it.

    Raises LabreportError for a format that does not fit.
    """
    expression, form = split_format(placeholder)
    if form in evaluated["texts"]:
        return evaluated["texts"][form]
    value = evaluated["value"]
    if evaluated["kind"] in KNOWN:
        # Slow to import, and not needed where nothing is written.
        from labreport import results

        value = getattr(results, evaluated["kind"])(**value)
    return write_value(value, form, expression)


def as_scalar(value: Any) -> Any:
    """Return the element of an array or a tensor that has one; other values as they
    are.
    """
    is_array = hasattr(value, "item") and hasattr(value, "shape")
    if is_array and math.prod(value.shape) == 1:
        return value.item()
    return value


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
    numbers = value if isinstance(value, tuple) else [getattr(value, "mean", value)]
    for number in numbers:  # of an interval, or of a score over seeds
        if isinstance(number, float) and not math.isfinite(number):
            raise expected(f"a finite number for {name}", number, "correct the cell")
    if not form and isinstance(value, int) and not isinstance(value, bool):
        form = ","
    if not form and isinstance(value, float):
        # With three digits, 999.5 is 1e+03 already.
        form = ",.0f" if abs(value) >= 999.5 else ".3g"
    try:
        shown = format(value, form)
    except (ValueError, TypeError) as error:
        got = f"{form!r} for {value!r:.60}"
        raise expected(f"a format that fits {name}", got, "correct it") from error
    if isinstance(value, str):
        return shown
    shown = re.sub(r"(?<![\w.])[-+](?=0(\.0+)?(?![\d.]))", "", shown)
    shown = re.sub(r"(?<=\d)e(-?)\+?0*(\d+)", _write_power, shown)
    return re.sub(r"(?<![\w.])-(?=\d)", "−", shown)


def _write_power(power: re.Match[str]) -> str:
    superscripts = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f" × 10{(power[1] + power[2]).translate(superscripts)}"
