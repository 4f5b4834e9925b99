"""What Chapter 2 measures on pictures that cannot be committed, and on more networks and seeds than a notebook has time
for. Every share is one of pictures; nothing is chosen on a result."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from dlapps import datasets, paths, pretrained, results, runtime, saliency, transfer
from dlapps.class_scores import float32_logits
from dlapps.images import stack_pixels
from dlapps.pretrained import PixelNetwork
from dlapps.sweeps import sweep

# The last feature maps of each network.
LAST_MAPS = {
    "squeezenet1_1": "backbone.features.12",
    "efficientnet_lite0": "backbone.bn2",
    "vgg16 scenes": "backbone.features.relu5_3",
}


def load_network(name: str) -> PixelNetwork:
    """A network of ImageNet's classes, or "NAME scenes": its feature maps with Chapter 1's SVM for 15 scenes."""
    base, _, scenes = name.partition(" ")
    if not scenes:
        return pretrained.load(base)
    features = datasets.load_scenes15_features()
    if base == "vgg16":
        network, block = pretrained.load("vgg16_features"), "vgg16_features pool5 average 224"
    else:
        network, block = copy.deepcopy(pretrained.load(base)), f"{base} bn2 average 320 aspect"
        network.backbone.reset_classifier(0, "")
    rows, labels, _, _ = features.split(block)
    svm = LinearSVC(random_state=0).fit(rows, labels)
    return transfer.attach_classifier(network, svm, features.class_names)


def load_subjects(network: str, number: int) -> Tensor:
    """Pixels: the practical's pictures at 224 x 224, or as many test pictures of each of 15 scenes at 160 x 160."""
    if network.endswith("scenes"):
        scenes = datasets.load_scenes15("test")
        num_classes = len(scenes.class_names)
        each = math.ceil(number / num_classes)
        rows = [np.flatnonzero(scenes.labels == label)[:each] for label in range(num_classes)]
        return stack_pixels([scenes.images[row] for row in np.concatenate(rows)[:number]], 160)
    return stack_pixels(datasets.load_imagenet_val25().images[:number])


def saliency_methods(network: str) -> dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]]:
    """(network, images, targets) -> maps (N, H, W), by name."""
    layer = LAST_MAPS[network]
    return {
        "input gradient": saliency.input_gradient,
        "SmoothGrad": partial(saliency.smooth_grad, num_samples=20),
        "integrated gradients": lambda network, images, targets: saliency.integrated_gradients(
            network, images, targets, num_steps=20
        ).abs(),
        "Grad-CAM": lambda network, images, targets: saliency.grad_cam(network, images, layer, targets),
        "guided backpropagation": saliency.guided_backprop,
    }


def score_saliency(name: str, method: str, number: int) -> dict[str, object]:
    """Deletion and insertion areas of one method, one a picture."""
    network, images = load_network(name), load_subjects(name, number)
    targets = float32_logits(network, images).argmax(1)
    baselines = {"random": saliency.random_map, "centre prior": saliency.centre_prior}
    with runtime.autocast("cpu"):
        if method in baselines:
            maps = baselines[method](images)
        else:
            maps = saliency_methods(name)[method](network, images, targets)
        curves = saliency.deletion_insertion(network, images, maps, targets, num_steps=14)
    areas = {"deletion": curves.deletion_area, "insertion": curves.insertion_area}
    return {key: np.round(area.tolist(), 4).tolist() for key, area in areas.items()}


def check_sanity(name: str, method: str, number: int) -> list[float]:
    """Mean rank correlation of maps with those of a network randomised from the top: a third, two thirds, all of it."""
    network, images = load_network(name), load_subjects(name, number)
    with runtime.autocast("cpu"):
        correlations = saliency.sanity_check(network, images, saliency_methods(name)[method], num_stages=3)
    return [round(float(values.mean()), 4) for values in correlations.values()]


def reads_correctly(name: str) -> list[bool]:
    """Whether a network reads each of the practical's 25 pictures as its label says."""
    labels = torch.from_numpy(datasets.load_imagenet_val25().labels)
    return (float32_logits(load_network(name), load_subjects(name, 25)).argmax(1) == labels).tolist()


def make_saliency() -> Path:
    """The score card of saliency methods over three networks; about 40 minutes on two cores."""
    keep = joblib.Memory(paths.cache(), verbose=0).cache
    calls: dict[tuple[str, ...], Callable[[], Any]] = {}
    numbers = {name: (30, 5) if name.endswith("scenes") else (25, 10) for name in LAST_MAPS}
    for name, (number, few) in numbers.items():
        methods = saliency_methods(name)
        for method in (*methods, "random", "centre prior"):
            calls[name, method, "areas"] = partial(keep(score_saliency), name, method, number)
        for method in methods:
            calls[name, method, "sanity"] = partial(keep(check_sanity), name, method, few)
        if not name.endswith("scenes"):
            calls[name, "correct"] = partial(keep(reads_correctly), name)
    found = dict(sweep(calls, "saliency"))
    cards: dict[str, dict[str, Any]] = {}
    for name, (number, few) in numbers.items():
        card = {key[1]: found[key] for key in calls if key[0] == name and key[-1] == "areas"}
        for method in saliency_methods(name):
            card[method]["sanity"] = found[name, method, "sanity"]
        cards[name] = {"num_pictures": number, "num_sanity_pictures": few, "methods": card}
        if (name, "correct") in found:
            cards[name]["correct"] = found[name, "correct"]
    return results.save("visualizing-saliency", cards, [0])
