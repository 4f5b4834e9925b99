"""Pictures of classes for Chapter 2: what each ingredient and each setting changes, who recognises what was drawn."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from torch import Tensor

from dlapps import datasets, pretrained, transfer
from dlapps.class_visualization import MODERN, PRACTICAL, ROBUST, Ascent, ingredients, judge, visualize
from dlapps.core import results, runtime
from dlapps.core.class_scores import float32_logits, pick, ranks
from dlapps.core.images import from_pixels, stack_pixels
from dlapps.core.sweeps import sweep
from dlapps.pretrained import PixelNetwork
from studies.runs import Calls, cached, nest
from studies.transfer import stage_averages

SEEDS, FEW_SEEDS = (0, 1, 2), (0, 1)
NETWORKS = ("squeezenet1_1", "efficientnet_lite0", "efficientnet_lite2")
JUDGES = dict(zip(NETWORKS, ("SqueezeNet", "Lite0", "Lite2"), strict=True))
# The classes that the practical and the report before this one name; "wombat" first.
TEN = (106, 92, 113, 281, 187, 76, 78, 683, 366, 604)
HUNDRED = tuple(range(0, 1000, 10))
# BEST was chosen on these, and for Lite0 on ten neighbours of TEN: on none of TEN and HUNDRED.
TWENTY = tuple(range(5, 1000, 50))
CLASSES = {"": TEN, "hundred": HUNDRED, "chain": TWENTY, "setting": TEN}


def class_margin(seen: ingredients.Seen) -> Tensor:
    """The logarithm of the odds (N,) of the targets' probability: it falls where a rival rises."""
    others = seen.logits.scatter(1, seen.targets[:, None], -torch.inf)
    return ingredients.class_score(seen) - others.logsumexp(1)


# From the practical's preset to the modern one, and on to the one that other networks recognise best, a change a line.
CHANGES: dict[str, dict[str, Any]] = {
    "practical": {},
    "spectrum": {"parametrisation": ingredients.Fourier(decorrelated=False), "step_size": 1.5},
    "Adam": {"optimiser": torch.optim.Adam, "normalised": False, "step_size": 0.02},
    "total variation": {"regularisers": (ingredients.TotalVariation(2e-3),)},
    "no blur": {"blur_every": 0},
    "more jitter": {"transforms": (ingredients.Jitter(16), ingredients.Jitter(8))},
    "warps": {"transforms": MODERN.transforms},
    "decorrelated colours": {"parametrisation": ingredients.Fourier()},
    "fixed contrast": {
        **{name: getattr(ROBUST, name) for name in ("parametrisation", "optimiser", "normalised", "step_size")},
        "regularisers": (),
    },
    "windows": {"transforms": ROBUST.transforms},
    "margin": {"objective": class_margin},
    "noise": {"objective": ROBUST.objective, "transforms": (*ROBUST.transforms, ingredients.Noise(0.2))},
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
    "weight 0.01": {"regularisers": (ingredients.L2(1e-2),)},
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


def make_maco(natural: Tensor) -> Ascent:
    """MACO (Fel et al. 2023): only the phase moves, the magnitude is the mean of these natural pictures (N, 3, H, W).

    Windows as in ROBUST, one a step, and noise; the paper takes 32 of about a quarter of the side, and noise of .08.
    """
    form = Phase(measure_magnitude(natural).mean(0))
    transforms: tuple[ingredients.Transform, ...] = (*ROBUST.transforms, ingredients.Noise(0.08))
    adam = replace(ROBUST, optimiser=torch.optim.Adam, normalised=False, step_size=0.1)
    return replace(adam, parametrisation=form, transforms=transforms)


@dataclass(frozen=True, eq=False)
class Phase:
    """Phase of the spectrum alone, its magnitude fixed to the mean of natural pictures': MACO (Fel et al. 2023, eq. 5).

    x = sigmoid(COLOURS irfft2(magnitude e^(i p))). magnitude: (3, H, W / 2 + 1), as `measure_magnitude` gives it, of
    pictures as large as those to be drawn.
    """

    magnitude: Tensor

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """p (1, 3, size, size / 2 + 1) of white noise."""
        return ingredients.to_spectrum(torch.randn(1, 3, size, size, generator=generator, device="cpu")).angle()

    def encode(self, pictures: Tensor) -> Tensor:
        """The phases of pictures (N, 3, H, W), whose own magnitude is lost."""
        return ingredients.to_spectrum(torch.logit(pictures, eps=0.01)).angle()

    def decode(self, parameter: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in (0, 1) of p (N, 3, H, W / 2 + 1)."""
        return torch.sigmoid(self._colours(parameter))

    def constrain(self, parameter: Tensor) -> Tensor:
        """The phases of a real picture: with others, the inverse transform would change the magnitude."""
        return ingredients.to_spectrum(self._colours(parameter)).angle()

    def _colours(self, parameter: Tensor) -> Tensor:
        magnitude = self.magnitude.to(parameter.device).expand_as(parameter)
        return ingredients.from_spectrum(torch.polar(magnitude, parameter))


def measure_magnitude(pictures: Tensor) -> Tensor:
    """Of each picture (N, 3, H, W) in [0, 1], (N, 3, H, W / 2 + 1); the mean over natural ones is for `Phase`."""
    return ingredients.to_spectrum(torch.logit(pictures, eps=0.01)).abs()


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
        "total_variation": ingredients.total_variation(drawn.images).round().tolist(),
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
        "total_variation": ingredients.total_variation(drawn.images).tolist(),
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
    """What is written of a run: means, the shares that each judge recognises, and its ranks, under its short name."""
    scores: dict[str, Any] = {}
    if "score" in made:
        scores["logit"] = float(np.mean(made["score"]))
        scores["variation"] = float(np.mean(made["total_variation"])) / 1000
    for name, short in JUDGES.items():
        scores[short] = made[name]
        scores |= {f"{short} top-{most}": float(np.mean(np.array(made[name]) <= most)) for most in (5, 1)}
    return {"scores": scores, "settings": {"classes": made["classes"]}}


def make_visualizing_classes() -> Path:
    """Pictures of classes over networks, presets, ingredients, settings and seeds; about 40 minutes on one core."""
    runs = list_runs()
    calls: Calls = {run: cached(draw_classes, *call) for run, call in runs.items()}
    calls["real"] = cached(read_real_pictures)
    found = dict(sweep(calls, "pictures of classes"))
    pictures = {}
    for run, (_, preset, seed) in runs.items():
        if seed == 0:
            # Where changes are compared, of one class.
            shown = found[run]["classes"][:1] if ":" in preset else found[run]["classes"]
            for target, jpeg in zip(shown, found[run]["jpeg"], strict=False):
                pictures[f"{run[:-2]} {target}"] = np.frombuffer(jpeg, np.uint8)
    results.save_arrays("visualizing-classes", pictures)
    shares = [f"{short} top-{most}" for short in JUDGES.values() for most in (5, 1)]
    parts = {"shares": shares, "real": summarise(found["real"])}
    parts |= nest({("runs", *run.rsplit(" ", 1)): summarise(found[run]) for run in runs})
    return results.save("visualizing-classes", parts, SEEDS)


def make_visualizing_scenes() -> Path:
    """Pictures of scenes, drawn by VGG16; about 20 minutes on two cores."""
    pictures, entries = {}, {}
    calls = {preset: cached(draw_scenes, preset) for preset in ("practical", "modern")}
    for preset, made in sweep(calls, "pictures of scenes"):
        settings = {"classes": made.pop("classes")}
        for target, jpeg in zip(settings["classes"], made.pop("jpeg"), strict=True):
            pictures[f"vgg16 scenes {preset} {target}"] = np.frombuffer(jpeg, np.uint8)
        entries[f"vgg16 scenes {preset}"] = {"0": {"scores": made, "settings": settings}}
    results.save_arrays("visualizing-scenes", pictures)
    return results.save("visualizing-scenes", {"shares": [], "runs": entries}, [0])
