"""Pictures of classes for Chapter 2: what each ingredient and each setting changes, who recognises what was drawn."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from torch import Tensor

from dlapps import datasets, pretrained, transfer
from dlapps.class_visualization import (
    L2,
    MODERN,
    PRACTICAL,
    ROBUST,
    Ascent,
    Fourier,
    Jitter,
    Noise,
    TotalVariation,
    judge,
    total_variation,
    visualize,
)
from dlapps.core import results, runtime
from dlapps.core.class_scores import float32_logits, pick, ranks
from dlapps.core.images import from_pixels, stack_pixels
from dlapps.core.sweeps import keep, sweep
from dlapps.pretrained import PixelNetwork
from studies.drawing_methods import class_margin, make_maco
from studies.transfer_finetuning import stage_averages

SEEDS, FEW_SEEDS = (0, 1, 2), (0, 1)
NETWORKS = ("squeezenet1_1", "efficientnet_lite0", "efficientnet_lite2")
JUDGES = dict(zip(NETWORKS, ("SqueezeNet", "Lite0", "Lite2"), strict=True))
# The classes that the practical and the report before this one name; "wombat" first.
TEN = (106, 92, 113, 281, 187, 76, 78, 683, 366, 604)
HUNDRED = tuple(range(0, 1000, 10))
# BEST was chosen on these, and for Lite0 on ten neighbours of TEN: on none of TEN and HUNDRED.
TWENTY = tuple(range(5, 1000, 50))
CLASSES = {"": TEN, "hundred": HUNDRED, "chain": TWENTY, "setting": TEN}

# From the practical's preset to the modern one, and on to the one that other networks recognise best, a change a line.
CHANGES: dict[str, dict[str, Any]] = {
    "practical": {},
    "spectrum": {"parametrisation": Fourier(decorrelated=False), "step_size": 1.5},
    "Adam": {"optimiser": torch.optim.Adam, "normalised": False, "step_size": 0.02},
    "total variation": {"regularisers": (TotalVariation(2e-3),)},
    "no blur": {"blur_every": 0},
    "more jitter": {"transforms": (Jitter(16), Jitter(8))},
    "warps": {"transforms": MODERN.transforms},
    "decorrelated colours": {"parametrisation": Fourier()},
    "fixed contrast": {
        **{name: getattr(ROBUST, name) for name in ("parametrisation", "optimiser", "normalised", "step_size")},
        "regularisers": (),
    },
    "windows": {"transforms": ROBUST.transforms},
    "margin": {"objective": class_margin},
    "noise": {"objective": ROBUST.objective, "transforms": (*ROBUST.transforms, Noise(0.2))},
}
CHAIN_STEPS = 100
# By the chain SqueezeNet draws best before its contrast is fixed, and no class at all where there is noise.
NOISY = replace(ROBUST, transforms=CHANGES["noise"]["transforms"])
BEST = {"squeezenet1_1": MODERN, "efficientnet_lite0": NOISY, "efficientnet_lite2": NOISY}
# One setting of the practical's preset changed; its rate is 5, its weight 1e-3, its blur every 10, its steps 200.
SETTINGS: dict[str, dict[str, Any]] = {
    "rate 0.5": {"step_size": 0.5},
    "rate 20": {"step_size": 20.0},
    "weight 0": {"regularisers": ()},
    "weight 0.01": {"regularisers": (L2(1e-2),)},
    "no blur": {"blur_every": 0},
    "no jitter": {"transforms": ()},
    "50 steps": {"num_steps": 50},
}


def load_preset(name: str, network: str) -> Ascent:
    """A preset by its name, after the classes that it draws where these are not TEN; "best" depends on the network."""
    kind, _, change = name.rpartition(": ")
    if kind == "chain":
        return add_ingredients()[change]
    if kind == "setting":
        return replace(PRACTICAL, **SETTINGS[change])
    if change == "maco":
        return make_maco(stack_pixels(datasets.load_imagenet20().images))
    if change == "best":
        return BEST[network]
    return {"practical": PRACTICAL, "modern": MODERN}[change]


def add_ingredients() -> dict[str, Ascent]:
    """The presets that CHANGES leads through, each with all changes so far."""
    preset, chain = replace(PRACTICAL, num_steps=CHAIN_STEPS), {}
    for name, change in CHANGES.items():
        chain[name] = preset = replace(preset, **change)
    return chain


def draw_classes(name: str, preset: str, seed: int) -> dict[str, Any]:
    """One picture a class: score, total variation, the rank of the class for each of NETWORKS, and JPEGs."""
    network, classes = pretrained.load(name), CLASSES[preset.rpartition(": ")[0]]
    with runtime.autocast("cpu"):
        drawn = visualize(network, classes, load_preset(preset, name), seed=seed)
    return {
        "classes": list(classes),
        # The logit, whatever was raised.
        "score": pick(float32_logits(network, drawn.images), drawn.targets).tolist(),
        "total_variation": total_variation(drawn.images).round().tolist(),
        **{judge_name: judge(pretrained.load(judge_name), drawn).tolist() for judge_name in NETWORKS},
        "jpeg": [encode(picture) for picture in from_pixels(drawn.images)],
    }


def load_scene_classifier(name: str) -> PixelNetwork:
    """The last feature maps of VGG16's convolutions, or of an EfficientNet-Lite, with a linear SVM for 15 scenes.

    What is committed of an EfficientNet-Lite is a projection of four stages: its last averages come from the pictures.
    """
    network, scenes = pretrained.load(name), datasets.load_scenes15_features()
    rows, labels, _, _ = scenes.split("vgg16_features pool5 average 224")
    if name != "vgg16_features":
        network.backbone.reset_classifier(0, "")
        rows = normalize(stage_averages(name)[-1][: len(labels)])
    svm = LinearSVC(random_state=0).fit(rows, labels)
    return transfer.attach_classifier(network, svm, scenes.class_names)


def draw_scenes(preset: str) -> dict[str, Any]:
    """Fifteen scenes by VGG16's trunk, in grey as its classifier learnt them, and smaller, since VGG16 is slow."""
    network, settings = load_scene_classifier("vgg16_features"), load_preset(preset, "vgg16 scenes")
    settings = replace(settings, transforms=(*settings.transforms, to_grey))
    with runtime.autocast("cpu"):
        drawn = visualize(network, range(len(network.class_names)), settings, size=160)
    drawn = replace(drawn, images=to_grey(drawn.images))
    return {
        "classes": drawn.targets.tolist(),
        "score": drawn.scores[-1].tolist(),
        "total_variation": total_variation(drawn.images).tolist(),
        "rank": judge(network, drawn).tolist(),
        "other_rank": judge(load_scene_classifier("efficientnet_lite0"), drawn).tolist(),
        "jpeg": [encode(picture) for picture in from_pixels(drawn.images)],
    }


def to_grey(pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The mean of the colours, three times: what a classifier of grey pictures has seen."""
    return pictures.mean(1, keepdim=True).expand_as(pictures)


def read_real_pictures() -> dict[str, list[int]]:
    """The rank of the true class of 520 labelled ImageNet pictures, read at the size of the drawn ones."""
    samples, twenty = datasets.load_imagenet_samples(), datasets.load_imagenet20()
    images = stack_pixels([*samples.images, *twenty.images], crop=0.875)
    labels = np.concatenate([samples.labels, twenty.labels])
    read = {name: ranks(float32_logits(pretrained.load(name), images), labels).tolist() for name in NETWORKS}
    return {"classes": labels.tolist(), **read}


def encode(picture: np.ndarray) -> bytes:
    """A uint8 picture (H, W, 3) as a JPEG of high quality."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return file.getvalue()


def list_runs() -> dict[str, tuple[str, str, int]]:
    """What is drawn, by name: (network, preset, seed)."""
    pair, squeezenet = NETWORKS[:2], NETWORKS[0]
    chain = [f"chain: {change}" for change in CHANGES]
    settings = [f"setting: {change}" for change in SETTINGS]
    plan: list[tuple[Sequence[str], Sequence[str], Sequence[int]]] = [
        (pair, ["best", "practical"], SEEDS),
        (pair, ["modern", "maco"], (0,)),
        (NETWORKS, ["hundred: best"], (0,)),
        ([squeezenet], ["hundred: practical"], (0,)),
        ([squeezenet], [*chain, *settings], FEW_SEEDS),
    ]
    return {
        f"{name} {preset} {seed}": (name, preset, seed)
        for names, presets, seeds in plan
        for preset in presets
        for seed in seeds
        for name in names
    }


def summarise(made: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a run: means, the shares that each judge recognises, and its ranks, under its short name."""
    kept = {"classes": made["classes"]}
    if "score" in made:
        kept["logit"] = float(np.mean(made["score"]))
        kept["variation"] = float(np.mean(made["total_variation"])) / 1000
    for name, short in JUDGES.items():
        kept[short] = made[name]
        kept |= {f"{short} top-{most}": float(np.mean(np.array(made[name]) <= most)) for most in (5, 1)}
    return kept


def make_visualizing_classes() -> Path:
    """Pictures of classes over networks, presets, ingredients, settings and seeds; about 40 minutes on one core."""
    runs = list_runs()
    calls: dict[str, Callable[[], Any]] = {run: partial(keep(draw_classes), *call) for run, call in runs.items()}
    calls["real"] = keep(read_real_pictures)
    found = dict(sweep(calls, "pictures of classes"))
    pictures = {}
    for run, (_, preset, seed) in runs.items():
        if seed == 0:
            # Where changes are compared, of one class.
            shown = found[run]["classes"][:1] if ":" in preset else found[run]["classes"]
            for target, jpeg in zip(shown, found[run]["jpeg"], strict=False):
                pictures[f"{run[:-2]} {target}"] = np.frombuffer(jpeg, np.uint8)
    results.save_arrays("visualizing-classes", pictures)
    return results.save("visualizing-classes", {run: summarise(found[run]) for run in calls}, SEEDS)


def make_visualizing_scenes() -> Path:
    """Pictures of scenes, drawn by VGG16; about 20 minutes on two cores."""
    pictures, entries = {}, {}
    calls = {preset: partial(keep(draw_scenes), preset) for preset in ("practical", "modern")}
    for preset, made in sweep(calls, "pictures of scenes"):
        for target, jpeg in zip(made["classes"], made.pop("jpeg"), strict=True):
            pictures[f"vgg16 scenes {preset} {target}"] = np.frombuffer(jpeg, np.uint8)
        entries[f"vgg16 scenes {preset} 0"] = made
    results.save_arrays("visualizing-scenes", pictures)
    return results.save("visualizing-scenes", entries, [0])
