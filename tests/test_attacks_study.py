"""What the attacks' study makes of its measurements, on numbers written by hand."""

from studies import visualizing_attacks as study


def test_transfer_is_told_by_direction():
    made = {"pgd": {"efficientnet_lite0": 0.25, "efficientnet_lite2": 0.5}, "best": {"efficientnet_lite2": 1.0}}
    assert study.by_direction({"squeezenet1_1": made}) == {
        "SqueezeNet to Lite0": {"pgd": 0.25},
        "SqueezeNet to Lite2": {"pgd": 0.5, "best": 1.0},
    }
