"""Saliency maps: which pixels a class score depends on. What every method takes and gives: see the package."""

import itertools
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import check_counts, check_name
from dlapps.core.class_scores import (
    Classes,
    Images,
    channels_last,
    check_input,
    choose_classes,
    chunk_size,
    float32,
    keep_classes,
    pick,
    pixel_gradient,
    read_logits,
)
from dlapps.core.images import check_unit
from dlapps.pretrained import find_layer


def input_gradient(
    network: nn.Module, images: Images, targets: Classes | None = None, reduce: str | None = "max"
) -> Tensor:
    """max over channels of |d S_c / d x|, S_c the target's logit (Simonyan, Vedaldi & Zisserman 2014, section 3).

    Returns (N, H, W) >= 0, in logits per unit of pixel.
    """
    images = check_input(network, images)
    with float32(images):
        return reduce_channels(gradient(network, images, targets), reduce)


def input_x_gradient(
    network: nn.Module, images: Images, targets: Classes | None = None, reduce: str | None = "sum"
) -> Tensor:
    """sum over channels of x d S_c / d x (Shrikumar et al. 2016): what each pixel adds to a score that is linear in x.

    Returns (N, H, W), signed, in logits.
    """
    images = check_input(network, images)
    return reduce_channels(images * input_gradient(network, images, targets, None), reduce)


def integrated_gradients(
    network: nn.Module,
    images: Images,
    targets: Classes | None = None,
    baseline: Images | float = 0.0,
    num_steps: int = 50,
    reduce: str | None = "sum",
) -> Tensor:
    """sum over channels of (x - x') times the mean of d S_c / d x on the line from x' to x (Sundararajan et al. 2017).

    baseline: x' in [0, 1], or uint8, whatever broadcasts to the images (black by default). The integral is taken by
    Gauss-Legendre quadrature on num_steps points. Returns (N, H, W), signed: a map sums to S_c(x) - S_c(x').
    """
    check_counts(num_steps=num_steps)
    images = check_input(network, images)
    nodes, shares = np.polynomial.legendre.leggauss(num_steps)
    weights = torch.tensor(shares / 2, dtype=images.dtype, device=images.device)
    places = [float(node + 1) / 2 for node in nodes]
    try:
        base = torch.as_tensor(baseline, device=images.device)
        baselines = (base / 255 if base.dtype == torch.uint8 else base).to(images).expand_as(images)
    except (RuntimeError, TypeError) as error:
        got = f"shape {tuple(baseline.shape)}" if hasattr(baseline, "shape") else repr(baseline)
        raise ValueError(
            f"expected a baseline that broadcasts to {tuple(images.shape)}, got {got}; take a number or such pictures."
        ) from error
    check_unit(baselines)
    maps = []
    with torch.no_grad(), float32(images):
        for image, black, target in zip(images, baselines, choose_classes(network, images, targets), strict=True):
            total = torch.zeros((), device=images.device)
            for start in range(0, num_steps, chunk_size(images)):
                rows = slice(start, start + chunk_size(images))
                line = torch.stack([black + place * (image - black) for place in places[rows]])
                total = total + (weights[rows].view(-1, 1, 1, 1) * gradient(network, line, target)).sum(0)
            maps.append((image - black) * total)
    return reduce_channels(torch.stack(maps), reduce)


def grad_cam(network: nn.Module, images: Images, layer: str, targets: Classes | None = None) -> Tensor:
    """ReLU(sum over channels of a_k A_k), a_k the mean of d S_c / d A_k over positions (Selvaraju et al. 2017).

    layer: dotted name, as in `network.named_modules()`, with or without `backbone.`, of the module that gives the
    feature maps A (n, D, h, w): the last convolutional one as a rule; of one called several times, the last call.
    Returns (N, H, W) >= 0, enlarged bilinearly from (h, w).
    """
    images = check_input(network, images)
    parts: Iterable[Tensor | None] = itertools.repeat(None)
    if targets is not None:
        parts = choose_classes(network, images, targets).split(chunk_size(images))
    maps = []
    for chunk, classes in zip(images.split(chunk_size(images)), parts, strict=False):
        features, slope = _feature_gradient(network, layer, chunk, classes)
        if features.ndim != 4:
            raise ValueError(
                f"expected feature maps (n, D, h, w), got {tuple(features.shape)} from {layer}; take an earlier layer."
            )
        maps.append(F.relu((slope.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True)))
    return F.interpolate(torch.cat(maps), images.shape[-2:], mode="bilinear").squeeze(1)


def guided_backprop(
    network: nn.Module, images: Images, targets: Classes | None = None, reduce: str | None = "max"
) -> Tensor:
    """max over channels of |d S_c / d x|, negative gradients set to 0 at each ReLU (Springenberg et al. 2015).

    Returns (N, H, W) >= 0. Sees modules nn.ReLU and nn.ReLU6 only: a ValueError where the network has none.
    """
    images = check_input(network, images)
    rectifiers = [module for module in network.modules() if isinstance(module, (nn.ReLU, nn.ReLU6))]
    if not rectifiers:
        raise ValueError("expected a network with modules nn.ReLU, got none of them; take another network or method.")
    with ExitStack() as stack, float32(images):
        for module in rectifiers:
            stack.callback(module.register_forward_hook(_clamp_gradient).remove)
        return reduce_channels(gradient(network, images, targets), reduce)


def guided_grad_cam(
    network: nn.Module,
    images: Images,
    layer: str,
    targets: Classes | None = None,
    reduce: str | None = "max",
) -> Tensor:
    """max over channels of |Grad-CAM times guided backpropagation| (Selvaraju et al. 2017, section 3.2).

    layer: see `grad_cam`. Returns (N, H, W) >= 0.
    """
    images = check_input(network, images)
    guided = guided_backprop(network, images, targets, None)
    return reduce_channels(grad_cam(network, images, layer, targets)[:, None] * guided, reduce)


def reduce_channels(values: Tensor, reduce: str | None) -> Tensor:
    """(N, C, H, W) to (N, H, W): "max" or "mean" of the absolute values, "sum" with the signs; None: as they are."""
    if reduce is None:
        return values
    check_name("reduce, where it is not None,", reduce, REDUCTIONS)
    return REDUCTIONS[reduce](values)


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda values: values.abs().amax(1),
    "mean": lambda values: values.abs().mean(1),
    "sum": lambda values: values.sum(1),
}


def gradient(network: nn.Module, images: Tensor, targets: Classes | None) -> Tensor:
    """d S_c / d x (N, C, H, W) with its signs, in the precision that the caller opened; nothing is checked."""
    classes = None
    if targets is not None:
        network, classes = keep_classes(network, choose_classes(network, images, targets))

    def score(logits: Tensor, rows: slice) -> Tensor:
        return _score(logits, None if classes is None else classes[rows])

    return pixel_gradient(network, images, score)[0]


def _clamp_gradient(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    if output.requires_grad:
        output.register_hook(F.relu)


def _score(logits: Tensor, targets: Tensor | None) -> Tensor:
    return pick(logits, logits.argmax(1) if targets is None else targets)


def _feature_gradient(network: nn.Module, layer: str, images: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor]:
    """What a layer gives, and the gradient of the scores with respect to it; nothing below it is differentiated."""
    leaves: list[Tensor] = []

    def cut(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> Tensor | None:
        if not isinstance(output, Tensor):
            return None
        leaves.append(output.detach().requires_grad_())
        # A copy, since the next layer may work in place.
        return leaves[-1].clone()

    seen = network
    if targets is not None:
        seen, targets = keep_classes(network, targets)
    hook, slope = find_layer(network, layer).register_forward_hook(cut), None
    try:
        with torch.enable_grad():
            scores = _score(read_logits(seen, channels_last(images)), targets)
            if leaves and scores.requires_grad:
                (slope,) = torch.autograd.grad(scores.sum(), leaves[-1], allow_unused=True)
    finally:
        hook.remove()
    if slope is None:
        raise ValueError(
            f"expected a layer whose output is a tensor that the class scores depend on, got {layer}; take another."
        )
    return leaves[-1].detach().float(), slope.float()
