"""Features and networks kept by their content, so that no picture goes through a network twice, in any process."""

import copy
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from dlapps import DlappsError
from dlapps.core.paths import write_atomically
from dlapps.core.runtime import channels_last
from dlapps.core.weights import describe_structure, fingerprint
from dlapps.pretrained import PixelNetwork

# Of each network: its layers, where its weights lie and how often they were written to, and what they were.
_FINGERPRINTS: WeakKeyDictionary[nn.Module, tuple[list, str]] = WeakKeyDictionary()


def fingerprint_network(network: nn.Module) -> str:
    """16 hexadecimal digits of a network's layers and weights; computed once, and again when a weight was changed.

    A change by way of `.data` is not seen, as autograd does not see it.
    """
    state = network.state_dict()
    layers = describe_structure(network)
    written = [layers, *((part.data_ptr(), 0 if part.is_inference() else part._version) for part in state.values())]
    if network not in _FINGERPRINTS or _FINGERPRINTS[network][0] != written:
        _FINGERPRINTS[network] = written, fingerprint(layers, *state, *state.values())
    return _FINGERPRINTS[network][1]


def keep_features(
    folders: Mapping[str, Path], pixels: Tensor, compute: Callable[[Tensor], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Features (N, D) of pixels (N, C, H, W) by layer: what lies in the layer's folder, one file a picture, named by
    its content; and what `compute` makes of the other pictures, which is written there."""
    names = [fingerprint(picture) for picture in pixels]
    new = {
        name: row for row, name in enumerate(names) if not all((folder / name).is_file() for folder in folders.values())
    }
    if new:
        for layer, block in compute(pixels[[*new.values()]]).items():
            for name, vector in zip(new, block, strict=True):
                write_atomically(folders[layer] / name, vector.tobytes())
    return {
        layer: np.stack([np.fromfile(folder / name, np.float32) for name in names]) for layer, folder in folders.items()
    }


def pack(network: PixelNetwork | str, cache: str | Path | None) -> Any:
    """What is pickled in place of a network: its name, or a file of the cache, named by its content and written once.

    Where there is neither, the network with arrays in place of its weights, and its device: joblib hashes arrays by
    their content, where tensors hash anew in each process, and in each copy.
    """
    if not isinstance(network, PixelNetwork):
        return network
    if cache:
        path = Path(cache) / "networks" / fingerprint_network(network)
        return path if path.is_file() else write_atomically(path, pickle.dumps(pack(network, None)))
    tensors = [*network.parameters(), *network.buffers()]
    # In C's order, whatever the order in memory: it is part of the hash.
    arrays = {id(tensor): np.array(tensor.numpy(force=True), order="C") for tensor in tensors}
    return copy.deepcopy(network, arrays), str(tensors[0].device)


def unpack(packed: Any) -> PixelNetwork | str:
    """The network, or its name, of what `pack` gave. Raises DlappsError for a file that is no more."""
    if isinstance(packed, Path):
        if not packed.is_file():
            raise DlappsError(f"expected a network in {packed}, got no such file; keep the cache beside the pickle.")
        packed = pickle.loads(packed.read_bytes())
    if not isinstance(packed, tuple):
        return packed
    network, device = packed
    tensors: dict[int, Tensor] = {}
    for module in network.modules():
        buffers = (array for array in module._buffers.values() if array is not None)
        tensors |= {id(array): torch.tensor(array) for array in buffers}
        weights = (array for array in module._parameters.values() if array is not None)
        tensors |= {id(array): nn.Parameter(torch.tensor(array), requires_grad=False) for array in weights}
    return channels_last(copy.deepcopy(network, tensors)).to(device)
