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
    """Return the first cell tagged "parameters".

    Raises LabreportError if there is none, or if it does not assign both.
    """
    missing = ["profile", "seed"]
    for cell in code_cells(notebook):
        if "parameters" in tags(cell):
            values = _find_values(cell.source)
            missing = [name for name in missing if name not in values]
            if not missing:
                return cell
            break
    raise expected(
        "a cell tagged 'parameters' with profile = \"quick\" and seed = 0",
        f"none that assigns {' and '.join(missing)}",
        "add it",
    )


def set_parameters(notebook: NotebookNode, run: Run) -> None:
    """Assign those of a run."""
    cell = find_parameters(notebook)
    profile = json.dumps(run.profile, ensure_ascii=False)
    cell.source = assign(cell.source, profile, str(run.seed))


def assign(code: str, profile: str, seed: str) -> str:
    """Write other expressions where the code of a cell assigns profile and seed; all
    else stays.
    """
    for name, expression in (("profile", profile), ("seed", seed)):
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
