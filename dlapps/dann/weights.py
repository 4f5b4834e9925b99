"""Weights of a network in a small file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


def save_weights(network: nn.Module, path: Path) -> Path:
    """Write a network's weights, rounded to float16, and its statistics; returns the path."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    temporary = path.with_name(f".{path.name}.partial")
    torch.save(state, temporary)
    return temporary.replace(path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Read what `save_weights` wrote into a network of the same layers, and leave it in eval mode."""
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    network.eval()
