"""Whether Chapter 1's sum of five classifiers is better than Lite2, for several seeds.

The seed draws the folds, which choose each C and the weights, and starts the SVMs. All
else is as in the chapter with the profile *full*.
"""

from functools import partial
from pathlib import Path

from scipy.stats import binomtest

from dlapps import datasets
from dlapps.transfer import linear
from labreport import results
from labreport.report import find_report
from studies.runs import Calls, make_missing

SEEDS = (0, 1, 2, 3, 4)
LITE2 = "efficientnet_lite2 stages average 352 mirrored"
BLOCKS = (
    "vgg16_features relu5 quarters 320 aspect",
    "efficientnet_lite0 stages average 352 mirrored",
    LITE2,
)
TUNED = ("efficientnet_lite0", "efficientnet_lite2")


def compare_sum(seed: int) -> dict[str, float]:
    """McNemar's test of the sum beside Lite2 on the test images.

    "only_sum" and "only_lite2" count the images that only this one names right; "cost"
    is Lite2's C.
    """
    profile = find_report().profile("full")
    scenes = datasets.load_scenes15_features()
    _, y_train, _, y_test = scenes.split(LITE2)
    votes = {}
    chosen = {}
    for block in BLOCKS:
        split = scenes.split(block)
        svm = linear.choose_svm(split, profile.svm_costs, profile.num_folds, seed)
        chosen[block] = svm
        votes[block] = linear.svm_scores(split, svm.cost, profile.num_folds, seed)
    tuned = results.load_arrays("scenes15-finetuned")
    for name in TUNED:
        out_of_fold = tuned[f"{name} train"].astype(float)
        test = tuned[f"{name} test"][0].astype(float)
        votes[name] = linear.Scores(out_of_fold, test)
    summed = linear.choose_fusion(votes, y_train).right(y_test)
    lite2 = chosen[LITE2].test_right
    only_sum = int((summed & ~lite2).sum())
    only_lite2 = int((lite2 & ~summed).sum())
    return {
        "cost": chosen[LITE2].cost,
        "sum": float(summed.mean()),
        "lite2": float(lite2.mean()),
        "only_sum": only_sum,
        "only_lite2": only_lite2,
        "p_value": float(binomtest(only_sum, only_sum + only_lite2).pvalue),
    }


def make_scenes15_sum() -> Path:
    """Compare the sum with Lite2 for five seeds: a few minutes on one core."""
    calls: Calls = {}
    for seed in SEEDS:
        calls["seeds", seed] = partial(compare_sum, seed)
    make_missing("scenes15-sum", calls, SEEDS)
    return find_report().results / "scenes15-sum.json"
