"""Networks of digits that a study trained, with and without adversarial training."""

from torch import nn

from dlapps.core import paths
from dlapps.core.runtime import channels_last
from dlapps.core.weights import read_checked, set_state


def make_digit_network() -> nn.Sequential:
    """Make a network: pixels (N, 1, 28, 28) in [0, 1] to logits (N, 10).

    It has 0.19 M parameters.
    """
    network = nn.Sequential(
        nn.Conv2d(1, 32, 5, stride=2, padding=2),  # (N, 32, 14, 14)
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),  # (N, 64, 7, 7)
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=2, padding=1),  # (N, 64, 4, 4)
        nn.ReLU(),
        nn.Flatten(),  # (N, 1024)
        nn.Linear(1024, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    return channels_last(network)


def load_digit_networks() -> dict[str, nn.Module]:
    """Load the committed networks "robust" and "plain", in eval mode.

    The robust one was trained on adversarial examples at epsilon .3, the plain one on
    clean digits, both with seed 0.
    """
    path = paths.require_network("visualizing-defence.pt", "networks of digits")
    states = read_checked(path, "pair of networks", ("robust", "plain"))
    networks: dict[str, nn.Module] = {}
    for name, state in states.items():
        network = set_state(make_digit_network(), state, path)
        networks[name] = network.requires_grad_(False)
    return networks
