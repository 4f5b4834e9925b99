"""Files of a network's weights in float16, which are read without running code in them.

A network of settings is stored with them: `save_network` and `load_network`. Of other
networks the caller knows the layers: `save` with `to_float16`, and `load_weights`. A
file of other layers is PyTorch's own error.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
Settings = TypeVar("Settings")


def load_weights(network: Network, path: str | Path) -> Network:
    """Read weights that `to_float16` returned; return the network, in eval mode."""
    network.load_state_dict(load(path))
    return network.eval()


def save_network(network: nn.Module, path: str | Path, kind: str) -> Path:
    """Write a network's weights and statistics, and its settings; return the path.

    kind: what the network is, by which the file names its state. Its `settings` are a
        data class.
    """
    # nn.Module's type does not declare settings.
    settings: Any = network.settings
    content = {"settings": dataclasses.asdict(settings), kind: to_float16(network)}
    return save(content, path)


def load_network(
    path: str | Path,
    kind: str,
    settings_type: type[Settings],
    make: Callable[[Settings], Network],
) -> Network:
    """Make the network that `save_network` wrote: in eval mode, without gradients.

    kind: as for `save_network`.
    settings_type: the data class of its settings. Fields of the file that it does not
        have are left out: those of a study's settings, which no layer depends on.
    make: the function of the settings that makes the network.
    """
    content = load(path)
    settings = {}
    for field in dataclasses.fields(settings_type):  # type: ignore[arg-type]
        settings[field.name] = content["settings"][field.name]
    network = make(settings_type(**settings))
    network.load_state_dict(content[kind])
    return network.eval().requires_grad_(False)


def to_float16(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state with its floats in float16, two bytes a weight."""
    state = {}
    for name, value in network.state_dict().items():
        state[name] = value.half() if value.is_floating_point() else value
    return state


def save(content: object, path: str | Path) -> Path:
    """Write tensors and plain values, in a folder that is made; return the path.

    A file that was there stays until the new one is whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    torch.save(content, part)
    return part.replace(path)


def load(path: str | Path) -> Any:
    """Read what `save` wrote."""
    return torch.load(path, weights_only=True, map_location="cpu")
