"""The committed report is whole, and each of its numbers that of a full run of a known commit."""

import json
import re

from dlapps.core.paths import CHECKOUT
from dlapps.report.sources import find_sources

REPORT = CHECKOUT / "report"


def test_every_published_number_says_where_it_comes_from():
    numbers = json.loads((REPORT / "results.json").read_text())
    recording = {source.name for source in find_sources() if "chapter.record(" in source.path.read_text()}
    assert {entry["chapter"] for entry in numbers.values()} == recording
    for name, entry in numbers.items():
        assert entry["profile"] == "full", name
        assert entry["data"], name
        assert "seed" in entry, name
        assert re.fullmatch("[0-9a-f]{7,40}", entry["commit"]), name


def test_the_published_report_is_whole_and_small():
    pdf = (REPORT / "dlapps-report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert len(pdf) < 20e6
