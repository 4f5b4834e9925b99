"""The study of class visualisation: what its presets differ in, and that no reported class chose them."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from dlapps.class_visualization import MODERN, PRACTICAL, ROBUST
from studies import visualizing_classes as study


def test_the_chain_leads_from_the_practical_to_the_best_preset():
    chain = study.add_ingredients()
    for name, preset in {"practical": PRACTICAL, "decorrelated colours": MODERN, "windows": ROBUST}.items():
        assert chain[name] == replace(preset, num_steps=study.CHAIN_STEPS)


def test_an_ingredient_changes_what_it_says_and_nothing_else():
    presets = list(study.add_ingredients().values())
    for before, after, change in zip(presets, presets[1:], list(study.CHANGES.values())[1:], strict=False):
        moved = {field.name for field in fields(after) if getattr(before, field.name) != getattr(after, field.name)}
        assert moved
        assert moved <= set(change)


def test_the_preset_was_chosen_on_classes_that_are_not_reported():
    assert not set(study.TWENTY) & {*study.TEN, *study.HUNDRED}


def test_every_run_has_a_preset_and_a_network():
    for network, preset, _ in study.list_runs().values():
        assert network in study.NETWORKS
        assert study.load_preset(preset.replace("maco", "modern"), network).num_steps > 0


def test_a_summary_keeps_ranks_and_the_shares_that_they_give():
    made = {"classes": [1, 2], "score": [3.0, 5.0], "total_variation": [1000, 3000], "jpeg": [b"", b""]}
    kept = study.summarise(made | {name: [1, 6] for name in study.NETWORKS})
    assert (kept["logit"], kept["variation"]) == (4.0, 2.0)
    assert (kept["Lite0"], kept["Lite0 top-5"], kept["Lite0 top-1"]) == ([1, 6], 0.5, 0.5)
    assert "jpeg" not in kept


@pytest.mark.network
def test_a_judge_of_scenes_is_fitted_on_averages_of_the_pictures(monkeypatch):
    averages = np.random.default_rng(0).random((4485, 1280), np.float32)
    monkeypatch.setattr(study, "stage_averages", lambda name: [averages])
    network = study.load_scene_classifier("efficientnet_lite0")
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, len(network.class_names)) == (1, 15)
