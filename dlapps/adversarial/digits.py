"""Networks of digits with and without adversarial training, which a study trained."""

from torch import nn

from dlapps.core import paths
from dlapps.core.runtime import channels_last
from dlapps.core.training import read_checked


def make_digit_network() -> nn.Sequential:
    """Pixels (N, 1, 28, 28) in [0, 1] to logits (N, 10): three convolutions in strides
    of 2, 0.19 M parameters.
    """
    maps = [
        nn.Conv2d(1, 32, 5, 2, 2),
        nn.Conv2d(32, 64, 3, 2, 1),
        nn.Conv2d(64, 64, 3, 2, 1),
    ]
    layers = [layer for convolution in maps for layer in (convolution, nn.ReLU())]
    return channels_last(
        nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10)
        )
    )


def load_digit_networks() -> dict[str, nn.Module]:
    """The committed networks by name, "robust" (trained at epsilon .3) and "plain", of
    seed 0, in eval mode.
    """
    path = paths.require_network("visualizing-defence.pt", "networks of digits")
    networks: dict[str, nn.Module] = {}
    for name, state in read_checked(
        path, "pair of networks", ("robust", "plain")
    ).items():
        networks[name] = make_digit_network().eval().requires_grad_(False)
        networks[name].load_state_dict(state)
    return networks
