"""Weights of networks: small files of them, what tells one from another, and their moving average."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dlapps.paths import write_atomically


def save_weights(network: nn.Module, path: Path) -> Path:
    """Write a network's weights and statistics, rounded to float16; returns the path."""
    return write_checked(path, to_float16(network))


def load_weights(network: nn.Module, path: Path) -> None:
    """Read what `save_weights` wrote into a network of the same layers, and leave it in eval mode."""
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    network.eval()


def to_float16(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network, its floats rounded to float16: about two bytes a weight."""
    state = network.state_dict()
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


def write_checked(path: Path, content: Mapping[str, object]) -> Path:
    """Write tensors and plain values, once `torch.load` has taken them with weights_only; returns the path."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    torch.load(buffer, weights_only=True, map_location="cpu")
    return write_atomically(path, buffer.getvalue())


def fingerprint(*tensors: Tensor) -> str:
    """16 hexadecimal digits that change with the types, shapes or values of tensors (SHA-256)."""
    sha256 = hashlib.sha256()
    for tensor in tensors:
        sha256.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        sha256.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()[:16]


def fingerprint_network(network: nn.Module) -> str:
    """The same for a network: its layers with their settings, as its repr has them, its weights and statistics."""
    state = network.state_dict()
    layers = torch.frombuffer(bytearray(f"{network} {[*state]}", "utf-8"), dtype=torch.uint8)
    return fingerprint(layers, *state.values())


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) network, parameters and statistics alike."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
