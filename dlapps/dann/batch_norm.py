"""Adaptation by batch norm alone: of a trained network and pictures of the target, without the source or a label."""

import copy
from typing import Any, TypeVar

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dlapps import check_counts
from dlapps.core.images import as_uint8
from dlapps.core.runtime import autocast, check_last_batch, device_of, make_generator
from dlapps.core.training import minimise
from dlapps.dann.pictures import batch_to_pixels, channels_of, predict

Network = TypeVar("Network", bound=nn.Module)


def adapt_batch_norm(network: Network, target: ArrayLike, precision: str = "fast") -> Network:
    """A copy of the network, in eval mode, whose batch norms have the target's statistics (AdaBN, Li et al. 2017).

    Mean and variance (of the population) of what enters a layer, over all pictures uint8 (N, H, W) or (N, H, W, 3), the
    layers before it adapted already (Algorithm 1): one pass for each layer. Raises ValueError for a network in which no
    batch norm with statistics is called.
    """
    images, adapted = as_uint8(target), copy.deepcopy(network).eval()
    for layer in _find_batch_norms(adapted, images[:1]):
        mean, variance = _measure_inputs(layer, adapted, images, precision)
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
    return adapted


def tent(
    network: Network,
    target: ArrayLike,
    seed: int = 0,
    precision: str = "fast",
    batch_size: int = 128,
    learning_rate: float = 1e-3,
) -> Network:
    """A copy of the network whose batch norms scale and shift so that it is surer of the target (Wang et al. 2021).

    Adam descends the mean entropy of predictions in these scales and shifts, in one pass through pictures uint8
    (N, H, W) or (N, H, W, 3) in random order, each batch normalised by its own statistics; batch size and rate are the
    paper's for all but ImageNet. In the paper each batch is predicted with its own statistics too. Here the copy ends,
    in eval mode, with those of all pictures, by `adapt_batch_norm`: a prediction does not depend on its batch. Raises
    ValueError for a network in which no batch norm is called, DivergenceError for an entropy that is not finite.
    """
    check_counts(batch_size=batch_size)
    images, adapted = as_uint8(target), copy.deepcopy(network).eval()
    device, channels = device_of(adapted), channels_of(adapted)
    one, layers = batch_to_pixels(images[:1], device, channels), nn.ModuleList(_find_batch_norms(adapted, images[:1]))
    check_last_batch(adapted, lambda: adapted(one), len(images), batch_size, layers)
    optimiser = torch.optim.Adam(layers.train().requires_grad_().parameters(), learning_rate)
    for rows in torch.randperm(len(images), generator=make_generator(seed)).split(batch_size):
        with autocast(device, precision):
            logits = adapted(batch_to_pixels(images[rows], device, channels))
        log_probabilities = logits.float().log_softmax(1)
        minimise(-(log_probabilities.exp() * log_probabilities).sum(1).mean(), optimiser)
    adapted.zero_grad()
    return adapt_batch_norm(adapted, images, precision)


def _find_batch_norms(network: nn.Module, images: Tensor) -> list[Any]:
    """The batch norms with statistics, in the order in which they are called."""
    called: list[nn.Module] = []
    norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]
    norms = [norm for norm in norms if norm.running_mean is not None]
    hooks = [norm.register_forward_pre_hook(lambda part, _: called.append(part)) for norm in norms]
    try:
        predict(network, images)
    finally:
        for hook in hooks:
            hook.remove()
    if not called:
        raise ValueError(
            f"expected a network with batch norm, got {type(network).__name__} without; take one that was trained with "
            "it, such as DomainAdversarialNetwork(batch_norm=True)."
        )
    return [*dict.fromkeys(called)]


def _measure_inputs(layer: nn.Module, network: nn.Module, images: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) of what enters a layer, over all pictures and places."""
    number, total, squares = 0, torch.zeros(()), torch.zeros(())

    def add(_: nn.Module, inputs: tuple[Tensor]) -> None:
        nonlocal number, total, squares
        values = inputs[0].transpose(0, 1).flatten(1).float()
        variance, mean = (part.double().cpu() for part in torch.var_mean(values, 1, correction=0))
        number += values.shape[1]
        total = total + values.shape[1] * mean
        squares = squares + values.shape[1] * (variance + mean.square())

    with layer.register_forward_pre_hook(add):
        predict(network, images, precision)
    mean = total / number
    return mean, squares / number - mean.square()
