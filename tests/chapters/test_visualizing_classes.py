"""The study of class visualisation writes what is COMMITTED."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from labreport import results
from studies import visualizing_classes as study

COMMITTED = results.load("visualizing-classes")


@pytest.fixture
def small_study(tmp_path, monkeypatch):
    """The study with a tiny network, pictures of 8 x 8 pixels, a step each."""
    torch.manual_seed(0)
    tiny = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000))
    monkeypatch.setattr(study.pretrained, "load", lambda name: tiny.eval())
    draw = partial(study.visualize, num_steps=1, size=8)
    monkeypatch.setattr(study, "visualize", draw)
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    return study


def test_the_study_writes_what_is_committed(small_study):
    small_study.make_visualizing_classes()
    made = results.load("visualizing-classes")
    assert list(made.parts) == list(COMMITTED.parts)
    assert made.shares == COMMITTED.shares
    assert made.runs.keys() == COMMITTED.runs.keys()
    for run, entries in COMMITTED.runs.items():
        assert made.runs[run][0]["settings"] == entries[0]["settings"]
        assert made.runs[run][0]["scores"].keys() == entries[0]["scores"].keys()


def test_a_share_is_that_of_ranks_up_to_five():
    for entries in COMMITTED.runs.values():
        ranks = np.array(entries[0]["scores"]["Lite0"])
        share = entries[0]["scores"]["Lite0 top-5"]
        assert share == pytest.approx((ranks <= 5).mean())
