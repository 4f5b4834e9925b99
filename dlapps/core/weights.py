"""Files of a network's weights, which are read without running code in them."""

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dlapps import DlappsError
from dlapps.core.paths import write_atomically

Network = TypeVar("Network", bound=nn.Module)


def save_weights(network: nn.Module, path: str | Path) -> Path:
    """Write a network's weights and statistics, in float16; return the path."""
    return write_checked(path, to_float16(network))


def load_weights(network: Network, path: str | Path) -> Network:
    """Read the weights that `save_weights` wrote; return the network, in eval mode.

    Raises DlappsError if the file has no weights, or those of other layers.
    """
    state = read_checked(path, "file of these layers' weights", network.state_dict())
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise DlappsError(
            f"expected these layers' weights in {path}, got others; name another file."
        ) from error
    return network.eval()


def to_float16(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state with its floats in float16, two bytes a weight."""
    state = {}
    for name, value in network.state_dict().items():
        state[name] = value.half() if value.is_floating_point() else value
    return state


def write_checked(path: str | Path, content: Mapping[str, object]) -> Path:
    """Write tensors and plain values; return the path.

    They are written only if `torch.load` reads them with weights_only.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    torch.load(buffer, weights_only=True, map_location="cpu")
    return write_atomically(path, buffer.getvalue())


def read_checked(path: str | Path, kind: str, names: Collection[str]) -> dict[str, Any]:
    """Read a dictionary with these names that `write_checked` wrote.

    kind: what the file should be, for the error. Raises DlappsError for another file,
    which is left as it is.
    """
    wanted = f"a {kind} in {path}"
    remedy = "delete it, or name another one"
    if not Path(path).is_file():
        raise DlappsError(f"expected {wanted}, got no such file; check the path.")
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    # A truncated archive, a pickle with code in it, a text file: torch raises a
    # different kind for each.
    except Exception as error:
        raise DlappsError(
            f"expected {wanted}, got a file that does not load; {remedy}."
        ) from error
    if not isinstance(content, dict) or content.keys() != set(names):
        raise DlappsError(f"expected {wanted}, got a file of another form; {remedy}.")
    return content
