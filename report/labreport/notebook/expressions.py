"""Find, evaluate and write the placeholders of prose, {{expression:format}}."""

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from labreport import LabreportError, expected
from labreport.notebook.messages import Evaluated

Scalar = int | float | str | bool
# What code shows is neither a placeholder nor a comment. Code in a line ends with its
# paragraph, a block of code may contain blank lines.
_BLOCK = r"(?P<fence>`{3,})(?!`).+?(?<!`)(?P=fence)(?!`)"
_INLINE = r"(?P<tick>`{1,2})(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)(?P=tick)(?!`)"
CODE = f"(?s){_BLOCK}|{_INLINE}"
_PLACEHOLDER = re.compile(CODE + r"|\{\{(?P<inner>[^{}]+)\}\}")
_ALLOWED = ast.Expression | ast.Name | ast.Attribute | ast.Subscript | ast.Constant
_ALLOWED |= ast.UnaryOp | ast.USub | ast.Load


def replace_placeholders(markdown: str, write: Callable[[str], str]) -> str:
    """Replace each placeholder by `write` of what stands between its braces; code stays
    as it is.
    """

    def replace(match: re.Match[str]) -> str:
        return write(_inner(match)) if match["inner"] else match[0]

    return _PLACEHOLDER.sub(replace, markdown)


def find_placeholders(markdown: str) -> list[str]:
    """List what stands between the braces, "baseline.target:.1%", each once and with
    single spaces.
    """
    matches = _PLACEHOLDER.finditer(markdown)
    inners = [_inner(match) for match in matches if match["inner"]]
    return list(dict.fromkeys(inners))


def is_expression(text: str) -> bool:
    """Return whether a text is an expression of Python."""
    try:
        ast.parse(" ".join(text.split()), mode="eval")
    except SyntaxError:
        return False
    return True


def split_format(placeholder: str) -> tuple[str, str]:
    """Split "gain.mean:.1f" into ("gain.mean", ".1f").

    The format begins behind the first colon that follows an expression of Python.
    Returns ("", "") if there is no expression.
    """
    end = 0
    while end < len(placeholder):
        end = placeholder.find(":", end + 1)
        if end < 0:
            end = len(placeholder)
        expression = placeholder[:end].strip()
        if expression and is_expression(expression):
            return expression, placeholder[end + 1 :].strip()
    return "", ""


def require_simple(placeholder: str) -> tuple[str, str]:
    """Split a placeholder into expression and format.

    Raises LabreportError unless the expression consists of names, attributes and
    literal keys.
    """
    expression, spec = split_format(placeholder)
    for node in ast.walk(ast.parse(expression or "()", mode="eval")):
        if not isinstance(node, _ALLOWED):
            wanted = "names, attributes and literal keys, then a format, as in "
            wanted += 'scores["VGG16"].mean:.1%'
            raise expected(wanted, placeholder, "compute it in the cell above")
    return expression, spec


def evaluate(placeholder: str, scope: Mapping[str, Any]) -> Evaluated:
    """Evaluate a placeholder: return its text and value, or its error as a sentence."""
    try:
        expression, spec = require_simple(placeholder)
        value = eval(expression, {}, scope)  # of the notebook's author, in its kernel
        return {"text": write_value(value, spec, expression), "value": as_plain(value)}
    except LabreportError as error:
        return {"error": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


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


def write_value(value: Any, spec: str, name: str) -> str:
    """Write a value in a format of Python; without a format, in `default_format`.

    A number that rounds to 0 has no sign, and 1e-05 is written 1 × 10⁻⁵. Raises
    LabreportError for a number that is not finite, and for a format that does not fit.
    """
    value = as_scalar(value)
    number = getattr(value, "mean", value)  # of an interval, or of a score over seeds
    if isinstance(number, float) and not math.isfinite(number):
        raise expected(f"a finite number for {name}", number, "correct the cell")
    try:
        shown = format(value, spec or default_format(value))
    except (ValueError, TypeError) as error:
        raise expected(
            f"a format that fits {name}", f"{spec!r} for {value!r:.60}", "correct it"
        ) from error
    if isinstance(value, str):
        return shown
    shown = re.sub(r"(?<![\w.])[-+](?=0(\.0+)?(?![\d.]))", "", shown)
    shown = re.sub(r"(?<=\d)e(-?)\+?0*(\d+)", _write_power, shown)
    return re.sub(r"(?<![\w.])-(?=\d)", "−", shown)


def default_format(value: Any) -> str:
    """Return the format of a number that has none of its own: 1,500 or 0.913."""
    if isinstance(value, int) and not isinstance(value, bool):
        return ","
    if isinstance(value, float):
        # With three digits, 999.5 is 1e+03 already.
        return ",.0f" if abs(value) >= 999.5 else ".3g"
    return ""


def _write_power(power: re.Match[str]) -> str:
    superscripts = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f" × 10{(power[1] + power[2]).translate(superscripts)}"


def _inner(placeholder: re.Match[str]) -> str:
    return " ".join(placeholder["inner"].split())
