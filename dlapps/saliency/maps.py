"""Saliency maps: which pixels a class score depends on.

The package says what every method takes and returns.
"""

from contextlib import ExitStack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.checks import check_counts, check_length
from dlapps.core.class_scores import (
    Classes,
    Images,
    check_finite,
    check_input,
    check_range,
    choose_classes,
    chunk_size,
    copy_channels_last,
    float32,
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
) -> Tensor:
    """Compute max over channels of |d S_c / d x|, S_c the target's logit.

    This is the saliency map of Simonyan, Vedaldi & Zisserman 2014, section 3.1. Returns
    (N, H, W) >= 0, in logits per unit of pixel.
    """
    images = check_input(network, images)
    with float32(images):
        classes = choose_classes(network, images, targets)
        gradients = _score_gradient(network, images, classes)
    return gradients.abs().amax(1)


def smooth_grad(
    network: nn.Module,
    images: Images,
    targets: Classes | None = None,
    noise_std: float = 0.15,
    num_samples: int = 50,
    seed: int = 0,
) -> Tensor:
    """Compute max over channels of |mean of d S_c / d x at x + noise|.

    This is SmoothGrad (Smilkov et al. 2017). As in the paper, gradients are averaged
    with their signs (captum's NoiseTunnel around Saliency averages absolute values).
    All images see the same noise, so that a map does not depend on the batch around it.

    noise_std: standard deviation of the Gaussian noise in pixel units, .1 to .2 in the
        paper.
    num_samples: noisy copies of an image whose gradients are averaged.

    Returns (N, H, W) >= 0.
    """
    check_counts(num_samples=num_samples)
    check_length("noise_std", noise_std)
    images = check_input(network, images)
    classes = choose_classes(network, images, targets)
    shape = (num_samples, *images.shape[1:])
    # Drawn on the CPU: the same noise whatever the device.
    noise = torch.randn(shape, generator=make_generator(seed), device="cpu")
    noise = noise_std * noise.to(images.device)
    maps = []
    for image, target in _pairs(images, classes):
        targets_of_samples = target.expand(num_samples)
        gradients = _score_gradient(network, image + noise, targets_of_samples)
        maps.append(gradients.mean(0).abs().amax(0))
    return torch.stack(maps)


def integrated_gradients(
    network: nn.Module,
    images: Images,
    targets: Classes | None = None,
    num_steps: int = 50,
) -> Tensor:
    """Compute sum over channels of x times the integral of d S_c(a x) / d x.

    This is equation 1 of Sundararajan, Taly & Yan 2017 with a black baseline: a goes
    from 0 to 1.

    num_steps: points of the Gauss-Legendre quadrature that computes the integral.

    Returns (N, H, W), signed: a map sums to S_c(x) less the score of a black picture.
    """
    check_counts(num_steps=num_steps)
    images = check_input(network, images)
    # The points and weights of the quadrature on [-1, 1] are moved to [0, 1].
    points, point_weights = np.polynomial.legendre.leggauss(num_steps)
    alphas = torch.from_numpy((points + 1) / 2).to(images).view(-1, 1, 1, 1)
    weights = torch.from_numpy(point_weights / 2).to(images).view(-1, 1, 1, 1)
    maps = []
    with float32(images):
        classes = choose_classes(network, images, targets)
        for image, target in _pairs(images, classes):
            path = alphas * image  # (num_steps, C, H, W)
            gradients = _score_gradient(network, path, target.expand(num_steps))
            integral = (weights * gradients).sum(0)
            maps.append((image * integral).sum(0))
    return torch.stack(maps)


def grad_cam(
    network: nn.Module, images: Images, layer: str, targets: Classes | None = None
) -> Tensor:
    """Compute ReLU(sum over k of a_k A^k), a_k the mean of d S_c / d A^k.

    These are equations 1 and 2 of Selvaraju et al. 2017. The mean is over positions.

    layer: dotted name of the module that gives the feature maps A (N, D, h, w), as in
        `network.named_modules()`, with or without `backbone.`; as a rule the last
        convolution. If the network calls it several times, the last call counts.

    Returns (N, H, W) >= 0, enlarged bilinearly from (h, w).
    """
    images = check_input(network, images)
    classes = choose_classes(network, images, targets)
    size = chunk_size(images)
    maps = []
    for pictures, labels in zip(images.split(size), classes.split(size), strict=True):
        features, gradients = _feature_gradient(network, layer, pictures, labels)
        weights = gradients.mean((2, 3), keepdim=True)  # (n, D, 1, 1)
        maps.append(F.relu((weights * features).sum(1, keepdim=True)))  # (n, 1, h, w)
    return F.interpolate(torch.cat(maps), images.shape[2:], mode="bilinear").squeeze(1)


def guided_backprop(
    network: nn.Module, images: Images, targets: Classes | None = None
) -> Tensor:
    """Compute max over channels of |d S_c / d x| with guided ReLUs.

    On the way back each ReLU also sets negative gradients to 0 (Springenberg et al.
    2015). Only modules nn.ReLU and nn.ReLU6 are recognised.

    Returns (N, H, W) >= 0. Raises ValueError for a network without such modules.
    """
    images = check_input(network, images)
    rectifiers = []
    for module in network.modules():
        if isinstance(module, (nn.ReLU, nn.ReLU6)):
            rectifiers.append(module)
    if not rectifiers:
        raise ValueError(
            "expected a network with modules nn.ReLU, got none of them; "
            "take another network or method."
        )
    with ExitStack() as stack, float32(images):
        classes = choose_classes(network, images, targets)
        for module in rectifiers:
            hook = module.register_forward_hook(_clamp_gradient)
            stack.callback(hook.remove)
        gradients = _score_gradient(network, images, classes)
    return gradients.abs().amax(1)


def _clamp_gradient(
    module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    if output.requires_grad:
        output.register_hook(F.relu)


def _pairs(images: Tensor, classes: Tensor) -> Bar:
    """Images and their classes one by one, with a progress bar."""
    pairs = zip(images, classes, strict=True)
    return Bar(pairs, "pictures", total=len(images))


def _score_gradient(network: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Return d S_c / d x (N, C, H, W), in the precision that the caller opened."""
    gradients, logits = pixel_gradient(network, images, classes, _target_score)
    check_finite(logits)
    return gradients


def _target_score(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the logits (N,) of the classes, once each of them has one."""
    check_range(classes, logits)
    return pick(logits, classes)


def _feature_gradient(
    network: nn.Module, layer: str, images: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a layer's feature maps A (n, D, h, w), and d S_c / d A of the same shape.

    Nothing below the layer is differentiated.
    """
    features: list[Tensor] = []

    def start_graph(
        module: nn.Module, inputs: tuple[Tensor, ...], output: object
    ) -> Tensor | None:
        if not isinstance(output, Tensor):
            return None
        features.append(output.detach().requires_grad_())
        # A copy, since the next layer may work in place.
        return features[-1].clone()

    hook = find_layer(network, layer).register_forward_hook(start_graph)
    try:
        with torch.enable_grad():
            logits = read_logits(network, copy_channels_last(images))
            total = _target_score(logits, classes).sum()
    finally:
        hook.remove()
    check_finite(logits)
    gradient = None
    if features and total.requires_grad:
        (gradient,) = torch.autograd.grad(total, features[-1], allow_unused=True)
    if gradient is None:
        raise ValueError(
            "expected a layer whose output is a tensor that the class scores depend "
            f"on, got {layer}; take another."
        )
    if gradient.ndim != 4:
        raise ValueError(
            f"expected feature maps (n, D, h, w), got {tuple(gradient.shape)} from "
            f"{layer}; take an earlier layer."
        )
    return features[-1].detach().float(), gradient.float()
