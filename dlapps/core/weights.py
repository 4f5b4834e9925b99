"""Weights of networks: files of them and of what belongs to them, and their moving average."""

import errno
import hashlib
import io
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dlapps import DlappsError
from dlapps.core.paths import write_atomically

Network = TypeVar("Network", bound=nn.Module)


def save_weights(network: nn.Module, path: str | Path) -> Path:
    """Write a network's weights and statistics, rounded to float16; returns the path."""
    return write_checked(path, to_float16(network))


def load_weights(network: Network, path: str | Path) -> Network:
    """Read what `save_weights` wrote into a network of the same layers; returns the network, in eval mode.

    Raises DlappsError for a file that is none, or that has the weights of other layers.
    """
    state = read_checked(path, "file of these layers' weights", network.state_dict())
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise DlappsError(
            f"expected weights of these layers in {path}, got other shapes; name another file."
        ) from error
    return network.eval()


def to_float16(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network, its floats rounded to float16: about two bytes a weight."""
    state = network.state_dict()
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


def write_checked(path: str | Path, content: Mapping[str, object]) -> Path:
    """Write tensors and plain values, once `torch.load` has taken them with weights_only; returns the path."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    torch.load(buffer, weights_only=True, map_location="cpu")
    return write_atomically(path, buffer.getvalue())


def check_writable(path: str | Path, kind: str) -> None:
    """Raise DlappsError, before what takes long, for a file that cannot be written: a folder, or in a read-only one."""
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise DlappsError(
            f"expected a {kind} that can be written, got {path} ({error.strerror}); name another file."
        ) from error


def read_checked(path: str | Path, kind: str, names: Collection[str]) -> dict[str, Any]:
    """A dictionary that `write_checked` wrote, with these names; DlappsError for another file, which is left as it is.

    kind: what the file should be, for the error.
    """
    if not Path(path).is_file():
        raise DlappsError(f"expected a {kind} in {path}, got no such file; check the path.")
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    # A truncated archive, a pickle with code in it, a text file: torch raises a different kind for each.
    except Exception as error:
        raise DlappsError(
            f"expected a {kind} in {path}, got a file that does not load; delete it, or name another one."
        ) from error
    if not isinstance(content, dict) or content.keys() != set(names):
        raise DlappsError(f"expected a {kind} in {path}, got a file of another form; delete it, or name another one.")
    return content


def fingerprint(*parts: Tensor | str) -> str:
    """16 hexadecimal digits that change with texts, or with the types, shapes or values of tensors (SHA-256)."""
    sha256 = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            sha256.update(f"{part} ".encode())
        else:
            sha256.update(f"{part.dtype} {tuple(part.shape)} ".encode())
            sha256.update(part.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()[:16]


def describe_networks(networks: Iterable[nn.Module]) -> dict[str, str]:
    """What a checkpoint compares of networks: "network", their layers as they print and the names and shapes of their
    state; and "weights", a fingerprint of its values. The code of the layers is not seen, nor attributes that they do
    not print."""
    layers, state = list[tuple](), list[tuple[str, Tensor]]()
    for network in networks:
        layers += [(name, type(part).__qualname__, part.extra_repr()) for name, part in network.named_modules()]
        state += network.state_dict().items()
    layout = [(name, tuple(value.shape)) for name, value in state]
    return {"network": f"{layers} {layout}", "weights": fingerprint(*(value for _, value in state))}


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) network, parameters and statistics alike."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
