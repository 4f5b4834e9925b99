"""Chapter 2's drawings that start from a photograph, and from noise.

SqueezeNet climbs a class by the practical's recipe; the other networks judge. Nothing
was chosen on these drawings but the number of steps, on the geese and one seed.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dlapps import datasets, pretrained
from dlapps.class_visualization import PRACTICAL, judge, visualize
from dlapps.core import runtime
from dlapps.core.images import stack_pixels
from labreport import results
from labreport.results import Entry
from labreport.sweeps import sweep
from studies.runs import Calls, cached, nest
from studies.visualizing_classes import JUDGES, SQUEEZENET

SETTINGS = replace(PRACTICAL, num_steps=100)
# Of one class, the spoonbill, and of the classes of all twenty photographs.
SEEDS = tuple(range(10))
FEW_SEEDS = (0, 1)
SPOONBILL = 14
GEESE = 15
# Another photograph is the one so many places on: it never shows the same class.
SHIFT = 10


def load_photographs() -> tuple[Tensor, Tensor]:
    """Pixels (20, 3, 224, 224) and labels of foolbox's photographs."""
    twenty = datasets.load_imagenet20()
    return stack_pixels(twenty.images), torch.from_numpy(twenty.labels)


def make_noise(number: int, seed: int) -> Tensor:
    """Uniform noise, the same for each of the drawings."""
    generator = runtime.make_generator(seed)
    return torch.rand(1, 3, 224, 224, generator=generator).expand(number, -1, -1, -1)


def climb(initial: Tensor, labels: Tensor, seed: int) -> Entry:
    """The ranks that each network gives the labels, before and after."""
    network = pretrained.load(SQUEEZENET)
    with runtime.autocast("cpu"):
        drawn = visualize(network, labels, SETTINGS, initial=initial, seed=seed)
    begun = replace(drawn, images=initial)
    scores = {}
    for name, key in JUDGES.items():
        reader = pretrained.load(key)
        scores[f"{name} before"] = judge(reader, begun).tolist()
        scores[name] = judge(reader, drawn).tolist()
    return {"scores": scores}


def climb_spoonbill(seed: int) -> Entry:
    """From a photograph of spoonbills, from one of geese, and from noise."""
    photographs, labels = load_photographs()
    starts = [photographs[[SPOONBILL]], photographs[[GEESE]], make_noise(1, seed)]
    return climb(torch.cat(starts), labels[SPOONBILL].repeat(3), seed)


def climb_all(start: str, seed: int) -> Entry:
    """The class of each photograph, all from one kind of start."""
    photographs, labels = load_photographs()
    initial = photographs
    if start == "another photograph":
        initial = photographs.roll(SHIFT, 0)
    elif start == "noise":
        initial = make_noise(len(labels), seed)
    return climb(initial, labels, seed)


def make_visualizing_starts() -> Path:
    """Climb and judge: about 20 minutes on one core."""
    calls: Calls = {}
    for seed in SEEDS:
        calls["runs", "spoonbill", seed] = cached(climb_spoonbill, seed)
    for seed in FEW_SEEDS:
        for start in ("its photograph", "another photograph", "noise"):
            calls["runs", start, seed] = cached(climb_all, start, seed)
    done = dict(sweep(calls, "drawings"))
    entries = {place: done[place] for place in calls}
    return results.save("visualizing-starts", nest(entries), SEEDS)
