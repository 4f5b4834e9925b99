"""Saliency maps: which pixels a class score depends on. What every method takes and gives: see the package."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import ExitStack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.class_scores import (
    CHUNK,
    Classes,
    check_input,
    choose_classes,
    expand_classes,
    float32,
    pick,
    pixel_gradient,
)
from dlapps.pixel_network import find_layer
from dlapps.runtime import make_generator


def input_gradient(network: nn.Module, images: Tensor, targets: Classes | None = None) -> Tensor:
    """max over RGB of |d S_c / d x|, with S_c the logit of the target (Simonyan, Vedaldi & Zisserman 2014, section 3).

    Returns (N, H, W) >= 0, in logits per unit of pixel.
    """
    check_input(network, images)
    with float32(images):
        return _strongest_colour(_gradient(network, images, targets))


def smooth_grad(
    network: nn.Module,
    images: Tensor,
    targets: Classes | None = None,
    noise_std: float = 0.15,
    num_samples: int = 50,
    seed: int = 0,
) -> Tensor:
    """max over RGB of |mean of d S_c / d x at x + N(0, noise_std^2)| (Smilkov et al. 2017).

    noise_std: in pixel units, .1 to .2 in the paper. Gradients are averaged with their signs, as there (captum's
    NoiseTunnel around Saliency averages absolute values). Each picture sees the same draws of noise, so its map depends
    neither on the batch around it nor on the chunks. Returns (N, H, W) >= 0.
    """
    check_input(network, images)
    if num_samples < 1 or noise_std < 0:
        raise ValueError(
            f"expected num_samples >= 1 and noise_std >= 0, got {num_samples} and {noise_std}; change them."
        )
    weights = torch.full((num_samples,), 1 / num_samples, device=images.device)

    def noisy(image: Tensor) -> Iterable[Tensor]:
        # Drawn on the CPU: the same noise whatever the device.
        generator = make_generator(seed)
        for _ in range(num_samples):
            noise = torch.randn(image.shape, generator=generator, device="cpu", dtype=image.dtype)
            yield image + noise_std * noise.to(image.device)

    pairs = zip(images, choose_classes(network, images, targets), strict=True)
    maps = [_weighted_gradient(network, noisy(image), weights, target) for image, target in pairs]
    return _strongest_colour(torch.stack(maps))


def integrated_gradients(
    network: nn.Module,
    images: Tensor,
    targets: Classes | None = None,
    baseline: Tensor | float = 0.0,
    num_steps: int = 50,
) -> Tensor:
    """sum over RGB of (x - x') times the mean of d S_c / d x on the line from x' to x (Sundararajan et al. 2017).

    baseline: x', whatever broadcasts to one image (black by default). The integral is taken by Gauss-Legendre
    quadrature on num_steps points. Returns (N, H, W), signed: a map sums to S_c(x) - S_c(x').
    """
    check_input(network, images)
    nodes, shares = np.polynomial.legendre.leggauss(num_steps)
    weights = torch.tensor(shares / 2, dtype=images.dtype, device=images.device)
    targets, maps = choose_classes(network, images, targets), []
    with float32(images):
        for image, target in zip(images, targets, strict=True):
            line = (baseline + float(node + 1) / 2 * (image - baseline) for node in nodes)
            maps.append((image - baseline) * _weighted_gradient(network, line, weights, target))
    return torch.stack(maps).sum(1)


def grad_cam(network: nn.Module, images: Tensor, layer: str, targets: Classes | None = None) -> Tensor:
    """ReLU(sum over channels of a_k A_k), a_k the mean of d S_c / d A_k over positions (Selvaraju et al. 2017).

    layer: dotted name, as in `network.named_modules()`, of the module that gives the feature maps A (n, D, h, w): the
    last convolutional one as a rule. Returns (N, H, W) >= 0, enlarged bilinearly from (h, w).
    """
    check_input(network, images)
    module, maps = find_layer(network, layer), []
    device = images.device
    parts = None if targets is None else expand_classes(targets, len(images), device).split(CHUNK)
    for number, chunk in enumerate(images.split(CHUNK)):
        features, gradient = _feature_gradient(network, module, chunk, parts and parts[number])
        if features.ndim != 4:
            raise ValueError(
                f"expected feature maps (n, D, h, w), got {tuple(features.shape)} from {layer}; take an earlier layer."
            )
        maps.append(F.relu((gradient.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True)))
    return F.interpolate(torch.cat(maps), images.shape[-2:], mode="bilinear").squeeze(1)


def guided_backprop(network: nn.Module, images: Tensor, targets: Classes | None = None) -> Tensor:
    """max over RGB of |d S_c / d x|, negative gradients set to 0 at each ReLU (Springenberg et al. 2015).

    Returns (N, H, W) >= 0. Sees modules nn.ReLU and nn.ReLU6 only: a ValueError where the network has none.
    """
    check_input(network, images)
    rectifiers = [module for module in network.modules() if isinstance(module, (nn.ReLU, nn.ReLU6))]
    if not rectifiers:
        raise ValueError("expected a network with modules nn.ReLU, got none of them; take another network or method.")
    with ExitStack() as stack, float32(images):
        for module in rectifiers:
            stack.callback(module.register_forward_hook(_clamp_gradient).remove)
        return _strongest_colour(_gradient(network, images, targets))


def _clamp_gradient(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    if output.requires_grad:
        output.register_hook(F.relu)


def _score(logits: Tensor, targets: Tensor | None) -> Tensor:
    return pick(logits, logits.argmax(1) if targets is None else targets)


def _gradient(network: nn.Module, images: Tensor, targets: Classes | None) -> Tensor:
    targets = None if targets is None else expand_classes(targets, len(images), images.device)

    def score(logits: Tensor, rows: slice) -> Tensor:
        return _score(logits, None if targets is None else targets[rows])

    return pixel_gradient(network, images, score)[0]


def _weighted_gradient(network: nn.Module, points: Iterable[Tensor], weights: Tensor, target: Tensor) -> Tensor:
    """Sum of weights[i] d S_c / d x at points[i]: (3, H, W), a chunk of points at a time in memory."""
    points, total = iter(points), torch.zeros((), device=weights.device)
    for chunk in weights.split(CHUNK):
        batch = torch.stack(list(itertools.islice(points, len(chunk))))
        total = total + (chunk.view(-1, 1, 1, 1) * _gradient(network, batch, target)).sum(0)
    return total


def _feature_gradient(
    network: nn.Module, module: nn.Module, images: Tensor, targets: Tensor | None
) -> tuple[Tensor, Tensor]:
    """What a layer gives, and the gradient of the scores with respect to it; nothing below it is differentiated."""
    leaves = []

    def cut(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        # A copy, since the next layer may work in place.
        return leaves[-1].clone()

    hook = module.register_forward_hook(cut)
    try:
        with torch.enable_grad():
            logits = network(images.detach().clone(memory_format=torch.channels_last)).float()
            (gradient,) = torch.autograd.grad(_score(logits, targets).sum(), leaves[-1])
    finally:
        hook.remove()
    return leaves[-1].detach().float(), gradient.float()


def _strongest_colour(gradients: Tensor) -> Tensor:
    return gradients.abs().amax(1)
