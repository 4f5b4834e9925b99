"""Saliency: maps of the pixels that a class score depends on.

Every method takes a network, which is any nn.Module in eval mode that takes pixels and
gives logits, and returns maps (N, H, W) float32 on the images' device. A network of
torchvision or timm expects normalised pictures, and without `pretrained.wrap` its maps
would be wrong without an error.

images: (N, C, H, W) with any number of channels, float32 in [0, 1], or whatever else
    `images.as_pictures` takes.
targets: the number of a class, N of them, or None for the predicted classes.

Weights, the images' `.grad` and the network's hooks are left as they were, whatever
fails. Under the caller's `torch.autocast`, `smooth_grad` and `grad_cam` run in its
format; the others always run in float32, since bfloat16 visibly changes their maps.
Pixels outside [0, 1] or of another shape or type, a class out of range, a network in
training mode or without logits (N, K), and an unknown layer or one that no score
depends on raise a ValueError of one sentence.
"""

from contextlib import ExitStack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.checks import check_between, check_counts
from dlapps.core.class_scores import (
    Classes,
    Images,
    check_input,
    check_network,
    choose_or_predict,
    chunk_size,
    copy_channels_last,
    float32,
    pick,
    pixel_gradient,
    read_logits,
)
from dlapps.core.runtime import make_generator, progress
from dlapps.pretrained import find_layer


def input_gradient(
    network: nn.Module, images: Images, targets: Classes | None = None
) -> Tensor:
    """Compute max over channels of |d S_c / d x|, S_c the target's logit.

    This is the saliency map of Simonyan, Vedaldi & Zisserman 2014, section 3.1. Returns
    (N, H, W) >= 0, in logits per unit of pixel.
    """
    images = check_input(network, images)
    classes = choose_or_predict(network, images, targets)
    with float32(images):
        gradients, _ = pixel_gradient(network, images, classes)
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
    check_between(0, 0.25, noise_std=noise_std)
    images = check_input(network, images)
    classes = choose_or_predict(network, images, targets)
    shape = (num_samples, *images.shape[1:])
    # Drawn on the CPU: the same noise whatever the device.
    noise = torch.randn(shape, generator=make_generator(seed), device="cpu")
    noise = noise_std * noise.to(images.device)
    maps = []
    for row in progress(range(len(images)), "pictures"):
        samples = images[row] + noise  # (num_samples, C, H, W)
        target = classes[row].expand(num_samples)
        gradients, _ = pixel_gradient(network, samples, target)
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
    classes = choose_or_predict(network, images, targets)
    # The points and weights of the quadrature on [-1, 1] are moved to [0, 1].
    points, point_weights = np.polynomial.legendre.leggauss(num_steps)
    alphas = torch.from_numpy((points + 1) / 2).to(images).view(-1, 1, 1, 1)
    weights = torch.from_numpy(point_weights / 2).to(images).view(-1, 1, 1, 1)
    maps = []
    with float32(images):
        for row in progress(range(len(images)), "pictures"):
            path = alphas * images[row]  # (num_steps, C, H, W)
            target = classes[row].expand(num_steps)
            gradients, _ = pixel_gradient(network, path, target)
            integral = (weights * gradients).sum(0)  # (C, H, W)
            maps.append((images[row] * integral).sum(0))
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
    classes = choose_or_predict(network, images, targets)
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
    2015). Only modules nn.ReLU and nn.ReLU6 are found, no functional ReLUs: of a
    network that has such modules and does not run them, this is the plain gradient.

    Returns (N, H, W) >= 0. Raises ValueError for a network without such modules.
    """
    check_network(network)
    rectifiers = []
    for module in network.modules():
        if isinstance(module, (nn.ReLU, nn.ReLU6)):
            rectifiers.append(module)
    if not rectifiers:
        raise ValueError(
            "expected a network with modules nn.ReLU, got none of them; "
            "take another network or method."
        )
    with ExitStack() as hooks:
        for module in rectifiers:
            hooks.enter_context(module.register_forward_hook(_clamp_gradient))
        return input_gradient(network, images, targets)


def _clamp_gradient(_module: nn.Module, _inputs: object, output: Tensor) -> None:
    if output.requires_grad:
        output.register_hook(F.relu)


def _feature_gradient(
    network: nn.Module, layer: str, images: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a layer's feature maps A (n, D, h, w), and d S_c / d A of the same shape.

    Nothing below the layer is differentiated.
    """
    features: list[Tensor] = []

    def start_graph(
        _module: nn.Module, _inputs: object, output: object
    ) -> Tensor | None:
        if not isinstance(output, Tensor):
            return None
        features.append(output.detach().requires_grad_())
        # A copy, since the next layer may work in place.
        return features[-1].clone()

    hook = find_layer(network, layer).register_forward_hook(start_graph)
    with hook, torch.enable_grad():
        logits = read_logits(network, copy_channels_last(images))
        total = pick(logits, classes).sum()
    gradient = None
    if features and total.requires_grad:
        (gradient,) = torch.autograd.grad(total, features[-1], allow_unused=True)
    if gradient is None or gradient.ndim != 4:
        raise ValueError(
            "expected a layer of feature maps (N, D, h, w) that the class scores "
            f"depend on, got {layer}; take another, as a rule the last convolution."
        )
    return features[-1].detach().float(), gradient.float()
