"""The committed report is whole, and each of its numbers that of a full run of a known
commit.
"""

import json
import re

from conftest import CHECKOUT

from labreport.editions.sources import find_sources

REPORT = CHECKOUT / "report"


def test_every_published_number_says_where_it_comes_from():
    results = json.loads((REPORT / "results.json").read_text())
    assert list(results["chapters"]) == [source.name for source in find_sources()]
    for entry in [*results["chapters"].values(), *results["headlines"].values()]:
        assert entry["profile"] == "full"
        assert re.fullmatch("[0-9a-f]{7,40}", entry["commit"])
    for chapter in results["chapters"].values():
        assert all(
            number.keys() == {"expression", "text", "value", "cell"}
            for number in chapter["numbers"]
        )


def test_the_published_report_is_whole_and_small():
    pdf = (REPORT / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert len(pdf) < 20e6


def test_published_copies_lead_to_the_notebooks():
    for source in find_sources():
        copy = REPORT / "notebooks" / f"{source.name}.ipynb"
        targets = set(re.findall(r"\]\(([^()]*/notebooks/[^()#]*)", copy.read_text()))
        assert [(copy.parent / target).resolve() for target in targets] == [source.path]


def test_the_readme_has_six_headlines_as_published():
    found = json.loads((REPORT / "results.json").read_text())["headlines"]
    readme = (CHECKOUT / "README.md").read_text()
    chosen = ["scenes_best", "robust_accuracy", "classes_recognised"]
    chosen += ["mnistm_dann", "mnistm_recipe", "flow_gan_train"]
    for name in chosen:
        assert found[name]["text"].split()[0] in readme
