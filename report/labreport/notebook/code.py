"""What the code of a cell says: the names that it takes and assigns, the figures and
tables that it shows.
"""

import ast
import dis
from collections.abc import Iterator
from types import CodeType

from labreport.magics import as_python

# What a call shows; its last two arguments are name and caption.
SHOWN = {
    "show_figure": "fig",
    "show_animation": "fig",
    "show_explorer": "fig",
    "show_table": "tab",
}
_LOADS = ("LOAD_NAME", "LOAD_GLOBAL")
_STORES = ("STORE_NAME", "STORE_GLOBAL")
_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


def used_names(source: str) -> tuple[set[str], set[str]]:
    """Return the names that a cell takes from cells above, and those that it assigns or
    defines; imports are neither.

    It takes a name that it replaces too, if it reads it before, as in x = 2 * x.
    """
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        return _names_in(compile(as_python(source), "cell", "exec", flags))
    except (SyntaxError, ValueError):
        return set(), set()


def _names_in(scope: CodeType) -> tuple[set[str], set[str]]:
    """Return the global names that a scope takes, and those that it assigns."""
    taken: set[str] = set()
    later: set[str] = set()  # when its functions are called
    assigned: set[str] = set()
    given: set[str] = set()  # imports too
    before = ""
    for step in _instructions(scope):
        name = step.argval
        if isinstance(name, CodeType):
            later |= _names_in(name)[0]
        elif step.opname in _STORES:
            given.add(name)
            if not before.startswith("IMPORT_"):
                assigned.add(name)
        elif step.opname in _LOADS and name not in given:
            taken.add(name)
        before = step.opname
    taken |= later - given
    # Python itself reads __name__ for a class.
    return {name for name in taken if not name.startswith("__")}, assigned


def _instructions(scope: CodeType) -> Iterator[dis.Instruction]:
    """Yield the instructions of a scope, and where they stand those of comprehensions,
    which from Python 3.12 are a part of it already, but for generators.
    """
    for step in dis.get_instructions(scope):
        if getattr(step.argval, "co_name", "") in _COMPREHENSIONS:
            yield from _instructions(step.argval)
        else:
            yield step


def shown_floats(source: str) -> Iterator[tuple[str, str, list[str]]]:
    """Find the figures and tables that a cell's code shows, in its order.

    Yields ("fig" or "tab", name, [caption, *rows]). What the code does not say
    literally is empty, as is what an f-string inserts; a caption may be a variable of
    the cell.
    """
    found = []
    for node in walk_code(source):
        if isinstance(node, ast.Assign | ast.Call):
            found.append(node)
    found.sort(key=lambda node: (node.lineno, node.col_offset))
    assigned: dict[str, ast.AST] = {}  # above the call
    for node in found:
        if isinstance(node, ast.Assign):
            assigned[ast.unparse(node.targets[0])] = node.value
            continue
        kind = SHOWN.get(method_name(node))
        if not kind:
            continue
        name, caption = _name_and_caption(node)
        if isinstance(caption, ast.Name):
            caption = assigned.get(caption.id)
        texts = [_literal(caption)]
        if kind == "tab" and node.args:
            rows = node.args[0]
            if isinstance(rows, ast.List | ast.Tuple):
                texts += [_literal(row) for row in rows.elts]
        yield kind, _literal(name) if isinstance(name, ast.Constant) else "", texts


def method_name(call: ast.Call) -> str:
    """Return the name of a method that is called; empty for another call."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _name_and_caption(call: ast.Call) -> tuple[ast.AST | None, ast.AST | None]:
    """Return the arguments name and caption of a call.

    They are its last two arguments, unless they have keywords.
    """
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    positional = list(call.args)
    caption = named.get("caption")
    if caption is None and positional:
        caption = positional.pop()
    name = named.get("name")
    if name is None and positional:
        name = positional.pop()
    return name, caption


def walk_code(source: str) -> list[ast.AST]:
    """Return all nodes of a cell's code; none if it does not parse."""
    try:
        return list(ast.walk(ast.parse(as_python(source))))
    except SyntaxError:
        return []


def _literal(node: ast.AST | None) -> str:
    """Return what an expression says literally: a constant, and what an f-string, a
    list or a dictionary has of them.
    """
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_literal(part) for part in node.values)
    if isinstance(node, ast.List | ast.Tuple):
        return ", ".join(_literal(part) for part in node.elts)
    if isinstance(node, ast.Dict):
        return ", ".join(_literal(part) for part in node.values)
    return ""
