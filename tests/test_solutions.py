"""The solution of each chapter, as it is committed, passes all checks of its chapter."""

import json

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from dlapps.classroom.checks import CHAPTERS
from dlapps.report.execute import OwnKernelManager
from dlapps.report.sources import select_sources

# What an exercise's own cell binds to its names; later cells may use them for something else.
BOUND = "_bound = globals().get('_bound', {{}}) | {{_name: globals()[_name] for _name in {names}}}"
CHECK = """
import json
from dlapps.classroom import checks
print(json.dumps(checks.run({chapter!r}, globals() | _bound)))
"""


def with_checks(cells, chapter):
    for cell in cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += '\nprofile = "smoke"'
        yield cell
        if names := cell.metadata.get("exercise", {}).get("defines"):
            yield new_code_cell(BOUND.format(names=names))
    yield new_code_cell(CHECK.format(chapter=chapter))


@pytest.mark.solutions
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_solution_passes_all_checks_of_its_chapter(chapter, tmp_path):
    notebook = select_sources([chapter])[0].read()
    notebook.cells = [*with_checks(notebook.cells, chapter)]
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, kernel_manager_class=OwnKernelManager, resources=folder).execute()
    printed = "".join(output.text for output in notebook.cells[-1].outputs if output.get("name") == "stdout")
    faults = json.loads(printed.splitlines()[-1])
    assert {name: fault for name, fault in faults.items() if fault} == {}
    assert len(faults) > 5
