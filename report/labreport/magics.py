"""Cells of code as Python has them: a magic of IPython is a call, and the code that it
runs is there as code.
"""

import ast
import functools
import re

# Magics whose text is Python, behind options such as -n 3.
RUNNING = ("time", "timeit", "capture", "prun")
_OPTIONS = re.compile(r"^(?:--?[a-z][\w-]*(?:\s*\d+)?(?:\s+|$))+")


@functools.cache
def as_python(cell: str) -> str:
    """Return a cell's code as Python.

    `files = !ls` becomes a call as IPython makes it, and `%time import x` becomes
    `import x`. Plain Python stays as it is, and so does what is no code at all.
    """
    if _parse(cell):
        return cell
    # Slow to import, and plain cells do not need it.
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        tree = _parse(TransformerManager().transform_cell(cell))
    except SyntaxError:
        tree = None
    if tree is None:
        return cell
    return ast.unparse(_Unwrap().visit(tree))


def _parse(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError):
        return None


class _Unwrap(ast.NodeTransformer):
    """Replaces the call of a magic by the code that it runs."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        """Replace a magic that is a statement."""
        statements = _read_code(node.value)
        return statements or node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """Replace a magic whose value is assigned, if it runs an expression."""
        statements = _read_code(node.value)
        if len(statements) == 1 and isinstance(statements[0], ast.Expr):
            node.value = statements[0].value
        return node


def _read_code(call: ast.expr) -> list[ast.stmt]:
    """Return the statements that IPython's call of a magic runs; none for another."""
    match call:
        case ast.Call(
            func=ast.Attribute(attr="run_line_magic" | "run_cell_magic"),
            args=[ast.Constant(value=str(name)), *texts],
        ) if name in RUNNING:
            code = texts[-1]
        case _:
            return []
    if not isinstance(code, ast.Constant):
        return []
    tree = _parse(as_python(_OPTIONS.sub("", str(code.value))))
    return tree.body if tree else []
