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
from studies.runs import Calls, Place, cached, nest
from studies.sweeps import sweep
from studies.visualizing_classes import JUDGES, SQUEEZENET

SETTINGS = replace(PRACTICAL, num_steps=100)
SEEDS = tuple(range(10))
# Photographs of foolbox's twenty.
SPOONBILL = 14
GEESE = 15


def load_photographs() -> tuple[Tensor, Tensor]:
    """Pixels (20, 3, 224, 224) and labels of foolbox's photographs."""
    twenty = datasets.load_imagenet20()
    return stack_pixels(twenty.images), torch.from_numpy(twenty.labels)


def climb_spoonbill(seed: int) -> Entry:
    """The ranks that each network gives the spoonbill, before and after.

    There are three starts: a photograph of spoonbills, one of geese, and noise.
    """
    photographs, labels = load_photographs()
    draws = runtime.make_generator(seed)
    noise = torch.rand(1, 3, 224, 224, generator=draws)
    starts = torch.cat([photographs[[SPOONBILL]], photographs[[GEESE]], noise])
    targets = labels[SPOONBILL].repeat(len(starts))
    network = pretrained.load(SQUEEZENET)
    with runtime.autocast("cpu"):
        drawn = visualize(network, targets, SETTINGS, initial=starts, seed=seed)
    begun = replace(drawn, images=starts)
    scores = {}
    for name, key in JUDGES.items():
        reader = pretrained.load(key)
        scores[f"{name} before"] = judge(reader, begun).tolist()
        scores[name] = judge(reader, drawn).tolist()
    return {"scores": scores}


def make_visualizing_starts() -> Path:
    """Climb and judge: about three minutes on one core."""
    calls: Calls = {}
    for seed in SEEDS:
        calls["runs", "spoonbill", seed] = cached(climb_spoonbill, seed)
    done = dict(sweep(calls, "drawings"))
    entries: dict[Place, object] = {("shares",): []}
    for place in calls:
        entries[place] = done[place]
    return results.save("visualizing-starts", nest(entries), SEEDS)
