"""Saliency methods on grids of known classes, and under the removal of pixels.

The pictures cannot be committed; grids and pictures are the same for every method and
network. The blur of a gradient was chosen on foolbox's 20 pictures, of five widths, by
the gap on SqueezeNet; the other pictures, which chose nothing, test it.
"""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from dlapps import datasets, pretrained, saliency
from dlapps.core import runtime
from dlapps.core.class_scores import float32_logits
from dlapps.core.images import stack_pixels
from labreport import results
from studies import saliency_methods as methods
from studies.runs import Calls, cached, nest
from studies.sweeps import sweep

# The last feature maps of each network.
LAST_MAPS = {
    "squeezenet1_1": "backbone.features.12",
    "efficientnet_lite0": "backbone.bn2",
}
NAMES = {"squeezenet1_1": "SqueezeNet", "efficientnet_lite0": "EfficientNet-Lite0"}
# Sides of the cells of a grid, and of a picture alone, in pixels.
CELL = 128
SIDE = 224
NUM_GRIDS = 40
NUM_STEPS = 10
# Networks of the same form, with weights drawn anew.
NUM_DRAWN = 3
# On the other pictures.
CONTROLS = ("input gradient", "blurred gradient", "centre prior")


def saliency_methods(
    name: str, grids: bool = False
) -> dict[str, Callable[..., Tensor]]:
    """The methods for a network: (network, images, targets=targets) -> maps (N, H, W).

    On grids they have half the samples and a fifth of the masks. Occlusion and RISE
    take K classes for each picture too (see `studies.saliency_methods`).
    """
    samples = 10 if grids else 20
    return {
        "input gradient": saliency.input_gradient,
        "blurred gradient": blurred_gradient,
        "SmoothGrad": partial(saliency.smooth_grad, num_samples=samples),
        "integrated gradients": partial(absolute_gradients, num_steps=samples),
        "guided backpropagation": saliency.guided_backprop,
        "Grad-CAM": partial(saliency.grad_cam, layer=LAST_MAPS[name]),
        "occlusion": methods.occlusion,
        "RISE": partial(methods.rise, num_masks=200 if grids else 1000),
        "centre prior": lambda network, images, targets: saliency.centre_prior(images),
        "random": lambda network, images, targets: saliency.random_map(images),
    }


def blurred_gradient(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The input gradient's maps, blurred by a Gaussian of a seventh of the side."""
    sigma = images.shape[-1] / 7
    maps = saliency.input_gradient(network, images, targets)
    return gaussian_blur(maps, 4 * int(sigma) + 1, sigma)


def absolute_gradients(
    network: nn.Module, images: Tensor, targets: Tensor, num_steps: int
) -> Tensor:
    """The absolute values of integrated gradients."""
    maps = saliency.integrated_gradients(network, images, targets, num_steps=num_steps)
    return maps.abs()


def load_labelled(size: int, samples: bool = False) -> tuple[Tensor, Tensor]:
    """Pixels and labels of the practical's 25 pictures and foolbox's 20.

    samples: whether the 500 samples follow.
    """
    sets: list[Any] = [datasets.load_imagenet_val25(), datasets.load_imagenet20()]
    if samples:
        sets.append(datasets.load_imagenet_samples())
    pictures: list[Any] = []
    for dataset in sets:
        pictures += list(dataset.images)
    labels = np.concatenate([dataset.labels for dataset in sets])
    pixels = stack_pixels(pictures, size, crop=0.875 if samples else None)
    return pixels, torch.from_numpy(labels)


def load_grids() -> tuple[Tensor, Tensor]:
    """Grids of pictures, and their classes.

    Both networks classify the pictures correctly at the size of a cell.
    """
    pixels, labels = load_labelled(CELL, samples=True)
    for name in LAST_MAPS:
        correct = float32_logits(pretrained.load(name), pixels).argmax(1) == labels
        pixels = pixels[correct]
        labels = labels[correct]
    return saliency.make_grids(pixels, labels, NUM_GRIDS)


def play_grids(name: str, method: str) -> list[list[float]]:
    """Whether the highest value of a map lies in its cell, for each class of a grid."""
    network = pretrained.load(name)
    grids, classes = load_grids()
    explain = saliency_methods(name, grids=True)[method]
    with runtime.autocast("cpu"):
        if method in ("occlusion", "RISE"):
            maps = explain(network, grids, targets=classes)
        else:
            repeated = grids.repeat_interleave(classes.shape[1], 0)
            maps = explain(network, repeated, targets=classes.flatten())
            maps = maps.unflatten(0, classes.shape)
    return _rounded(methods.find_hits(maps))


def load_others() -> Tensor:
    """Pixels of every second of the 500 samples."""
    return stack_pixels(datasets.load_imagenet_samples().images[::2], SIDE, crop=0.875)


def remove_pixels(
    name: str, method: str, others: bool = False, shift: int = 0
) -> list[float]:
    """The gap between insertion and deletion of the predicted class of each picture.

    others: of the other pictures, not of the 45. shift: each picture gets the map of
    the picture so many before it.
    """
    network = pretrained.load(name)
    if others:
        images = load_others()
    else:
        images, _ = load_labelled(SIDE)
    targets = float32_logits(network, images).argmax(1)
    explain = saliency_methods(name)[method]
    with runtime.autocast("cpu"):
        maps = explain(network, images, targets=targets).roll(shift, 0)
        curves = saliency.deletion_insertion(network, images, maps, num_steps=NUM_STEPS)
    return _rounded(curves.gap)


def draw_anew(seed: int) -> nn.Module:
    """SqueezeNet with the weights of its convolutions drawn anew."""
    network = copy.deepcopy(pretrained.load("squeezenet1_1"))
    generator = runtime.make_generator(seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def remove_pixels_anew(method: str, seed: int) -> list[float]:
    """SqueezeNet's gaps on the other pictures, by maps of weights drawn anew.

    Those are maps of the highest score, whatever its class.
    """
    network = pretrained.load("squeezenet1_1")
    images = load_others()
    explain = saliency_methods("squeezenet1_1")[method]
    with runtime.autocast("cpu"):
        untrained = draw_anew(seed)
        maps = explain(untrained, images, targets=untrained(images).argmax(1))
        curves = saliency.deletion_insertion(network, images, maps, num_steps=NUM_STEPS)
    return _rounded(curves.gap)


def make_visualizing_saliency() -> Path:
    """Measure hits and gaps of the methods on two networks: about an hour on a core."""
    calls: Calls = {}
    for name, label in NAMES.items():
        for method in saliency_methods(name):
            calls["hits", label, method] = cached(play_grids, name, method)
            calls["gaps", label, method] = cached(remove_pixels, name, method)
        for method in CONTROLS:
            control = cached(remove_pixels, name, method, True)
            calls["other gaps", label, method] = control
        another = cached(remove_pixels, name, "blurred gradient", True, 1)
        calls["other gaps", label, "another's, blurred"] = another
    for method in ("input gradient", "blurred gradient"):
        for seed in range(NUM_DRAWN):
            place = "drawn anew", method, seed
            calls[place] = cached(remove_pixels_anew, method, seed)
    done = dict(sweep(calls, "saliency"))
    parts = nest({place: done[place] for place in calls})
    return results.save("visualizing-saliency", parts, [0])


def _rounded(values: Tensor) -> list:
    return np.round(values.tolist(), 4).tolist()
