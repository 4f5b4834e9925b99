"""Saliency methods against the truth of grids, the removal of pixels, small noise and randomised weights, on pictures
that cannot be committed. The same grids and pictures for every method and network; nothing is chosen on a result."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlapps import datasets, pretrained, saliency
from dlapps.core import results, runtime
from dlapps.core.class_scores import float32_logits
from dlapps.core.images import stack_pixels
from dlapps.core.sweeps import sweep
from studies import saliency_methods as methods
from studies.runs import Calls, cached

# The last feature maps of each network.
LAST_MAPS = {"squeezenet1_1": "backbone.features.12", "efficientnet_lite0": "backbone.bn2"}
REFEREES = ("occlusion", "RISE")
# Sides of the cells of a grid, and of a picture alone, in pixels.
CELL, SIDE = 128, 224
NUM_GRIDS, NUM_STEPS, NUM_FEW, NUM_STAGES = 40, 10, 10, 6


def saliency_methods(name: str, grids: bool = False) -> dict[str, methods.Explain]:
    """(network, images, targets) -> maps (N, H, W), by name; on grids with half the samples and a fifth of the masks.

    The referees take K classes for each picture too (see `saliency_methods`).
    """
    samples, layer = 10 if grids else 20, LAST_MAPS[name]
    return {
        "input gradient": saliency.input_gradient,
        "SmoothGrad": partial(saliency.smooth_grad, num_samples=samples),
        "integrated gradients": lambda network, images, targets: saliency.integrated_gradients(
            network, images, targets, num_steps=samples
        ).abs(),
        "guided backpropagation": saliency.guided_backprop,
        "Grad-CAM": lambda network, images, targets: saliency.grad_cam(network, images, layer, targets),
        "occlusion": methods.occlusion,
        "RISE": partial(methods.rise, num_masks=200 if grids else 1000),
        "centre prior": lambda network, images, targets: saliency.centre_prior(images),
        "random": lambda network, images, targets: saliency.random_map(images),
    }


def load_labelled(size: int, samples: bool = False) -> tuple[Tensor, Tensor]:
    """Pixels and labels of the practical's 25 pictures and foolbox's 20, and of the 500 samples if asked for."""
    sets: list[datasets.Dataset[Any]] = [datasets.load_imagenet_val25(), datasets.load_imagenet20()]
    if samples:
        sets.append(datasets.load_imagenet_samples())
    pictures = [picture for each in sets for picture in each.images]
    labels = np.concatenate([each.labels for each in sets])
    return stack_pixels(pictures, size, crop=0.875 if samples else None), torch.from_numpy(labels)


def load_grids() -> tuple[Tensor, Tensor]:
    """Grids of the pictures that both networks classify correctly at the size of a cell, and their classes."""
    pixels, labels = load_labelled(CELL, samples=True)
    for name in LAST_MAPS:
        correct = float32_logits(pretrained.load(name), pixels).argmax(1) == labels
        pixels, labels = pixels[correct], labels[correct]
    return saliency.make_grids(pixels, labels, NUM_GRIDS)


def play_grids(name: str, method: str) -> dict[str, list]:
    """Of each class of each grid: whether the highest value lies in its cell, and the share of the map inside it."""
    network, (grids, classes) = pretrained.load(name), load_grids()
    explain = saliency_methods(name, grids=True)[method]
    with runtime.autocast("cpu"):
        if method in REFEREES:
            maps = explain(network, grids, classes)
        else:
            each = grids.repeat_interleave(classes.shape[1], 0)
            maps = explain(network, each, classes.flatten()).unflatten(0, classes.shape)
    return {score: _rounded(values) for score, values in methods.point_at_cells(maps).items()}


def explain_pictures(name: str, method: str) -> np.ndarray:
    """Maps of the predicted classes of the 45 pictures, float16 (45, H, W), each scaled to a maximum of 1."""
    network, (images, _) = pretrained.load(name), load_labelled(SIDE)
    targets = float32_logits(network, images).argmax(1)
    with runtime.autocast("cpu"):
        maps = saliency_methods(name)[method](network, images, targets)
    return (maps / maps.abs().amax((1, 2), keepdim=True).clamp(min=1e-12)).half().numpy()


def score_pictures(name: str, maps: np.ndarray) -> dict[str, list]:
    """Deletion and insertion areas and ROAD's gap of maps of the 45 pictures, one a picture."""
    network, (images, _), maps = pretrained.load(name), load_labelled(SIDE), maps.astype(np.float32)
    with runtime.autocast("cpu"):
        curves = saliency.deletion_insertion(network, images, maps, num_steps=NUM_STEPS)
        gap = methods.road(network, images, maps)
    found = {"deletion": curves.deletion_area, "insertion": curves.insertion_area, "road": gap}
    found["whole"] = curves.deletion[:, 0]
    return {key: _rounded(values) for key, values in found.items()}


def check_method(name: str, method: str) -> dict[str, list]:
    """On ten pictures: similarity to maps of networks randomised from the top, in stages, and max-sensitivity."""
    network, (images, _) = pretrained.load(name), load_labelled(SIDE)
    images, explain = images[-NUM_FEW:], saliency_methods(name)[method]
    with runtime.autocast("cpu"):
        stages = methods.sanity_check(network, images, explain, num_stages=NUM_STAGES)
        moved = methods.max_sensitivity(network, images, explain, num_samples=4)
    cascade = [_rounded(values) for values in stages.values()]
    return {"cascade": cascade, "sensitivity": _rounded(moved)}


def reads_correctly(name: str) -> list[bool]:
    """Whether a network classifies each of the 45 pictures correctly."""
    images, labels = load_labelled(SIDE)
    return (float32_logits(pretrained.load(name), images).argmax(1) == labels).tolist()


def make_visualizing_saliency() -> Path:
    """The score cards of two networks; about 50 minutes on a core, a third of them for RISE."""
    runs = [(name, method) for name in LAST_MAPS for method in saliency_methods(name)]
    learned = [run for run in runs if run[1] not in (*REFEREES, "centre prior", "random")]
    calls: Calls = {("maps", *run): cached(explain_pictures, *run) for run in runs}
    calls |= {("grids", *run): cached(play_grids, *run) for run in runs}
    calls |= {("checks", *run): cached(check_method, *run) for run in learned}
    calls |= {("correct", name): cached(reads_correctly, name) for name in LAST_MAPS}
    found = dict(sweep(calls, "saliency"))
    maps = {run: found[("maps", *run)] for run in runs}
    scores = {run: cached(score_pictures, run[0], maps[run]) for run in runs}
    cards: dict[str, dict[str, Any]] = {name: {"correct": found["correct", name], "methods": {}} for name in LAST_MAPS}
    made = dict(sweep(scores, "removal of pixels"))
    for name, method in runs:
        checks = found.get(("checks", name, method), {})
        entry = found["grids", name, method] | made[name, method] | checks
        beyond_random = _agreement(entry) - _agreement(made[name, "random"])
        entry["agreement"] = np.round(beyond_random, 4).tolist()
        for other in REFEREES:
            entry[f"like {other}"] = _alike(maps[name, method], maps[name, other])
        cards[name]["methods"][method] = entry
    return results.save("visualizing-saliency", cards, [0])


def _agreement(entry: dict[str, list]) -> np.ndarray:
    return np.subtract(entry["insertion"], entry["deletion"]) / entry["whole"]


def _alike(first: np.ndarray, second: np.ndarray) -> list[float]:
    pair = (torch.from_numpy(maps.astype(np.float32)) for maps in (first, second))
    return _rounded(saliency.rank_correlations(*pair))


def _rounded(values: Tensor) -> list:
    return np.round(values.tolist(), 4).tolist()
