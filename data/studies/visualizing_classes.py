"""Pictures of classes for Chapter 2: what each ingredient and each setting changes, who
recognises what was drawn.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from labreport.sweeps import sweep
from studies.runs import Calls, cached, nest

SEEDS, FEW_SEEDS = (0, 1, 2), (0, 1)
NETWORKS = ("squeezenet1_1", "efficientnet_lite0", "efficientnet_lite2")
JUDGES = dict(zip(NETWORKS, ("SqueezeNet", "Lite0", "Lite2"), strict=True))
# The classes that the practical and the report before this one name; "wombat" first.
TEN = (106, 92, 113, 281, 187, 76, 78, 683, 366, 604)
HUNDRED = tuple(range(0, 1000, 10))
# BEST was chosen on these, and for Lite0 on ten neighbours of TEN: on none of TEN and
# HUNDRED.
TWENTY = tuple(range(5, 1000, 50))
CLASSES = {"": TEN, "hundred": HUNDRED, "chain": TWENTY, "setting": TEN}


def class_margin(seen: ingredients.Seen) -> Tensor:
    """The logarithm of the odds (N,) of the targets' probability: it falls where a
    rival rises.
    """
    others = seen.logits.scatter(1, seen.targets[:, None], -torch.inf)
    return ingredients.class_score(seen) - others.logsumexp(1)


# From the practical's preset to the modern one, and on to the one that other networks
# recognise best, a change a line.
CHANGES: dict[str, dict[str, Any]] = {
    "practical": {},
    "spectrum": {
        "parametrisation": ingredients.Fourier(decorrelated=False),
        "step_size": 1.5,
    },
    "Adam": {"optimiser": torch.optim.Adam, "normalised": False, "step_size": 0.02},
    "total variation": {"regularisers": (ingredients.TotalVariation(2e-3),)},
    "no blur": {"blur_every": 0},
    "more jitter": {"transforms": (ingredients.Jitter(16), ingredients.Jitter(8))},
    "warps": {"transforms": MODERN.transforms},
    "decorrelated colours": {"parametrisation": ingredients.Fourier()},
    "fixed contrast": {
        **{
            name: getattr(ROBUST, name)
            for name in ("parametrisation", "optimiser", "normalised", "step_size")
        },
        "regularisers": (),
    },
    "windows": {"transforms": ROBUST.transforms},
    "margin": {"objective": class_margin},
    "noise": {
        "objective": ROBUST.objective,
        "transforms": (*ROBUST.transforms, ingredients.Noise(0.2)),
    },
}
CHAIN_STEPS = 100
# By the chain SqueezeNet draws best before its contrast is fixed, and no class at all
# where there is noise.
NOISY = replace(ROBUST, transforms=CHANGES["noise"]["transforms"])
BEST = {
    "squeezenet1_1": MODERN,
    "efficientnet_lite0": NOISY,
    "efficientnet_lite2": NOISY,
}
# One setting of the practical's preset changed; its rate is 5, its weight 1e-3, its
# blur every 10, its steps 200.
SETTINGS: dict[str, dict[str, Any]] = {
    "rate 0.5": {"step_size": 0.5},
    "rate 20": {"step_size": 20.0},
    "weight 0": {"regularisers": ()},
    "weight 0.01": {"regularisers": (ingredients.L2(1e-2),)},
    "no blur": {"blur_every": 0},
    "no jitter": {"transforms": ()},
    "50 steps": {"num_steps": 50},
}


def load_settings(name: str, network: str) -> Settings:
    """A preset by its name, after the classes that it draws where these are not TEN;
    "best" depends on the network.
    """
    kind, _, change = name.rpartition(": ")
    if kind == "chain":
        return add_ingredients()[change]
    bare = (
        SETTINGS["no blur"] | SETTINGS["no jitter"]
    )  # the loop that the chapter shows
    return (
        BEST[network]
        if change == "best"
        else replace(PRACTICAL, **(SETTINGS | {"bare": bare}).get(change, {}))
    )


def add_ingredients() -> dict[str, Settings]:
    """The presets that CHANGES leads through, each with all changes so far."""
    preset, chain = replace(PRACTICAL, num_steps=CHAIN_STEPS), {}
    for name, change in CHANGES.items():
        chain[name] = preset = replace(preset, **change)
    return chain


def draw_classes(name: str, preset: str, seed: int) -> dict[str, Any]:
    """One picture a class: score, the rank of the class for each of NETWORKS, and
    JPEGs.
    """
    network, classes = pretrained.load(name), CLASSES[preset.rpartition(": ")[0]]
    with runtime.autocast("cpu"):
        drawn = visualize(network, classes, load_settings(preset, name), seed=seed)
    return {
        "classes": list(classes),
        # The logit, whatever was raised.
        "score": pick(float32_logits(network, drawn.images), drawn.targets).tolist(),
        **{
            judge_name: judge(pretrained.load(judge_name), drawn).tolist()
            for judge_name in NETWORKS
        },
        "jpeg": [encode(picture) for picture in from_pixels(drawn.images)],
    }


def read_real_pictures() -> dict[str, list[int]]:
    """The rank of the true class of 520 labelled ImageNet pictures, read at the size of
    the drawn ones.
    """
    samples, twenty = datasets.load_imagenet_samples(), datasets.load_imagenet20()
    images = stack_pixels([*samples.images, *twenty.images], crop=0.875)
    labels = np.concatenate([samples.labels, twenty.labels])
    read = {
        name: ranks(float32_logits(pretrained.load(name), images), labels).tolist()
        for name in NETWORKS
    }
    return {"classes": labels.tolist(), **read}


def encode(picture: np.ndarray) -> bytes:
    """A uint8 picture (H, W, 3) as a JPEG of high quality."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return file.getvalue()


def list_runs() -> dict[str, tuple[str, str, int]]:
    """What is drawn, by name: (network, preset, seed)."""
    chain = [f"chain: {change}" for change in CHANGES]
    settings = [f"setting: {change}" for change in SETTINGS]
    hundred = [
        f"hundred: {change}" for change in ("bare", "no jitter", "no blur", "practical")
    ]
    plan: list[tuple[Sequence[str], Sequence[str], Sequence[int]]] = [
        (NETWORKS[:2], ["practical"], SEEDS),
        (NETWORKS, ["hundred: best"], (0,)),
        (NETWORKS[:1], ["bare", "best", *hundred], (0,)),
        (NETWORKS[:1], [*chain, *settings], FEW_SEEDS),
    ]
    return {
        f"{name} {preset} {seed}": (name, preset, seed)
        for names, presets, seeds in plan
        for preset in presets
        for seed in seeds
        for name in names
    }


def summarise(made: dict[str, Any]) -> dict[str, Any]:
    """What is written of a run: means, the shares that each judge recognises, and its
    ranks, under its short name.
    """
    scores: dict[str, Any] = {}
    if "score" in made:
        scores["logit"] = float(np.mean(made["score"]))
    for name, short in JUDGES.items():
        scores[short] = made[name]
        scores[f"{short} top-5"] = float(np.mean(np.array(made[name]) <= 5))
    return {"scores": scores, "settings": {"classes": made["classes"]}}


def make_visualizing_classes() -> Path:
    """Pictures of classes over networks, presets, ingredients, settings and seeds;
    about 40 minutes on one core.
    """
    runs = list_runs()
    calls: Calls = {run: cached(draw_classes, *call) for run, call in runs.items()}
    calls["real"] = cached(read_real_pictures)
    found = dict(sweep(calls, "pictures of classes"))
    pictures = {}
    # How many of their pictures the chapter has.
    shown = {"bare": 10, "practical": 10, "best": 10}
    settings = ("50 steps", "rate 0.5", "rate 20", "weight 0")
    shown |= {f"setting: {change}": 1 for change in settings}
    for preset, number in shown.items():
        made = found[f"{NETWORKS[0]} {preset} 0"]
        for target, jpeg in [*zip(made["classes"], made["jpeg"], strict=True)][:number]:
            pictures[f"{NETWORKS[0]} {preset} {target}"] = np.frombuffer(jpeg, np.uint8)
    results.save_arrays("visualizing-classes", pictures)
    shares = [f"{short} top-5" for short in JUDGES.values()]
    parts = {"shares": shares, "real": summarise(found["real"])}
    parts |= nest(
        {("runs", *run.rsplit(" ", 1)): summarise(found[run]) for run in runs}
    )
    return results.save("visualizing-classes", parts, SEEDS)
