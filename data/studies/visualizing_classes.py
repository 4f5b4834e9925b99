"""Drawings of a hundred classes for Chapter 2, and which of them Lite0 recognises.

The modern recipe was chosen by the ranks of Lite0 and Lite2, on twenty classes that are
none of these.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from dlapps import pretrained
from dlapps.class_visualization import (
    MODERN,
    PRACTICAL,
    FourierAscent,
    PixelAscent,
    visualize,
)
from dlapps.core.class_scores import float32_logits, pick
from dlapps.core.images import round_to_8_bits
from labreport.results import Entry
from studies.runs import Calls, make_missing

RECIPES: dict[str, PixelAscent | FourierAscent] = {
    "bare": PixelAscent(jitter=0, blur_every=0),
    "blur": PixelAscent(jitter=0),
    "jitter": PixelAscent(blur_every=0),
    "as assigned": PRACTICAL,
    "modern": MODERN,
}
CLASSES = range(0, 1000, 10)


def judge_drawings(recipe: str) -> Entry:
    """Let SqueezeNet draw the classes, and Lite0 rank them.

    Lite0 reads the drawings as a file stores them, in 8 bits. Its ranks are (100,), 1
    for the highest score; "Lite0 top-5" is the share of those up to 5.
    """
    squeezenet = pretrained.load("squeezenet1_1")
    with torch.autocast("cpu", torch.bfloat16):
        drawings = visualize(squeezenet, CLASSES, RECIPES[recipe], seed=0)
    lite0 = pretrained.load("efficientnet_lite0")
    logits = float32_logits(lite0, round_to_8_bits(drawings))
    own = pick(logits, torch.tensor(CLASSES))
    class_ranks = 1 + (logits > own[:, None]).sum(1).numpy()
    share = float(np.mean(class_ranks <= 5))
    scores = {"Lite0": class_ranks.tolist(), "Lite0 top-5": share}
    return {"scores": scores, "settings": {"classes": list(CLASSES)}}


def make_visualizing_classes() -> Path:
    """Draw and judge the classes by each recipe: half an hour on one core."""
    calls: Calls = {}
    for recipe in RECIPES:
        calls["runs", f"SqueezeNet, {recipe}", 0] = partial(judge_drawings, recipe)
    return make_missing("visualizing-classes", calls, [0], shares=["Lite0 top-5"])
