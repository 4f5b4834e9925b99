"""Pictures of classes for Chapter 2, and which networks recognise what was drawn.

Recipes differ in one ingredient or one setting. A recipe is a name in the results; how
it draws are its `Settings`.
"""

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dlapps import datasets, pretrained
from dlapps.class_visualization import (
    MODERN,
    PRACTICAL,
    ROBUST,
    Settings,
    ingredients,
    judge,
    visualize,
)
from dlapps.core import runtime
from dlapps.core.class_scores import float32_logits, pick, ranks
from dlapps.core.images import from_pixels, stack_pixels
from labreport import results
from labreport.results import Entry
from studies.runs import Calls, Place, cached, nest
from studies.sweeps import sweep

SEEDS = (0, 1, 2)
FEW_SEEDS = (0, 1)
# The networks, by the names that the results have for them as judges.
JUDGES = {
    "SqueezeNet": "squeezenet1_1",
    "Lite0": "efficientnet_lite0",
    "Lite2": "efficientnet_lite2",
}
SQUEEZENET, LITE0, LITE2 = JUDGES.values()
# The classes that the practical and the report before this one name; "wombat" first.
TEN = (106, 92, 113, 281, 187, 76, 78, 683, 366, 604)
HUNDRED = tuple(range(0, 1000, 10))
# The best recipes were chosen on these, and for Lite0 on ten neighbours of TEN: on none
# of TEN and HUNDRED.
TWENTY = tuple(range(5, 1000, 50))


def class_margin(seen: ingredients.Seen) -> Tensor:
    """The logarithm of the odds (N,) of the targets' probability.

    It falls if a rival rises.
    """
    others = seen.logits.scatter(1, seen.targets[:, None], -torch.inf)
    return ingredients.class_score(seen) - others.logsumexp(1)


@dataclass(frozen=True)
class PlainFourier(ingredients.Fourier):
    """The spectrum of red, green and blue, which are not decorrelated."""

    colours: ClassVar[Tensor] = torch.eye(3)


NOISE: tuple[ingredients.Transform, ...]
NOISE = (*ROBUST.transforms, ingredients.Noise(0.2))
# From the practical's settings to the modern ones, and on to those that other networks
# recognise best, a change a line.
CHANGES: dict[str, dict[str, Any]] = {
    "practical": {},
    "spectrum": {
        "parametrisation": PlainFourier(),
        "step_size": 1.5,
    },
    "Adam": {"optimiser": torch.optim.Adam, "normalised": False, "step_size": 0.02},
    "total variation": {"regularisers": (ingredients.TotalVariation(2e-3),)},
    "no blur": {"blur_every": 0},
    "more jitter": {"transforms": (ingredients.Jitter(16), ingredients.Jitter(8))},
    "warps": {"transforms": MODERN.transforms},
    "decorrelated colours": {"parametrisation": ingredients.Fourier()},
    "fixed contrast": {
        "parametrisation": ROBUST.parametrisation,
        "optimiser": ROBUST.optimiser,
        "normalised": ROBUST.normalised,
        "step_size": ROBUST.step_size,
        "regularisers": (),
    },
    "windows": {"transforms": ROBUST.transforms},
    "margin": {"objective": class_margin},
    "noise": {"objective": ROBUST.objective, "transforms": NOISE},
}
CHAIN_STEPS = 100
# The loop that the chapter shows.
BARE = replace(PRACTICAL, blur_every=0, transforms=())
# By the chain SqueezeNet draws best before its contrast is fixed, and no class at all
# with noise.
NOISY = replace(ROBUST, transforms=NOISE)
BEST = {SQUEEZENET: MODERN, LITE0: NOISY, LITE2: NOISY}
# One of the practical's settings changed; its rate is 5, its weight 1e-3, its blur
# every 10, its steps 200.
ONE_CHANGE = {
    "rate 0.5": replace(PRACTICAL, step_size=0.5),
    "rate 20": replace(PRACTICAL, step_size=20.0),
    "weight 0": replace(PRACTICAL, regularisers=()),
    "weight 0.01": replace(PRACTICAL, regularisers=(ingredients.L2(1e-2),)),
    "no blur": replace(PRACTICAL, blur_every=0),
    "no jitter": replace(PRACTICAL, transforms=()),
    "50 steps": replace(PRACTICAL, num_steps=50),
}
# The pictures by SqueezeNet that the chapter shows: how many of each recipe.
SHOWN = {
    "bare": 10,
    "practical": 10,
    "best": 10,
    "setting: no blur": 3,
    "setting: no jitter": 3,
    "setting: 50 steps": 1,
    "setting: rate 0.5": 1,
    "setting: rate 20": 1,
    "setting: weight 0": 1,
}


@dataclass(frozen=True)
class Run:
    """What is drawn: by which network and recipe, of which classes, from which seed."""

    network: str
    recipe: str
    settings: Settings
    classes: tuple[int, ...] = TEN
    seed: int = 0


@dataclass(frozen=True)
class Judged:
    """Pictures of classes, and the ranks of their classes for each network."""

    classes: list[int]
    ranks: dict[str, list[int]]
    logits: list[float] = field(default_factory=list)
    jpegs: list[bytes] = field(default_factory=list)


def add_ingredients() -> dict[str, Settings]:
    """The settings that CHANGES leads through, each with all changes so far."""
    settings = replace(PRACTICAL, num_steps=CHAIN_STEPS)
    chain = {}
    for name, change in CHANGES.items():
        settings = replace(settings, **change)
        chain[name] = settings
    return chain


def draw_classes(run: Run) -> Judged:
    """Draw one picture a class."""
    network = pretrained.load(run.network)
    with runtime.autocast("cpu"):
        drawn = visualize(network, run.classes, run.settings, seed=run.seed)
    class_ranks = {}
    for name in JUDGES.values():
        class_ranks[name] = judge(pretrained.load(name), drawn).tolist()
    # The logit, whatever was raised.
    logits = pick(float32_logits(network, drawn.images), drawn.targets).tolist()
    jpegs = [encode(picture) for picture in from_pixels(drawn.images)]
    return Judged(list(run.classes), class_ranks, logits, jpegs)


def read_real_pictures() -> Judged:
    """The ranks of the true classes of 520 labelled ImageNet pictures.

    They are as large as the drawn ones.
    """
    samples = datasets.load_imagenet_samples()
    twenty = datasets.load_imagenet20()
    pictures = list(samples.images) + list(twenty.images)
    images = stack_pixels(pictures, crop=0.875)
    labels = np.concatenate([samples.labels, twenty.labels])
    class_ranks = {}
    for name in JUDGES.values():
        logits = float32_logits(pretrained.load(name), images)
        class_ranks[name] = ranks(logits, labels).tolist()
    return Judged(labels.tolist(), class_ranks)


def encode(picture: np.ndarray) -> bytes:
    """A uint8 picture (H, W, 3) as a JPEG of high quality."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return file.getvalue()


def list_runs() -> list[Run]:
    """All that is drawn."""
    runs = []
    for seed in SEEDS:
        for network in (SQUEEZENET, LITE0):
            runs.append(Run(network, "practical", PRACTICAL, seed=seed))
    for network, settings in BEST.items():
        runs.append(Run(network, "hundred: best", settings, HUNDRED))
    runs.append(Run(SQUEEZENET, "bare", BARE))
    runs.append(Run(SQUEEZENET, "best", BEST[SQUEEZENET]))
    hundred = {"bare": BARE, "no jitter": ONE_CHANGE["no jitter"]}
    hundred |= {"no blur": ONE_CHANGE["no blur"], "practical": PRACTICAL}
    for name, settings in hundred.items():
        runs.append(Run(SQUEEZENET, f"hundred: {name}", settings, HUNDRED))
    for seed in FEW_SEEDS:
        for name, settings in add_ingredients().items():
            runs.append(Run(SQUEEZENET, f"chain: {name}", settings, TWENTY, seed))
        for name, settings in ONE_CHANGE.items():
            runs.append(Run(SQUEEZENET, f"setting: {name}", settings, seed=seed))
    return runs


def summarise(judged: Judged) -> Entry:
    """The entry of a run: the mean logit, each judge's ranks, and their top-5 share."""
    scores: dict[str, Any] = {}
    if judged.logits:
        scores["logit"] = float(np.mean(judged.logits))
    for name, network in JUDGES.items():
        class_ranks = np.array(judged.ranks[network])
        scores[name] = class_ranks.tolist()
        scores[f"{name} top-5"] = float(np.mean(class_ranks <= 5))
    return {"scores": scores, "settings": {"classes": judged.classes}}


def make_visualizing_classes() -> Path:
    """Draw and judge all pictures of classes: about 40 minutes on one core."""
    places: dict[Place, Run] = {}
    for run in list_runs():
        places["runs", f"{run.network} {run.recipe}", run.seed] = run
    calls: Calls = {place: cached(draw_classes, run) for place, run in places.items()}
    calls["real",] = cached(read_real_pictures)
    judged = dict(sweep(calls, "pictures of classes"))
    pictures = {}
    for recipe, number in SHOWN.items():
        name = f"{SQUEEZENET} {recipe}"
        drawn = judged["runs", name, 0]
        for target, jpeg in zip(
            drawn.classes[:number], drawn.jpegs[:number], strict=True
        ):
            pictures[f"{name} {target}"] = np.frombuffer(jpeg, np.uint8)
    results.save_arrays("visualizing-classes", pictures)
    shares = [f"{name} top-5" for name in JUDGES]
    entries: dict[Place, Any] = {("shares",): shares}
    for place in (("real",), *places):
        entries[place] = summarise(judged[place])
    return results.save("visualizing-classes", nest(entries), SEEDS)
