"""What the code of a cell says: the names that it takes and assigns, the figures and
tables that it shows.
"""

import ast
import symtable
from collections.abc import Iterable, Iterator

from labreport.magics import as_python

# What a call shows; its last two arguments are name and caption.
SHOWN = {
    "show_figure": "fig",
    "show_animation": "fig",
    "show_explorer": "fig",
    "show_table": "tab",
}


def used_names(source: str) -> tuple[set[str], set[str]]:
    """Return the names that a cell takes from cells above, and those that it assigns or
    defines; imports are neither.

    It takes a name that it replaces too, if it reads it before, as in x = 2 * x.
    """
    code = as_python(source)
    try:
        table = symtable.symtable(code, "cell", "exec")
        tree = ast.parse(code)
    except SyntaxError:
        return set(), set()
    symbols = _cell_symbols(table, tree)
    imported = {symbol.get_name() for symbol in symbols if symbol.is_imported()}
    assigned = {symbol.get_name() for symbol in symbols if symbol.is_assigned()}
    assigned -= imported
    taken = _global_names(symbols)
    for child in table.get_children():
        taken |= _names_taken_by(child)
    taken -= assigned | imported
    return taken | (_names_read_first(tree) & assigned), assigned


def _cell_symbols(
    table: symtable.SymbolTable, tree: ast.Module
) -> list[symtable.Symbol]:
    """Return the symbols of a cell's own scope.

    From Python 3.12 its table has the variables of its comprehensions too.
    """
    foreign = set()
    for node in ast.walk(tree):
        foreign |= _comprehension_variables(node)
    for name, _ in _own_names(tree):
        foreign.discard(name.id)
    return [s for s in table.get_symbols() if s.get_name() not in foreign]


def _names_read_first(tree: ast.Module) -> set[str]:
    """Return the names that the cell's own statements read before they assign them."""
    stores: dict[str, tuple[int, int]] = {}  # by name: where it is assigned first
    loads: list[tuple[str, tuple[int, int]]] = []
    for name, assignment in _own_names(tree):
        place = (name.lineno, name.col_offset)
        if isinstance(name.ctx, ast.Load):
            loads.append((name.id, place))
            continue
        if isinstance(assignment, ast.AugAssign):
            loads.append((name.id, place))
        if assignment is not None:
            # What stands behind the sign is read first.
            place = (assignment.end_lineno or 0, assignment.end_col_offset or 0)
        stores[name.id] = min(place, stores.get(name.id, place))
    return {name for name, place in loads if name in stores and place < stores[name]}


def _own_names(
    node: ast.AST, assignment: ast.stmt | None = None
) -> Iterator[tuple[ast.Name, ast.stmt | None]]:
    """Yield the names below a node, each with the assignment that contains it.

    Those of functions, which run when they are called, and the variables of a
    comprehension are not among them.
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        assignment = node
    variables = _comprehension_variables(node)
    for child in ast.iter_child_nodes(node):
        for name, within in _own_names(child, assignment):
            if name.id not in variables:
                yield name, within
    if isinstance(node, ast.Name):
        yield node, assignment


def _comprehension_variables(node: ast.AST) -> set[str]:
    """Return the variables of a comprehension; none for another node."""
    variables = set()
    for generator in getattr(node, "generators", ()):
        for part in ast.walk(generator.target):
            if isinstance(part, ast.Name):
                variables.add(part.id)
    return variables


def _global_names(symbols: Iterable[symtable.Symbol]) -> set[str]:
    """Return the global names that a scope reads."""
    names = set()
    for symbol in symbols:
        if symbol.is_referenced() and symbol.is_global():
            names.add(symbol.get_name())
    return names


def _names_taken_by(table: symtable.SymbolTable) -> set[str]:
    """Return the global names that a scope reads, or a scope in it."""
    names = _global_names(table.get_symbols())
    for child in table.get_children():
        names |= _names_taken_by(child)
    return names


def shown_floats(source: str) -> Iterator[tuple[str, str, list[str]]]:
    """Find the figures and tables that a cell's code shows, in its order.

    Yields ("fig" or "tab", name, [caption, *rows]). What the code does not say
    literally is empty, as is what an f-string inserts; a caption may be a variable of
    the cell.
    """
    calls: list[ast.Call] = []
    assigned: list[ast.Assign] = []
    for node in walk_code(source):
        if isinstance(node, ast.Call):
            calls.append(node)
        elif isinstance(node, ast.Assign):
            assigned.append(node)
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    assigned.sort(key=lambda assign: (assign.lineno, assign.col_offset))
    for call in calls:
        kind = SHOWN.get(method_name(call))
        if not kind:
            continue
        name, caption = _name_and_caption(call)
        if isinstance(caption, ast.Name):
            caption = _value_above(caption, assigned)
        texts = [_literal(caption)]
        if kind == "tab" and call.args:
            rows = call.args[0]
            if isinstance(rows, ast.List | ast.Tuple):
                texts += [_literal(row) for row in rows.elts]
        yield kind, _literal(name) if isinstance(name, ast.Constant) else "", texts


def _value_above(name: ast.Name, assigned: list[ast.Assign]) -> ast.AST | None:
    """Return what was assigned to a name last before it is used.

    assigned: in their order.
    """
    value = None
    for assign in assigned:
        is_above = (assign.lineno, assign.col_offset) < (name.lineno, name.col_offset)
        if is_above and ast.unparse(assign.targets[0]) == name.id:
            value = assign.value
    return value


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
