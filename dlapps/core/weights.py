"""Files of a network's weights, which are read without running code in them.

A network of settings is stored with them: `save_network` and `load_network`. Of other
networks the caller knows the layers: `save_weights` and `load_weights`.
"""

import dataclasses
import io
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dlapps.core.checks import DlappsError
from dlapps.core.paths import write_atomically

Network = TypeVar("Network", bound=nn.Module)
Settings = TypeVar("Settings")
# What float16 can hold.
HIGHEST = torch.finfo(torch.float16).max


def save_weights(network: nn.Module, path: str | Path) -> Path:
    """Write a network's weights and statistics, in float16; return the path."""
    return write_checked(path, to_float16(network))


def load_weights(network: Network, path: str | Path) -> Network:
    """Read the weights that `save_weights` wrote; return the network, in eval mode.

    Raises DlappsError if the file has no weights, or those of other layers.
    """
    state = read_checked(path, "file of these layers' weights", network.state_dict())
    return set_state(network, state, path)


def save_network(network: nn.Module, path: str | Path, kind: str) -> Path:
    """Write a network's weights and statistics, in float16, and its settings.

    kind: what the network is, by which the file names its state. Its `settings` are a
        data class.

    Returns the path.
    """
    # nn.Module's type does not declare settings.
    settings: Any = network.settings
    content = {"settings": dataclasses.asdict(settings), kind: to_float16(network)}
    return write_checked(path, content)


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

    Raises DlappsError for a file of another form, without all the settings, or with
    weights of other layers.
    """
    content = read_checked(path, kind, ("settings", kind))
    settings = {}
    try:
        for field in dataclasses.fields(settings_type):  # type: ignore[arg-type]
            settings[field.name] = content["settings"][field.name]
        network = make(settings_type(**settings))
    except (KeyError, TypeError, ValueError) as error:
        raise DlappsError(
            f"expected the settings of a {kind} in {path}, got others ({error!r}); "
            "name another file."
        ) from error
    return set_state(network, content[kind], path).requires_grad_(False)


def set_state(network: Network, state: Mapping[str, Tensor], path: Any) -> Network:
    """Set a network to the state that a file has; return it, in eval mode.

    Raises DlappsError, which names the file, for the state of other layers.
    """
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise DlappsError(
            f"expected these layers' weights in {path}, got others; name another file."
        ) from error
    return network.eval()


def to_float16(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state with its floats in float16, two bytes a weight.

    Raises ValueError for a finite value that float16 cannot hold.
    """
    state = {}
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            state[name] = value.half()
            lost = value[value.isfinite() & state[name].isinf()]
            if lost.numel():
                raise ValueError(
                    f"expected weights and statistics up to {HIGHEST:,.0f}, got "
                    f"{float(lost[0]):,.0f} in {name}; scale what the network is "
                    "given, or store its state_dict in float32."
                )
        else:
            state[name] = value
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
