"""The solution of each chapter, as it is committed, passes all checks of its chapter."""

import json

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from dlapps.classroom.checks import CHAPTERS
from dlapps.report.execute import OwnKernelManager
from dlapps.report.sources import select_sources

CHECK = """
import json
from dlapps.classroom import checks
print(json.dumps([verdict.line for verdict in checks.run({chapter!r}, globals())]))
"""


@pytest.mark.solutions
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_solution_passes_all_checks_of_its_chapter(chapter, tmp_path):
    notebook = select_sources([chapter])[0].read()
    [parameters] = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source += '\nprofile = "smoke"'
    notebook.cells.append(new_code_cell(CHECK.format(chapter=chapter)))
    NotebookClient(
        notebook, kernel_manager_class=OwnKernelManager, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    lines = json.loads(notebook.cells[-1].outputs[-1].text)
    assert [line for line in lines if line.startswith("failed")] == []
    assert len(lines) > 5
