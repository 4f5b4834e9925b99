"""The parameters of a notebook: the profile and the seed, which its cell tagged
"parameters" assigns and each run replaces.
"""

import ast
import json

from nbformat import NotebookNode

from labreport import expected
from labreport.chapters import code_cells, tags
from labreport.runs import Run


def find_parameters(notebook: NotebookNode) -> NotebookNode:
    """Return the cell tagged "parameters".

    Raises LabreportError if none assigns both.
    """
    for cell in code_cells(notebook):
        names = _find_values(cell.source).keys()
        if "parameters" in tags(cell) and names >= {"profile", "seed"}:
            return cell
    raise expected(
        "a cell tagged 'parameters' with profile = \"quick\" and seed = 0",
        "none that assigns both",
        "write it",
    )


def set_parameters(notebook: NotebookNode, run: Run) -> None:
    """Assign those of a run."""
    cell = find_parameters(notebook)
    profile = json.dumps(run.profile, ensure_ascii=False)
    cell.source = assign(cell.source, profile=profile, seed=str(run.seed))


def assign(code: str, **expressions: str) -> str:
    """Write other expressions where the code of a cell assigns these names; all else
    stays.
    """
    for name, expression in expressions.items():
        value = _find_values(code)[name]
        content = code.encode()  # columns are counted in bytes
        above = content.splitlines(keepends=True)[: value.lineno - 1]
        start = len(b"".join(above)) + value.col_offset
        old = ast.get_source_segment(code, value) or ""
        end = start + len(old.encode())
        code = (content[:start] + expression.encode() + content[end:]).decode()
    return code


def _find_values(code: str) -> dict[str, ast.expr]:
    """Find what a cell's own statements assign, by name; nothing if it is not plain
    Python.
    """
    try:
        statements = ast.parse(code).body
    except SyntaxError:
        return {}
    values = {}
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = value
    return values
