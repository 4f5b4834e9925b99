"""The study of class visualisation: what its settings differ in, and that no reported
class chose them.
"""

from dataclasses import replace

import torch

from dlapps.class_visualization import MODERN, PRACTICAL, ROBUST
from dlapps.class_visualization.ingredients import Seen
from studies import visualizing_classes as study


def test_the_chain_leads_from_the_practical_to_the_best_preset():
    chain = study.add_ingredients()
    expected = {
        "practical": PRACTICAL,
        "decorrelated colours": MODERN,
        "windows": ROBUST,
    }
    for name, settings in expected.items():
        assert chain[name] == replace(settings, num_steps=study.CHAIN_STEPS)


def test_an_ingredient_changes_what_it_says_and_nothing_else():
    settings = list(study.add_ingredients().values())
    _, *changes = study.CHANGES.values()
    for before, after, change in zip(settings, settings[1:], changes, strict=False):
        moved = {
            name
            for name in vars(after)
            if getattr(before, name) != getattr(after, name)
        }
        assert moved
        assert moved <= set(change)


def test_the_preset_was_chosen_on_classes_that_are_not_reported():
    assert not set(study.TWENTY) & {*study.TEN, *study.HUNDRED}


def test_every_run_has_a_preset_and_a_network():
    for network, settings, _ in study.list_runs().values():
        assert network in study.NETWORKS
        assert study.load_settings(settings, network).num_steps > 0


def test_a_summary_keeps_ranks_and_the_shares_that_they_give():
    made = {"classes": [1, 2], "score": [3.0, 5.0], "jpeg": [b"", b""]}
    kept = study.summarise(made | {name: [1, 6] for name in study.NETWORKS})["scores"]
    assert kept["logit"] == 4.0
    assert (kept["Lite0"], kept["Lite0 top-5"]) == ([1, 6], 0.5)
    assert "jpeg" not in kept


def test_the_margin_of_a_class_is_the_logarithm_of_its_odds():
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2, 3])
    odds = logits.softmax(1).gather(1, targets[:, None])[:, 0].logit()
    seen = Seen(torch.zeros(4, 3, 8, 8), logits, targets)
    torch.testing.assert_close(study.class_margin(seen), odds)
