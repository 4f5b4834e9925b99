"""The study of class visualisation: how its recipes differ, and what chose them."""

from dataclasses import replace
from itertools import pairwise

import torch

from dlapps.class_visualization import MODERN, PRACTICAL, ROBUST
from dlapps.class_visualization.ingredients import Seen
from labreport import results
from studies import visualizing_classes as study
from studies import visualizing_starts as starts


def test_the_chain_leads_from_the_practical_s_settings_to_the_best():
    chain = study.add_ingredients()
    stations = [("practical", PRACTICAL), ("decorrelated colours", MODERN)]
    stations.append(("windows", ROBUST))
    for name, settings in stations:
        assert chain[name] == replace(settings, num_steps=study.CHAIN_STEPS)


def test_an_ingredient_changes_what_it_says_and_nothing_else():
    chain = study.add_ingredients()
    for (before, after), name in zip(
        pairwise(chain.values()), list(chain)[1:], strict=True
    ):
        changed = set()
        for setting in vars(after):
            if getattr(before, setting) != getattr(after, setting):
                changed.add(setting)
        assert changed
        assert changed <= study.CHANGES[name].keys()


def test_the_best_recipes_were_chosen_on_classes_that_are_not_reported():
    assert not set(study.TWENTY) & set(study.TEN + study.HUNDRED)


def test_each_committed_run_is_one_of_the_study():
    committed = results.load("visualizing-classes").runs
    names = {f"{run.network} {run.recipe}" for run in study.list_runs()}
    assert names == committed.keys()
    for run in study.list_runs():
        entry = committed[f"{run.network} {run.recipe}"][run.seed]
        assert entry["settings"]["classes"] == list(run.classes)


def test_a_summary_has_ranks_and_the_shares_that_they_give():
    ranks = {network: [1, 6] for network in study.JUDGES.values()}
    judged = study.Judged([1, 2], ranks, [3.0, 5.0], [b"", b""])
    scores = study.summarise(judged)["scores"]
    assert scores["logit"] == 4.0
    assert scores["Lite0"] == [1, 6]
    assert scores["Lite0 top-5"] == 0.5
    assert "logit" not in study.summarise(study.Judged([1, 2], ranks))["scores"]


def test_the_margin_of_a_class_is_the_logarithm_of_its_odds():
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2, 3])
    odds = logits.softmax(1).gather(1, targets[:, None])[:, 0].logit()
    seen = Seen(torch.zeros(4, 3, 8, 8), logits, targets)
    torch.testing.assert_close(study.class_margin(seen), odds)


def test_starts_are_judged_before_and_after_by_each_network():
    committed = results.load("visualizing-starts").runs["spoonbill"]
    assert len(committed) == len(starts.SEEDS)
    for entry in committed.values():
        for name in study.JUDGES:
            assert len(entry["scores"][name]) == 3
            assert len(entry["scores"][f"{name} before"]) == 3
