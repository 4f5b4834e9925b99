"""The files of weights that come with the code, in float16, as `dlapps` reads them."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labreport.report import find_report, write_atomically


def save_network(network: nn.Module, name: str, kind: str) -> Path:
    """Write a network's weights and statistics, and its settings; return the path.

    kind: what the network is, by which the file names its state. Its `settings` are a
        data class.
    """
    # nn.Module's type does not declare settings.
    settings: Any = network.settings
    content = {"settings": dataclasses.asdict(settings), kind: to_float16(network)}
    return save(content, name)


def to_float16(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state with its floats in float16, two bytes a weight."""
    state = {}
    for name, value in network.state_dict().items():
        state[name] = value.half() if value.is_floating_point() else value
    return state


def save(content: object, name: str) -> Path:
    """Write tensors and plain values among the networks; return the path."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return write_atomically(find_report().networks / name, buffer.getvalue())
