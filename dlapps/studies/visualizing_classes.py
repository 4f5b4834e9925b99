"""Pictures of classes for Chapter 2: ten of ImageNet for two networks with three seeds, fifteen scenes for VGG16."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dlapps import adversarial, class_visualization, paths, results, runtime
from dlapps.class_scores import float32_logits, ranks
from dlapps.class_visualization import MODERN, PRACTICAL, total_variation
from dlapps.images import from_pixels
from dlapps.pretrained import PixelNetwork
from dlapps.studies.visualizing import load_network
from dlapps.sweeps import sweep

SEEDS = (0, 1, 2)
# The classes that the practical and the report before this one name; "wombat" first.
CLASSES = (106, 92, 113, 281, 187, 76, 78, 683, 366, 604)
PRESETS = {"practical": PRACTICAL, "modern": MODERN}


def visualize_classes(name: str, other: str, preset: str, seed: int) -> dict:
    """One picture a class: scores, total variation, rank of the class for the network itself and for another one.

    Scenes are drawn in grey, as the pictures are that their classifier learnt from, and smaller, since VGG16 is slow.
    """
    network, settings = load_network(name), PRESETS[preset]
    scenes = name.endswith("scenes")
    if scenes:
        settings = replace(settings, transforms=(*settings.transforms, to_grey))
    targets = tuple(range(len(network.class_names))) if scenes else CLASSES
    with runtime.autocast("cpu"):
        made = class_visualization.visualize(network, targets, settings, size=160 if scenes else 224, seed=seed)
    pictures = to_grey(made.images) if scenes else made.images
    return {
        "classes": list(targets),
        "score": made.scores[-1].tolist(),
        "total_variation": total_variation(pictures).tolist(),
        "rank": ranks_when_saved(network, pictures, made.targets),
        "other_rank": ranks_when_saved(load_network(other), pictures, made.targets),
        "jpeg": [encode(picture) for picture in from_pixels(pictures)],
    }


def to_grey(pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The mean of the colours, three times: what a classifier of grey pictures has seen."""
    return pictures.mean(1, keepdim=True).expand_as(pictures)


def ranks_when_saved(network: PixelNetwork, pictures: Tensor, targets: Tensor) -> list[int]:
    """Place of the target among the scores, of the picture as it is after 8-bit rounding."""
    return ranks(float32_logits(network, adversarial.round_to_8_bits(pictures)), targets).tolist()


def encode(picture: np.ndarray) -> bytes:
    """A uint8 picture (H, W, 3) as a JPEG of high quality."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return file.getvalue()


def make_classes() -> Path:
    """Class visualisation over networks, presets and seeds, and of scenes; about 40 minutes on two cores."""
    keep, entries, pictures = joblib.Memory(paths.cache(), verbose=0).cache(visualize_classes), {}, {}
    pair, scenes = ("squeezenet1_1", "efficientnet_lite0"), ("vgg16 scenes", "efficientnet_lite0 scenes")
    runs = [(*way, preset, seed) for way in (pair, pair[::-1]) for preset in PRESETS for seed in SEEDS]
    runs += [(*scenes, preset, 0) for preset in PRESETS]
    found = dict(sweep({run: partial(keep, *run) for run in runs}, "pictures of classes"))
    for name, other, preset, seed in runs:
        made = found[name, other, preset, seed]
        jpegs = made.pop("jpeg")
        entries[f"{name} {preset} {seed}"] = made
        if seed == 0:
            for target, jpeg in zip(made["classes"], jpegs, strict=True):
                pictures[f"{name} {preset} {target}"] = np.frombuffer(jpeg, np.uint8)
    results.save_arrays("visualizing-classes", pictures)
    return results.save("visualizing-classes", entries, SEEDS)
