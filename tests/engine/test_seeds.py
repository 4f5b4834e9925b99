"""A report of another seed stands beside the first."""

from __future__ import annotations

import json

import pytest
from conftest import code, text

from labreport.cli import main


@pytest.mark.report
@pytest.mark.programs("latexmk")
def test_another_seed_has_folders_of_its_own_and_its_sentences_are_marked_there(
    project, capsys
):
    found = "Found {{found}}, and {{chapter.seeds[0]}}. One. <!-- holds: found == 1 -->"
    project.write("1_seeds", code("found = seed + 1"), text(found))
    assert main(["report"]) == 0
    first = (project.build / "results.json").read_bytes()
    assert main(["report", "--seed", "4"]) == 0
    assert "Sentences that do not hold in this run" in capsys.readouterr().out
    folder = project.build / "seed-4"
    assert (project.build / "results.json").read_bytes() == first
    results = json.loads((folder / "results.json").read_text())
    numbers = results["chapters"]["1_seeds"]["numbers"]
    assert [number["value"] for number in numbers] == [5, 4]
    page = (folder / "html" / "1-seeds.html").read_text()
    assert "refuted" in page.partition("</style>")[2]
    assert (folder / "report.pdf").exists()
    assert "seed = 4" in (folder / "notebooks" / "1_seeds.ipynb").read_text()
