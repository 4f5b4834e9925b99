"""The committed report is whole, and each of its numbers that of a full run of a known
commit. What is not published yet is skipped.
"""

import json
import re

import pytest
from conftest import CHECKOUT

from labreport.report import Report

REPORT = CHECKOUT / "report"
RESULTS = json.loads((REPORT / "results.json").read_text())
SOURCES = Report(CHECKOUT).sources()
CHOSEN = ["scenes_lite2", "robust_accuracy", "classes_recognised"]
CHOSEN += ["mnistm_dann", "mnistm_recipe", "flow_gan_train"]


def test_every_published_number_says_where_it_comes_from():
    chapters = RESULTS["chapters"]
    assert chapters.keys() <= {source.name for source in SOURCES}
    for entry in [*chapters.values(), *RESULTS["headlines"].values()]:
        assert entry["profile"] == "full"
        assert re.fullmatch("[0-9a-f]{7,40}", entry["commit"])
    for chapter in chapters.values():
        for number in chapter["numbers"]:
            assert number.keys() == {"expression", "text", "value", "cell"}


def test_the_published_report_is_whole_and_small():
    pdf = (REPORT / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert len(pdf) < 20e6


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_published_copy_leads_to_its_notebook(source):
    copy = REPORT / "notebooks" / source.path.name
    if not copy.is_file():
        pytest.skip(f"{source.name} is not published yet")
    targets = re.findall(r"\]\(([^()]*/notebooks/[^()#]*)", copy.read_text())
    assert {(copy.parent / target).resolve() for target in targets} == {source.path}


@pytest.mark.parametrize("name", CHOSEN)
def test_the_readme_has_the_headline_as_published(name):
    if name not in RESULTS["headlines"]:
        pytest.skip(f"{name} is not published yet")
    shown = RESULTS["headlines"][name]["text"].split()[0]
    assert shown in (CHECKOUT / "README.md").read_text()
