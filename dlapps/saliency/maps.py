"""Saliency maps: which pixels a class score depends on. What every method takes and
gives: see the package.
"""

import itertools
from collections.abc import Iterable
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
from dlapps.core.runtime import Bar, make_generator
from dlapps.pretrained import find_layer


def input_gradient(
    network: nn.Module,
    images: Images,
    targets: Classes | None = None,
    reduce: str | None = "max",
) -> Tensor:
    """max over channels of |d S_c / d x|, S_c the target's logit (Simonyan, Vedaldi &
    Zisserman 2014, section 3).

    reduce: "max" of the absolute values of the channels, their "sum" with the signs, or
    None for (N, C, H, W) as it is. Returns (N, H, W), in logits per unit of pixel.
    """
    images = check_input(network, images)
    with float32(images):
        gradients = _gradient(network, images, targets)
    if reduce is None:
        return gradients
    check_name("reduce, where it is not None,", reduce, ("max", "sum"))
    return gradients.abs().amax(1) if reduce == "max" else gradients.sum(1)


def smooth_grad(
    network: nn.Module,
    images: Images,
    targets: Classes | None = None,
    noise_std: float = 0.15,
    num_samples: int = 50,
    seed: int = 0,
) -> Tensor:
    """max over channels of |mean of d S_c / d x at x + N(0, noise_std^2)| (Smilkov et
    al. 2017).

    noise_std: in pixel units, .1 to .2 in the paper. Gradients are averaged with their
    signs, as there (captum's NoiseTunnel around Saliency averages absolute values).
    Each picture sees the same draws of noise, so its map depends neither on the batch
    around it nor on the chunks. Returns (N, H, W) >= 0.
    """
    images = check_input(network, images)
    check_counts(num_samples=num_samples)
    if not 0 <= noise_std < float("inf"):
        raise ValueError(
            f"expected a finite noise_std >= 0, got {noise_std}; take .1 to .2, in units of pixels."
        )
    # Drawn on the CPU, one by one: the same noise whatever the device and the chunks.
    generator, noise = (
        make_generator(seed),
        images.new_empty(num_samples, *images.shape[1:]),
    )
    for draw in noise:
        draw.copy_(torch.randn(draw.shape, generator=generator, device="cpu"))
    maps = []
    classes = choose_classes(network, images, targets)
    for image, target in Bar(
        zip(images, classes, strict=True), "pictures", total=len(images)
    ):
        mean = torch.zeros_like(image)
        for draws in noise.split(chunk_size(images)):
            gradients = _gradient(
                network, image + noise_std * draws, target.expand(len(draws))
            )
            mean += (gradients * (1 / num_samples)).sum(0)
        maps.append(mean.abs().amax(0))
    return torch.stack(maps)


def integrated_gradients(
    network: nn.Module,
    images: Images,
    targets: Classes | None = None,
    num_steps: int = 50,
) -> Tensor:
    """sum over channels of x times the mean of d S_c / d x on the line from black to x
    (Sundararajan et al. 2017).

    The integral is taken by Gauss-Legendre quadrature on num_steps points. Returns (N,
    H, W), signed: a map sums to S_c(x) less the score of a black picture.
    """
    check_counts(num_steps=num_steps)
    images = check_input(network, images)
    nodes, shares = np.polynomial.legendre.leggauss(num_steps)
    weights = torch.tensor(shares / 2, dtype=images.dtype, device=images.device)
    places = torch.tensor(
        (nodes + 1) / 2, dtype=images.dtype, device=images.device
    ).view(-1, 1, 1, 1)
    maps = []
    with float32(images):
        classes = choose_classes(network, images, targets)
        for image, target in Bar(
            zip(images, classes, strict=True), "pictures", total=len(images)
        ):
            total = torch.zeros_like(image)
            for start in range(0, num_steps, chunk_size(images)):
                rows = slice(start, start + chunk_size(images))
                total += (
                    weights[rows].view(-1, 1, 1, 1)
                    * _gradient(network, places[rows] * image, target)
                ).sum(0)
            maps.append((image * total).sum(0))
    return torch.stack(maps)


def grad_cam(
    network: nn.Module, images: Images, layer: str, targets: Classes | None = None
) -> Tensor:
    """ReLU(sum over channels of a_k A_k), a_k the mean of d S_c / d A_k over positions
    (Selvaraju et al. 2017).

    layer: dotted name, as in `network.named_modules()`, with or without `backbone.`, of
    the module that gives the feature maps A (n, D, h, w): the last convolutional one as
    a rule; of one called several times, the last call. Returns (N, H, W) >= 0, enlarged
    bilinearly from (h, w).
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
        maps.append(
            F.relu((slope.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True))
        )
    return F.interpolate(torch.cat(maps), images.shape[-2:], mode="bilinear").squeeze(1)


def guided_backprop(
    network: nn.Module, images: Images, targets: Classes | None = None
) -> Tensor:
    """max over channels of |d S_c / d x|, negative gradients set to 0 at each ReLU
    (Springenberg et al. 2015).

    Returns (N, H, W) >= 0. Sees modules nn.ReLU and nn.ReLU6 only: a ValueError where
    the network has none.
    """
    images = check_input(network, images)
    rectifiers = [
        module
        for module in network.modules()
        if isinstance(module, (nn.ReLU, nn.ReLU6))
    ]
    if not rectifiers:
        raise ValueError(
            "expected a network with modules nn.ReLU, got none of them; take another network or method."
        )
    with ExitStack() as stack, float32(images):
        for module in rectifiers:
            stack.callback(module.register_forward_hook(_clamp_gradient).remove)
        return _gradient(network, images, targets).abs().amax(1)


def _gradient(network: nn.Module, images: Tensor, targets: Classes | None) -> Tensor:
    """d S_c / d x (N, C, H, W) with its signs, in the precision that the caller opened;
    nothing is checked.
    """
    classes = None
    if targets is not None:
        network, classes = keep_classes(
            network, choose_classes(network, images, targets)
        )

    def score(logits: Tensor, rows: slice) -> Tensor:
        return _score(logits, None if classes is None else classes[rows])

    return pixel_gradient(network, images, score)[0]


def _clamp_gradient(
    module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    if output.requires_grad:
        output.register_hook(F.relu)


def _score(logits: Tensor, targets: Tensor | None) -> Tensor:
    return pick(logits, logits.argmax(1) if targets is None else targets)


def _feature_gradient(
    network: nn.Module, layer: str, images: Tensor, targets: Tensor | None
) -> tuple[Tensor, Tensor]:
    """What a layer gives, and the gradient of the scores with respect to it; nothing
    below it is differentiated.
    """
    leaves: list[Tensor] = []

    def cut(
        module: nn.Module, inputs: tuple[Tensor, ...], output: object
    ) -> Tensor | None:
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
                (slope,) = torch.autograd.grad(
                    scores.sum(), leaves[-1], allow_unused=True
                )
    finally:
        hook.remove()
    if slope is None:
        raise ValueError(
            f"expected a layer whose output is a tensor that the class scores depend on, got {layer}; take another."
        )
    return leaves[-1].detach().float(), slope.float()
