"""The study of class visualisation writes what is COMMITTED."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from dlapps import datasets
from labreport import results
from studies import visualizing_classes as study

torch.set_num_threads(1)
PHOTOGRAPHS = datasets.load_imagenet20()
COMMITTED = results.load("visualizing-classes")
PICTURES = results.load_pictures("visualizing-classes")


@pytest.fixture
def small_study(tmp_path, monkeypatch):
    """The study with a tiny network, pictures of 8 x 8 pixels, a step each."""
    torch.manual_seed(0)
    tiny = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000))
    monkeypatch.setattr(study.pretrained, "load", lambda name: tiny.eval())
    draw = partial(study.visualize, num_steps=1, size=8)
    monkeypatch.setattr(study, "visualize", draw)
    photographs = SimpleNamespace(
        images=PHOTOGRAPHS.images[:1], labels=PHOTOGRAPHS.labels[:1]
    )
    for loader in ("load_imagenet_samples", "load_imagenet20"):
        monkeypatch.setattr(study.datasets, loader, lambda: photographs)
    monkeypatch.setattr(study, "cached", partial)
    monkeypatch.setenv("LABREPORT_HOME", str(tmp_path))
    return study


def test_the_study_writes_what_is_committed(small_study):
    small_study.make_visualizing_classes()
    made = results.load("visualizing-classes")
    assert list(made.parts) == list(COMMITTED.parts)
    assert made.shares == COMMITTED.shares
    assert made.runs.keys() == COMMITTED.runs.keys()
    for run, entries in COMMITTED.runs.items():
        assert made.runs[run].keys() == entries.keys()
        scores = made.runs[run][0]["scores"]
        assert scores.keys() == entries[0]["scores"].keys()
        if run != "photographs":
            assert made.runs[run][0]["settings"] == entries[0]["settings"]
            assert len(scores["Lite0"]) == len(entries[0]["settings"]["classes"])
    drawn = results.load_pictures("visualizing-classes")
    assert drawn.keys() == PICTURES.keys()


def test_a_share_is_that_of_ranks_up_to_five():
    for entries in COMMITTED.runs.values():
        for entry in entries.values():
            for judge in study.NETWORKS:
                ranks = np.array(entry["scores"][judge])
                share = entry["scores"][f"{judge} top-5"]
                assert share == pytest.approx((ranks <= 5).mean())
