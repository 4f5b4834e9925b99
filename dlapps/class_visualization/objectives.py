"""Objectives: what is raised, a number for each picture of what the network makes of it; they add and multiply."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlapps.core.class_scores import channels_last, pick, read_logits
from dlapps.pretrained import find_layer


@dataclass(frozen=True)
class Seen:
    """What an objective looks at, differentiable.

    pictures: (N, 3, H, W) in [0, 1], before the transforms; logits: (N, K), and the outputs of layers by name, of the
    pictures after them; targets: (N,).
    """

    pictures: Tensor
    logits: Tensor
    targets: Tensor
    layers: dict[str, Tensor]


Term = Callable[[Seen], Tensor] | float


def _combine(operation: Callable) -> Callable[[Objective, Term], Objective]:
    def method(self: Objective, other: Term) -> Objective:
        layers = (*self.layers, *getattr(other, "layers", ()))
        return Objective(lambda seen: operation(self(seen), other(seen) if callable(other) else other), layers)

    return method


class Objective:
    """function(seen) -> (N,), to be raised; objectives add, subtract and multiply, with numbers and functions too.

    layers: names of those whose outputs the function finds in `seen.layers`.

    >>> unit = Objective(lambda seen: seen.layers["features.12"][:, 7].mean((1, 2)), ["features.12"])
    >>> bright = Objective(lambda seen: seen.pictures.mean((1, 2, 3)))
    >>> preset = replace(MODERN, objective=class_score + 2 * unit - 5 * bright)
    """

    def __init__(self, function: Callable[[Seen], Tensor], layers: Sequence[str] = ()) -> None:
        self.function, self.layers = function, tuple(layers)

    def __call__(self, seen: Seen) -> Tensor:
        return self.function(seen)

    __add__ = __radd__ = _combine(operator.add)
    __mul__ = __rmul__ = _combine(operator.mul)
    __sub__ = _combine(operator.sub)

    def __rsub__(self, other: Term) -> Objective:
        return -self + other

    def __neg__(self) -> Objective:
        return self * -1


def _target_score(seen: Seen) -> Tensor:
    return pick(seen.logits, seen.targets)


def _target_margin(seen: Seen) -> Tensor:
    others = seen.logits.scatter(1, seen.targets[:, None], -torch.inf)
    return _target_score(seen) - others.logsumexp(1)


# The logit (N,) of the targets, and the logarithm of the odds of their probability: it falls where a rival rises.
class_score = Objective(_target_score)
class_margin = Objective(_target_margin)


def look(
    network: nn.Module, objective: Callable[[Seen], Tensor], pictures: Tensor, transformed: Tensor, targets: Tensor
) -> Tensor:
    """The objective (N,) of pictures of which the network sees the transformed ones; hooks go, whatever fails."""
    outputs: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for layer in getattr(objective, "layers", ()):

            def keep(module: nn.Module, inputs: tuple, output: Tensor, layer: str = layer) -> None:
                # A copy, since the next layer may work in place.
                outputs[layer] = output.to(pictures.dtype, copy=True)

            hooks.callback(find_layer(network, layer).register_forward_hook(keep).remove)
        logits = read_logits(network, channels_last(transformed))
    values = objective(Seen(pictures, logits, targets, outputs))
    if values.shape != targets.shape:
        raise ValueError(
            f"expected an objective that gives one number for each of {len(targets)} pictures, got shape "
            f"{tuple(values.shape)}; take the mean over the other axes."
        )
    if not values.isfinite().all():
        raise ValueError(f"expected a finite objective, got {values.tolist()}; look for what made it.")
    return values
