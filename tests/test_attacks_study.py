"""What the attacks' study makes of its measurements, on rows written by hand."""

import numpy as np

from dlapps.core import intervals
from studies import visualizing_attacks as study


def make_row(bits):
    return {"saved": bits.count("1") / len(bits), "bits": {"saved": bits, "jpeg": bits[::-1]}}


def test_a_gain_is_counted_on_the_same_pictures():
    gain = study.exceed(make_row("1110"), make_row("0100"))
    assert gain["difference"] == 0.5
    assert gain["low"] < 0.5 < gain["high"]
    assert study.exceed(make_row("1110"), make_row("0100"), "jpeg")["difference"] == 0.5


def test_each_attack_with_a_control_says_its_gain():
    rows = {"noise 2": make_row("0000"), "FGSM 2": make_row("1111"), "DeepFool": make_row("1000")}
    study.complete_table(rows)
    assert rows["FGSM 2"]["beyond noise"].startswith("+100%")
    assert "beyond noise" not in rows["DeepFool"]


def test_transfer_is_a_mean_over_networks_with_an_interval_over_pictures():
    made = {"pgd": {"efficientnet_lite0": "0000", "efficientnet_lite2": "0000"}}
    made["best"] = {"efficientnet_lite0": "1100", "efficientnet_lite2": "1010"}
    found = study.compare_transfer(made)
    assert (found["pgd"], found["best"]) == (0, 0.5)
    gains = np.array([1, 0.5, 0.5, 0])
    interval = intervals.mean(gains)
    assert (found["low"], found["high"]) == (interval.low, interval.high)
    assert found["low"] < gains.mean() < found["high"]
    table = study.tabulate_transfer({"squeezenet1_1": made})
    assert table["SqueezeNet to Lite2"] == {"pgd": 0, "best": 0.5}
