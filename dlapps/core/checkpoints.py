"""Checkpoints, from which a training that was stopped goes on.

A checkpoint says which training it belongs to: its settings and its data, its layers
and their first weights.
"""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlapps.core.checks import DlappsError
from dlapps.core.weights import read_checked, write_checked

# Random generators and all that has a state_dict, by name.
Parts = Mapping[str, Any]


class TrainingError(DlappsError, ValueError):
    """A training that cannot go on, or a checkpoint of another one."""


def describe_run(identity: Mapping[str, object], parts: Parts) -> dict[str, str]:
    """Describe a training by short texts, which its checkpoint compares."""
    described = {name: _describe(value) for name, value in identity.items()}
    layers: list[str] = []
    weights: list[Tensor] = []
    for part in parts.values():
        if isinstance(part, nn.Module):
            weights.extend(part.state_dict().values())
            for name, layer in part.named_modules():
                layers.append(f"{name} {type(layer).__qualname__} {layer.extra_repr()}")
    described["network"] = "; ".join(layers)
    described["weights"] = fingerprint(weights)
    return described


def _describe(value: object) -> str:
    """Describe data by a fingerprint, a function by its name, other values by repr.

    Of a partial function and of a data class it describes each argument.
    """
    if isinstance(value, Tensor):
        return fingerprint([value])
    if isinstance(value, functools.partial):
        arguments = [_describe(argument) for argument in value.args]
        for name, argument in value.keywords.items():
            arguments.append(f"{name}={_describe(argument)}")
        return f"{_describe(value.func)}({', '.join(arguments)})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        arguments = []
        for field in dataclasses.fields(value):
            argument = getattr(value, field.name)
            arguments.append(f"{field.name}={_describe(argument)}")
        return f"{_describe(type(value))}({', '.join(arguments)})"
    if callable(value):
        return _name_function(value)
    if isinstance(value, Integral):
        # NumPy's integers print their type.
        return str(int(value))
    return repr(value)


def _name_function(function: Any) -> str:
    """Return the name of a function, or of the method of a data class.

    Raises ValueError for another object that is called like a function, since it does
    not say what it was made with.
    """
    owner = getattr(function, "__self__", None)
    if dataclasses.is_dataclass(owner):
        return f"{_describe(owner)}.{function.__name__}"
    is_method = inspect.ismethod(function) and not isinstance(owner, type)
    if is_method or not hasattr(function, "__qualname__"):
        made_by = type(owner if is_method else function)
        raise ValueError(
            "expected a function in a training with a checkpoint, got an object of "
            f"{made_by.__qualname__}, whose settings a checkpoint cannot compare; "
            "bind them by functools.partial, or make it a data class."
        )
    return f"{function.__module__}.{function.__qualname__}"


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """Return 16 hexadecimal digits of the types, shapes and values (SHA-256)."""
    sha256 = hashlib.sha256()
    for tensor in tensors:
        values = tensor.detach().cpu().reshape(-1).view(torch.uint8)
        sha256.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        sha256.update(values.numpy().tobytes())
    return sha256.hexdigest()[:16]


def save_checkpoint(
    path: str | Path,
    described: Mapping[str, str],
    parts: Parts,
    num_epochs: int,
    history: Mapping[str, list[Any]],
) -> None:
    """Write a checkpoint after so many epochs; raise DlappsError if it cannot be."""
    states: dict[str, Any] = {}
    for name, part in parts.items():
        if isinstance(part, torch.Generator):
            states[name] = part.get_state()
        else:
            states[name] = part.state_dict()
    content = {
        "identity": described,
        "num_epochs": num_epochs,
        "history": dict(history),
        "states": states,
    }
    try:
        write_checked(path, content)
    except OSError as error:
        raise DlappsError(
            f"expected a checkpoint that can be written, got {path} "
            f"({error.strerror}); name another file."
        ) from error


def load_checkpoint(
    path: str | Path, described: Mapping[str, str], parts: Parts
) -> tuple[int, dict[str, list[Any]]]:
    """Set the parts to their states; return the epochs so far and their history."""
    fields = ("identity", "num_epochs", "history", "states")
    content = read_checked(path, "checkpoint", fields)
    written = content["identity"]
    names = sorted(written.keys() | described.keys())
    differing = [name for name in names if written.get(name) != described.get(name)]
    if differing:
        raise TrainingError(
            f"expected a checkpoint of this run in {path}, got one that differs in "
            f"{', '.join(differing)}; delete it, or name another file."
        )
    for name, part in parts.items():
        state = content["states"][name]
        if isinstance(part, torch.Generator):
            part.set_state(state)
        else:
            part.load_state_dict(state)
    return content["num_epochs"], content["history"]
