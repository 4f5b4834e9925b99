"""Pictures of classes for Chapter 2, and which networks recognise what was drawn.

The modern recipe was chosen by the ranks of Lite0 and Lite2, on twenty classes that are
none of these.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from dlapps import datasets, pretrained
from dlapps.class_visualization import (
    MODERN,
    PRACTICAL,
    FourierAscent,
    PixelAscent,
    visualize,
)
from dlapps.core import runtime
from dlapps.core.class_scores import float32_logits, ranks
from dlapps.core.images import from_pixels, round_to_8_bits, stack_pixels
from labreport import results
from labreport.results import Entry
from studies.runs import Calls, cached, nest
from studies.sweeps import sweep

NETWORKS = {
    "SqueezeNet": "squeezenet1_1",
    "Lite0": "efficientnet_lite0",
    "Lite2": "efficientnet_lite2",
}
RECIPES: dict[str, PixelAscent | FourierAscent] = {
    "bare": PixelAscent(jitter=0, blur_every=0),
    "blur": PixelAscent(jitter=0),
    "jitter": PixelAscent(blur_every=0),
    "as assigned": PRACTICAL,
    "modern": MODERN,
}
SEEDS = (0, 1, 2)
HUNDRED = range(0, 1000, 10)
# The classes that the assignment and the report before this one name.
TEN = (106, 92, 113, 281, 187, 76, 78, 683, 366, 604)
# The drawings that are saved, by the drawer and the recipe, and their classes.
SAVED = (
    ("SqueezeNet", "bare"),
    ("SqueezeNet", "as assigned"),
    ("SqueezeNet", "modern"),
    ("Lite0", "as assigned"),
)
WOMBAT = 106
SNAIL = 113


def draw(drawer: str, recipe: str, classes: Sequence[int], seed: int) -> Tensor:
    """Draw one picture a class, (N, 3, 224, 224) in [0, 1]."""
    network = pretrained.load(NETWORKS[drawer])
    with runtime.autocast("cpu"):
        return visualize(network, classes, RECIPES[recipe], seed=seed)


def judge(pictures: Tensor, classes: Sequence[int]) -> Entry:
    """Let each network rank the classes of pictures (N, 3, 224, 224).

    It reads them as a file stores them, in 8 bits. Returns the entry of a run: for each
    network the ranks (N,), 1 for the highest score, and the share of those up to 5.
    """
    saved = round_to_8_bits(pictures)
    scores: Entry = {}
    for name, key in NETWORKS.items():
        logits = float32_logits(pretrained.load(key), saved)
        class_ranks = ranks(logits, classes)
        scores[name] = class_ranks.tolist()
        scores[f"{name} top-5"] = float(np.mean(class_ranks.numpy() <= 5))
    return {"scores": scores, "settings": {"classes": list(classes)}}


def judge_drawings(
    drawer: str, recipe: str, classes: Sequence[int], seed: int
) -> Entry:
    """Draw the classes and judge them, the mean score for the drawer first."""
    pictures = draw(drawer, recipe, classes, seed)
    logits = float32_logits(pretrained.load(NETWORKS[drawer]), pictures)
    entry = judge(pictures, classes)
    logit = logits[range(len(classes)), classes].mean()
    entry["scores"] = {"logit": float(logit), **entry["scores"]}
    return entry


def judge_photographs() -> Entry:
    """Judge 520 labelled photographs of ImageNet, as large as the drawings."""
    samples = datasets.load_imagenet_samples()
    twenty = datasets.load_imagenet20()
    photographs = stack_pixels([*samples.images, *twenty.images], crop=0.875)
    labels = np.concatenate([samples.labels, twenty.labels])
    return judge(photographs, labels.tolist())


def draw_pair(drawer: str, recipe: str) -> list[np.ndarray]:
    """Draw the wombat and the snail, each as the bytes of a JPEG of high quality."""
    files = []
    for picture in from_pixels(draw(drawer, recipe, (WOMBAT, SNAIL), 0)):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=85)
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    return files


def make_visualizing_classes() -> Path:
    """Draw and judge all pictures of classes: about an hour on one core."""
    pairs: Calls = {}
    for drawer, recipe in SAVED:
        pairs[drawer, recipe] = cached(draw_pair, drawer, recipe)
    drawn = dict(sweep(pairs, "pictures"))
    pictures = {}
    for drawer, recipe in SAVED:
        wombat, snail = drawn[drawer, recipe]
        pictures[f"{drawer}, {recipe}, wombat"] = wombat
        pictures[f"{drawer}, {recipe}, snail"] = snail
    results.save_arrays("visualizing-classes", pictures)

    calls: Calls = {}
    for recipe in RECIPES:
        run = f"SqueezeNet, {recipe}"
        calls["runs", run, 0] = cached(judge_drawings, "SqueezeNet", recipe, HUNDRED, 0)
    for drawer in ("SqueezeNet", "Lite0"):
        for seed in SEEDS:
            calls["runs", f"{drawer}, ten classes", seed] = cached(
                judge_drawings, drawer, "as assigned", TEN, seed
            )
    calls["runs", "photographs", 0] = cached(judge_photographs)
    judged = dict(sweep(calls, "classes"))
    shares = [f"{name} top-5" for name in NETWORKS]
    parts = {"shares": shares} | nest({place: judged[place] for place in calls})
    return results.save("visualizing-classes", parts, SEEDS)
