"""Saliency methods against the truth of grids and the removal of pixels, on pictures
that cannot be committed.

The same grids and pictures for every method and network. The blur of a gradient was
chosen on foolbox's 20 pictures, of five widths, by the gap on SqueezeNet; the other
pictures, which chose nothing, test it.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from dlapps import datasets, pretrained, saliency
from dlapps.core import runtime
from dlapps.core.class_scores import float32_logits
from dlapps.core.images import stack_pixels
from labreport import results
from labreport.sweeps import sweep
from studies import saliency_methods as methods
from studies.runs import Calls, cached, nest

# The last feature maps of each network.
LAST_MAPS = {
    "squeezenet1_1": "backbone.features.12",
    "efficientnet_lite0": "backbone.bn2",
}
NAMES = {"squeezenet1_1": "SqueezeNet", "efficientnet_lite0": "EfficientNet-Lite0"}
# Sides of the cells of a grid, and of a picture alone, in pixels.
CELL, SIDE = 128, 224
NUM_GRIDS, NUM_STEPS = 40, 10
CONTROLS = (
    "input gradient",
    "blurred gradient",
    "centre prior",
)  # on the other pictures


def saliency_methods(name: str, grids: bool = False) -> dict[str, methods.Explain]:
    """(network, images, targets) -> maps (N, H, W), by name; on grids with half the
    samples and a fifth of the masks.

    Occlusion and RISE take K classes for each picture too (see `saliency_methods`).
    """
    samples, layer = 10 if grids else 20, LAST_MAPS[name]
    return {
        "input gradient": saliency.input_gradient,
        "blurred gradient": blurred_gradient,
        "SmoothGrad": partial(saliency.smooth_grad, num_samples=samples),
        "integrated gradients": lambda network, images, targets: (
            saliency.integrated_gradients(
                network, images, targets, num_steps=samples
            ).abs()
        ),
        "guided backpropagation": saliency.guided_backprop,
        "Grad-CAM": lambda network, images, targets: saliency.grad_cam(
            network, images, layer, targets
        ),
        "occlusion": methods.occlusion,
        "RISE": partial(methods.rise, num_masks=200 if grids else 1000),
        "centre prior": lambda network, images, targets: saliency.centre_prior(images),
        "random": lambda network, images, targets: saliency.random_map(images),
    }


def blurred_gradient(
    network: torch.nn.Module, images: Tensor, targets: Tensor
) -> Tensor:
    """The input gradient's maps (N, H, W), blurred by a Gaussian of a seventh of the
    side.
    """
    sigma = images.shape[-1] / 7
    return gaussian_blur(
        saliency.input_gradient(network, images, targets), 4 * int(sigma) + 1, sigma
    )


def load_labelled(size: int, samples: bool = False) -> tuple[Tensor, Tensor]:
    """Pixels and labels of the practical's 25 pictures and foolbox's 20, and of the 500
    samples if asked for.
    """
    sets: list[datasets.Dataset[Any]] = [
        datasets.load_imagenet_val25(),
        datasets.load_imagenet20(),
    ]
    if samples:
        sets.append(datasets.load_imagenet_samples())
    pictures = [picture for each in sets for picture in each.images]
    labels = np.concatenate([each.labels for each in sets])
    return stack_pixels(
        pictures, size, crop=0.875 if samples else None
    ), torch.from_numpy(labels)


def load_grids() -> tuple[Tensor, Tensor]:
    """Grids of the pictures that both networks classify correctly at the size of a
    cell, and their classes.
    """
    pixels, labels = load_labelled(CELL, samples=True)
    for name in LAST_MAPS:
        correct = float32_logits(pretrained.load(name), pixels).argmax(1) == labels
        pixels, labels = pixels[correct], labels[correct]
    return saliency.make_grids(pixels, labels, NUM_GRIDS)


def play_grids(name: str, method: str) -> list[list[float]]:
    """Of each class of each grid, whether the highest value of its map lies in its
    cell.
    """
    network, (grids, classes) = pretrained.load(name), load_grids()
    explain = saliency_methods(name, grids=True)[method]
    with runtime.autocast("cpu"):
        if method in ("occlusion", "RISE"):
            maps = explain(network, grids, classes)
        else:
            each = grids.repeat_interleave(classes.shape[1], 0)
            maps = explain(network, each, classes.flatten()).unflatten(0, classes.shape)
    return _rounded(methods.find_hits(maps))


def load_others() -> Tensor:
    """Pixels of every second of the 500 samples."""
    return stack_pixels(datasets.load_imagenet_samples().images[::2], SIDE, crop=0.875)


def remove_pixels(
    name: str, method: str, others: bool = False, shift: int = 0
) -> list[float]:
    """The gap between insertion and deletion of the predicted class of each of the 45
    pictures, or of the others.

    shift: each picture gets the map of the picture so many before it.
    """
    network, images = (
        pretrained.load(name),
        load_others() if others else load_labelled(SIDE)[0],
    )
    targets = float32_logits(network, images).argmax(1)
    with runtime.autocast("cpu"):
        maps = saliency_methods(name)[method](network, images, targets).roll(shift, 0)
        return _rounded(
            saliency.deletion_insertion(network, images, maps, num_steps=NUM_STEPS).gap
        )


def make_visualizing_saliency() -> Path:
    """Hits and gaps of the methods on two networks; about an hour on a core."""
    calls: Calls = {}
    for name, label in NAMES.items():
        for method in saliency_methods(name):
            calls["hits", label, method] = cached(play_grids, name, method)
            calls["gaps", label, method] = cached(remove_pixels, name, method)
        calls |= {
            ("other gaps", label, m): cached(remove_pixels, name, m, True)
            for m in CONTROLS
        }
        another = cached(remove_pixels, name, "blurred gradient", True, 1)
        calls["other gaps", label, "another's, blurred"] = another
    found = dict(sweep(calls, "saliency"))
    return results.save(
        "visualizing-saliency", nest({place: found[place] for place in calls}), [0]
    )


def _rounded(values: Tensor) -> list:
    return np.round(values.tolist(), 4).tolist()
