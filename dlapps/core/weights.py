"""Files of a network's weights in float16, which are read without running code in them.

A network of settings is stored with them: `load_network`. Of other networks the caller
knows the layers: `load_weights`. A file of other layers is PyTorch's own error. The
studies of the repository, data/studies, write these files.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)
Settings = TypeVar("Settings")


def load_weights(make: Callable[[], Network], path: str | Path) -> Network:
    """Make a network of stored weights, in eval mode."""
    with torch.random.fork_rng():
        network = make()
    network.load_state_dict(load(path))
    return network.eval()


def load_network(
    path: str | Path,
    kind: str,
    settings_type: type[Settings],
    make: Callable[[Settings], Network],
) -> Network:
    """Make a network that is stored with its settings: in eval mode, without gradients.

    kind: what the network is, by which the file names its state.
    settings_type: the data class of its settings. Fields of the file that it does not
        have are left out: those of a study's settings, which no layer depends on.
    make: the function of the settings that makes the network.
    """
    content = load(path)
    settings = {}
    for field in dataclasses.fields(settings_type):  # type: ignore[arg-type]
        settings[field.name] = content["settings"][field.name]
    with torch.random.fork_rng():
        network = make(settings_type(**settings))
    network.load_state_dict(content[kind])
    return network.eval().requires_grad_(False)


def load(path: str | Path) -> Any:
    """Read tensors and plain values."""
    return torch.load(path, weights_only=True, map_location="cpu")
