"""Saliency maps in the pointing game, on grids of four pictures of known classes.

The pictures cannot be committed. The grids are the same for every map and network.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dlapps import datasets, pretrained, saliency
from dlapps.core import runtime
from dlapps.core.class_scores import float32_logits
from dlapps.core.images import stack_pixels
from studies.pictures import load_imagenet_samples, load_imagenet_val25
from studies.runs import Calls, make_missing

NAMES = {"squeezenet1_1": "SqueezeNet", "efficientnet_lite0": "EfficientNet-Lite0"}
# The last feature maps of each network.
LAST_MAPS = {
    "squeezenet1_1": "backbone.features.12",
    "efficientnet_lite0": "backbone.bn2",
}
# Side of the cells of a grid, in pixels.
CELL = 128
NUM_GRIDS = 40


def absolute_gradients(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The absolute values of integrated gradients."""
    maps = saliency.integrated_gradients(network, images, targets, num_steps=10)
    return maps.abs()


# (network, images, targets=targets) -> maps (N, H, W); Grad-CAM takes a layer, too.
MAPS: dict[str, Callable[..., Tensor]] = {
    "input gradient": saliency.input_gradient,
    "SmoothGrad": partial(saliency.smooth_grad, num_samples=10),
    "integrated gradients": absolute_gradients,
    "guided backpropagation": saliency.guided_backprop,
    "Grad-CAM": saliency.grad_cam,
}


def load_grids() -> tuple[Tensor, Tensor]:
    """Grids (G, 3, 256, 256), and the classes (G, 4) of their cells, row by row.

    Both networks classify the pictures correctly at the size of a cell.
    """
    sets: list[Any] = [
        load_imagenet_val25(),
        datasets.load_imagenet20(),
        load_imagenet_samples(),
    ]
    pictures: list[Any] = []
    for dataset in sets:
        pictures.extend(dataset.images)
    pixels = stack_pixels(pictures, CELL, crop=0.875)
    labels = torch.from_numpy(np.concatenate([dataset.labels for dataset in sets]))
    for name in NAMES:
        correct = float32_logits(pretrained.load(name), pixels).argmax(1) == labels
        pixels = pixels[correct]
        labels = labels[correct]
    rows = deal(labels.tolist(), NUM_GRIDS)
    cells = pixels[rows]  # (G, 4, 3, 128, 128)
    top = torch.cat([cells[:, 0], cells[:, 1]], dim=3)  # (G, 3, 128, 256)
    bottom = torch.cat([cells[:, 2], cells[:, 3]], dim=3)
    return torch.cat([top, bottom], dim=2), labels[rows]


def deal(labels: Sequence[int], number: int) -> Tensor:
    """Deal rows (number, 4) of pictures of four classes, as Böhle et al. (2021) do.

    The deck is shuffled anew when fewer than four classes are left in it.
    """
    generator = runtime.make_generator(0)
    deck: list[int] = []
    hands: list[list[int]] = []
    while len(hands) < number:
        first_of_class: dict[int, int] = {}
        for row in deck:
            first_of_class.setdefault(labels[row], row)
        hand = list(first_of_class.values())[:4]
        if len(hand) == 4:
            hands.append(hand)
            deck = [row for row in deck if row not in hand]
        else:
            deck = torch.randperm(len(labels), generator=generator).tolist()
    return torch.tensor(hands)


def find_hits(maps: Tensor) -> Tensor:
    """The pointing game (Zhang et al. 2018): whether a map's maximum lies in its cell.

    Maps (G, 4, H, W) are of the classes of a grid, in the order of its cells. Returns
    the share of a map's maxima that lie there, (G, 4) in [0, 1]; 1/4 for a constant
    map.
    """
    highest = maps == maps.amax((2, 3), keepdim=True)
    # (G, 4, row of cells, h, column of cells, w) -> (G, 4, 4 cells).
    by_cell = highest.unflatten(3, (2, -1)).unflatten(2, (2, -1))
    counts = by_cell.double().sum((3, 5)).flatten(2)
    return (counts / counts.sum(2, keepdim=True)).diagonal(dim1=1, dim2=2)


def play_grids(name: str, method: str) -> list[float]:
    """The mean hits of the four maps of each grid, in [0, 1]."""
    network = pretrained.load(name)
    grids, classes = load_grids()
    explain = MAPS[method]
    if method == "Grad-CAM":
        explain = partial(explain, layer=LAST_MAPS[name])
    repeated = grids.repeat_interleave(4, 0)
    with torch.autocast("cpu", torch.bfloat16):
        maps = explain(network, repeated, targets=classes.flatten())
    hits = find_hits(maps.unflatten(0, classes.shape))
    return hits.mean(1).tolist()


def make_visualizing_saliency() -> Path:
    """Measure the hits of five maps on two networks: a quarter of an hour on a core."""
    calls: Calls = {}
    for name, label in NAMES.items():
        for method in MAPS:
            calls["hits", label, method] = partial(play_grids, name, method)
    return make_missing("visualizing-saliency", calls, [0])
