"""The calls in a cell's code that show a figure or a table."""

import ast

# What a call shows; its second and third argument are name and caption.
SHOWN = {"show_figure": "fig", "show_table": "tab"}


def parse_code(code: str) -> ast.Module:
    """Parse a cell's code; what is not plain Python, such as a magic, has no calls."""
    try:
        return ast.parse(code)
    except SyntaxError:
        return ast.Module([], [])


def find_calls(tree: ast.Module) -> list[ast.Call]:
    """Find the calls that show a figure or a table, in the order of the code."""
    calls: list[ast.Call] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called_method(node) in SHOWN:
            calls.append(node)
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    return calls


def called_method(call: ast.Call) -> str:
    """Return the name of the method that a call calls; "" for a function."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def name_and_caption(call: ast.Call) -> tuple[ast.expr | None, ast.expr | None]:
    """Return the arguments name and caption of a call: its second and third, unless
    they have keywords.
    """
    given: dict[str | None, ast.expr] = dict(
        zip(("shown", "name", "caption"), call.args, strict=False)
    )
    for keyword in call.keywords:
        given[keyword.arg] = keyword.value
    return given.get("name"), given.get("caption")
